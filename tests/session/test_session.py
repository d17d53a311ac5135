"""The state of a session: what it refuses, who hears of it, and how threads share it."""

from __future__ import annotations

import sys
import threading

import pandas as pd
import pytest
from support.sessions import listen, scores_of

import workbench as wb
from workbench.session.head_colours import NEED, RETRIEVAL

TEXT = "Toggle one head, then another."
CORPUS = [
    {"id": f"d{i}", "text": f"document number {i}: " + "word " * (i % 7), "domain": "ab"[i % 2]}
    for i in range(12)
]


@pytest.fixture
def session(tiny):
    return wb.Session(tiny, TEXT, "L0H1 L2H3", scores=scores_of(tiny))


def everything(session):
    """All of a session that an action could change."""
    palette, history = session.palette, session.history
    columns = {name: id(column) for name, column in palette.columns.items()}
    selection = session.corpus and id(session.corpus.selection)
    return (
        session.state, session.document, id(session.scores), session.corpus, selection,
        palette.colour_by, palette.token, columns, [*history._before], [*history._after],
    )  # fmt: skip


def refused(session, act, error, message):
    """`act` raises, says what is wrong, and leaves the session as it was."""
    before, heard = everything(session), listen(session)
    with pytest.raises(error, match=message):
        act(session)
    assert everything(session) == before
    assert heard == []


BAD = {
    "a word": (lambda s: s.mask("seven"), ValueError, "'seven' is not a head: expected names like"),
    "a far head": (lambda s: s.toggle("L9H0"), ValueError, "layers go from 0 to 2"),
    "a far pair": (lambda s: s.toggle([(0, -1)]), ValueError, "query heads from 0 to 3"),
    "a number": (lambda s: s.mask(3), TypeError, r"^3 are no heads: expected a HeadSet, text"),
    "a bare pair": (lambda s: s.toggle((1, 2)), TypeError, r"\(1, 2\) are no heads: .*pairs"),
    "others": (
        lambda s: s.mask(wb.HeadSet(((0, 0),), 30, 9)), ValueError, "30 layers x 9 heads, this one",
    ),
    "layer": (lambda s: s.toggle_layer(3), ValueError, "layers go from 0 to 2"),
    "head": (lambda s: s.toggle_head(-1), ValueError, "query heads from 0 to 3"),
    "top": (lambda s: s.top(12), ValueError, "count must lie between 0 and 11, got 12"),
    "top -1": (lambda s: s.top(-1), ValueError, "count must lie between 0 and 11, got -1"),
    "mode": (lambda s: s.set_mode("half"), ValueError, "zero, mean, resample, got 'half'"),
    "against": (lambda s: s.compare_with("L0H4"), ValueError, "query heads from 0 to 3"),
    "no text": (lambda s: s.read(None), TypeError, "one text, got NoneType"),
    "empty": (lambda s: s.read(" \n\t"), ValueError, "empty: give one of at least two tokens"),
    "surrogate": (lambda s: s.read("ab\ud83d"), ValueError, "lone surrogate at character 2"),
    "token": (lambda s: s.ask(30), ValueError, "between 1 and 29, .*got 30"),
    "first token": (lambda s: s.ask(0), ValueError, "between 1 and 29, .*got 0"),
    "colours": (lambda s: s.colour_by("rainbow"), ValueError, "no colours 'rainbow': .*retrieval"),
    "need": (lambda s: s.colour_by(NEED), ValueError, "no colours"),  # of which token?
    "no frame": (lambda s: s.use_scores(pd.DataFrame({"layer": [0]})), ValueError, "missing"),
    "few rows": (
        lambda s: s.use_scores(scores_of(s.model).iloc[1:]), ValueError, "one row for each head of",
    ),
    "their scores": (
        lambda s: s.use_scores(pd.DataFrame({"layer": [0, 1], "head": 0, "score": [0.1, 0.2]})),
        ValueError, "this one has 3 layers x 4",
    ),
    "names": (
        lambda s: s.add_columns(pd.DataFrame({"layer": [0], "head": [0], RETRIEVAL: [1.0]})),
        ValueError, "the session's own: rename",
    ),
    "probes": (lambda s: s.detect(max_tokens=768), ValueError, "768, but the model reads only 128"),
    "open": (lambda s: s.open("d1"), ValueError, r"no corpus is scored yet: call session.score\("),
    "cut": (lambda s: s.cut(0.2), ValueError, "no corpus is scored yet"),
    "export": (lambda s: s.export(), ValueError, "no corpus is scored yet"),
    "score": (lambda s: s.score(CORPUS, mode="zero"), TypeError, "mode"),
    "load": (lambda s: s.load("/nowhere"), FileNotFoundError, "expected a folder written by"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_and_changes_nothing(session, name):
    session.toggle("L1H0")
    session.undo()  # so that there is something to redo, which an error must leave
    refused(session, *BAD[name])


def test_actions_that_lack_what_they_need_say_so(tiny):
    bare = wb.Session(tiny, TEXT)
    refused(bare, lambda s: s.top(1), ValueError, r"no head has a score yet: call session.detect")
    refused(bare, lambda s: s.curve(), ValueError, "no head has a score yet")
    refused(bare, lambda s: s.random(), ValueError, "no head is masked")
    refused(bare, lambda s: s.score(CORPUS), ValueError, "no heads to mask")
    bare.invert()
    refused(bare, lambda s: s.random(), ValueError, "12 heads were asked for, but only 0")
    tied = scores_of(tiny).assign(score=0.5)
    bare.use_scores(tied)
    refused(bare, lambda s: s.top(2), ValueError, "12 heads tie at the cut")
    bare.top(2, allow_ties=True)
    assert str(bare.heads) == "L0H0 L0H1"


def test_a_session_is_not_made_of_nonsense(tiny):
    with pytest.raises(TypeError, match=r"needs a Model, got LlamaForCausalLM: make one with load"):
        wb.Session(tiny.hf)
    for given, message in (
        ({"heads": "L7H7"}, "not a head"), ({"mode": "no"}, "mode must be"),
        ({"text": ""}, "empty"), ({"max_tokens": 1}, "at least 2, got 1"),
        ({"memory": -1}, "number of bytes"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            wb.Session(tiny, **given)
    assert repr(wb.Session(tiny, TEXT, "L0H0")) == (
        "<Session with llama: 1 of 12 heads masked (uniform), a text of 30 characters>"
    )


def test_a_listener_that_leaves_hears_no_more(session):
    heard, seen = [], []
    leave = session.on_change(heard.append)
    session.on_change(lambda what: seen.append((what, session.text, session.palette.token)))
    session.ask(4)
    session.clear()
    leave()
    session.read("another text")
    assert heard == ["colours", "state"]
    # whoever hears of a new text finds nothing of the old one any more
    assert seen[-2:] == [("state", "another text", None), ("colours", "another text", None)]


@pytest.mark.parametrize("round_", range(3))
def test_two_threads_lose_no_toggle(tiny, round_):
    session, odd = wb.Session(tiny, TEXT), 151
    start = threading.Barrier(4)

    def toggle(head):
        start.wait()
        for _ in range(odd):
            session.toggle([head])

    threads = [threading.Thread(target=toggle, args=[(i % 3, i)], daemon=True) for i in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(interval)
    assert str(session.heads) == "L0H0 L0H3 L1H1 L2H2"
    steps = 0
    while session.undo():
        steps += 1
    assert (steps, str(session.heads)) == (4 * odd, "")
