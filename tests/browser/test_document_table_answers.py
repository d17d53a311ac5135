"""Python's side of the document table: real scored corpora, and the messages as they travel."""

from __future__ import annotations

import json
import logging

import comm
import numpy as np
import pandas as pd
import pytest
from comm.base_comm import BaseComm

import workbench as wb
from browser.mounting import deliver, messages, mount, receive
from browser.table_page import HOSTILE, MANY, ROW, on_screen, rest, row, scroll
from widgets.views.document_table import DocumentTable
from workbench.session.corpus.scored_corpus import ScoredCorpus

UNSEEN = str.maketrans(
    {
        "\u202e": "\\u202e", "\u202c": "\\u202c", "\u200b": "\\u200b", "\a": "\\u0007",
        "\x1b": "\\u001b", "\0": "\\u0000", "\n": "\u21b5",
    }
)  # fmt: skip


class Wire(BaseComm):
    """What a kernel does with a widget's messages, but they are kept: as JSON, as they travel."""

    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        # Jupyter allows no NaN in a message, and these carry no bytes.
        assert not buffers
        self.__dict__.setdefault("published", []).append(json.dumps(data, allow_nan=False))

    def take(self):
        taken, self.published = [json.loads(text) for text in self.published], []
        return taken


@pytest.fixture
def table(monkeypatch):
    """A document table on a wire; an exception that it reports fails the test."""
    monkeypatch.setattr(comm, "create_comm", Wire)
    table = DocumentTable()
    table.wire = table.comm
    table.wire.take()
    reported = []
    table.report = reported.append
    yield table
    table.close()
    assert reported == []


def ask(table, **message):
    """Send a message as the browser does; what the table answers."""
    data = {"method": "custom", "content": message}
    table.wire.handle_msg({"content": {"data": data}, "buffers": []})
    return table.wire.take()


def frame(count, seed=0):
    """A score table of `count` documents in three domains, with hostile names."""
    random = np.random.default_rng(seed)
    base, ratio = random.uniform(1, 4, count), random.uniform(1, 3, count)
    score = random.normal(0.2, 0.1, count)
    ids = np.array([f"{HOSTILE[i % 50]} {i}" if i % 50 < len(HOSTILE) else f"doc {i}"
                    for i in range(count)])  # fmt: skip
    return pd.DataFrame(
        {
            "doc_id": ids,
            "domain": np.array(["code", "math", "<b>web</b>\u202e"])[random.integers(0, 3, count)],
            "source": "a.jsonl",
            "row": np.arange(count),
            "tokens": random.integers(5, 90_000, count),
            "predicted": 4,
            "loss_base": base,
            "loss_ref": base * (1 + score),
            "score": score,
            "compression_ratio": np.where(np.arange(count) % 7 == 0, np.nan, ratio),
            "text_sha256": [f"{i:064x}" for i in range(count)],
        }
    )


@pytest.fixture(scope="module")
def many():
    return ScoredCorpus(frame(MANY))


def expected(row):
    """What the cells of a document must say, by column, from its row of the selection."""
    ratio = row["compression_ratio"]
    return {
        "doc_id": row["doc_id"].translate(UNSEEN), "score": f"{row['score']:.4f}",
        "beginning": "", "selected": "yes" if row["selected"] else "",
        "domain": row["domain"].translate(UNSEEN), "rank": f"{row['rank']:,}",
        "margin": f"{row['margin']:.4f}", "loss_base": f"{row['loss_base']:.3f}",
        "loss_ref": f"{row['loss_ref']:.3f}", "tokens": f"{row['tokens']:,}",
        "compression_ratio": "\u2013" if np.isnan(ratio) else f"{ratio:.2f}",
        "predicted": "4",
        "residual": "\u2013" if np.isnan(row["residual"]) else f"{row['residual']:,.1f}",
    }  # fmt: skip


def keyed(table, row):
    """The cells of a row by the keys of their columns."""
    return dict(zip([one["key"] for one in table.columns], row["cells"], strict=True))


def test_python_answers_exactly_the_rows_of_the_frame(table, many):
    order = many.sort_and_filter("score", ascending=False)
    table.show(many, order, "score", False)
    (update,) = table.wire.take()
    assert update["method"] == "update"
    state = update["state"]
    assert [one["key"] for one in state.pop("columns")] == [one["key"] for one in table.columns]
    assert state.pop("nothing") == "no document passes the filters"
    assert state == {"total": MANY, "by": "score", "ascending": False, "revision": 1}
    ranked = many.selection.table
    threshold = many.selection.domains.set_index("domain")["threshold"]
    ranked = ranked.assign(margin=ranked["score"] - ranked["domain"].map(threshold))
    known = ranked[ranked["compression_ratio"].notna()]
    residual = wb.scorers(known).set_index("row")["residual"]
    ranked["residual"] = ranked["row"].map(residual)
    by_score = ranked.sort_values("score", ascending=False, kind="stable")
    for first, count in [(0, 40), (50_000, 40), (MANY - 7, 40), (MANY, 5), (99, 0)]:
        (answer,) = ask(table, action="rows", first=first, count=count, revision=1)
        content = answer["content"]
        assert (content["kind"], content["revision"], content["first"]) == ("rows", 1, first)
        part = by_score.iloc[first : first + count]
        assert [row["position"] for row in content["rows"]] == part.index.tolist()
        cells = [expected(row) for _, row in part.iterrows()]
        assert [keyed(table, row) for row in content["rows"]] == cells
        bars = [row["bars"][1] for row in content["rows"]]  # of the score, on its own scale
        low, high = min(ranked["score"].min(), 0), max(ranked["score"].max(), 0)
        for bar, score in zip(bars, part["score"], strict=True):
            ends = [(end - low) / (high - low) for end in sorted((0, score))]
            np.testing.assert_allclose(bar, ends, atol=1e-4)


def test_python_does_not_answer_for_another_arrangement(table, many):
    table.show(many, many.sort_and_filter(), "rank", True)
    table.show(many, many.sort_and_filter("tokens", only_selected=True), "tokens", True)
    selected = int(many.selection.table["selected"].sum())
    assert (table.revision, table.total, table.by) == (2, selected, "tokens")
    table.wire.take()
    assert ask(table, action="rows", first=0, count=10, revision=1) == []
    (answer,) = ask(table, action="rows", first=0, count=10, revision=2)
    assert all(keyed(table, row)["selected"] == "yes" for row in answer["content"]["rows"])


def test_one_answer_is_bounded(table, many):
    table.show(many, many.sort_and_filter(), "rank", True)
    table.wire.take()
    (answer,) = ask(table, action="rows", first=0, count=10**9, revision=1)
    assert len(answer["content"]["rows"]) == 1000


def test_the_owner_sorts_and_opens(table, many):
    heard = []
    ask(table, action="sort", by="tokens")  # nobody listens yet
    table.on_sort = lambda by: heard.append(by)
    table.on_open = lambda position: heard.append((position, table.opened))
    ask(table, action="sort", by="tokens")
    ask(table, action="open", position=17)
    assert heard == ["tokens", (17, 17)]
    table.show(many, many.sort_and_filter(), "rank", True)
    table.opened = 5
    table.show(many, many.sort_and_filter("score"), "score", True)
    assert table.opened == 5
    table.show(ScoredCorpus(frame(20)), np.arange(20), "rank", True)
    assert table.opened == -1  # positions of another corpus


@pytest.mark.parametrize(
    "message",
    [
        {"action": "open", "position": 3},
        {"action": "rows", "first": 0, "count": 3, "revision": 0},
        {"action": "rows", "first": "0", "count": 3, "revision": 0},
        {"action": "format the disk"},
        {},
    ],
)
def test_errors_are_reported_and_not_swallowed(table, message):
    reported = []
    table.report = reported.append

    def fail(position):
        raise LookupError(position)

    table.on_open = fail
    ask(table, **message)
    assert [type(error) for error in reported] == [
        LookupError if message.get("action") == "open" else ValueError
    ]


def test_an_error_that_nobody_reports_is_raised(caplog):
    message = {"method": "custom", "content": {"action": "nothing that it knows"}}
    with caplog.at_level(logging.WARNING):
        DocumentTable().comm.handle_msg({"content": {"data": message}, "buffers": []})
    (record,) = caplog.records  # ipywidgets logs what a handler raises
    assert isinstance(record.exc_info[1], ValueError)


def test_browser_and_python_together(page, table, many):
    """Scroll, sort and open a table of 100,000 documents; only the wire between is the test's."""

    def sort(by):
        table.show(many, many.sort_and_filter(by, ascending=False), by, False)

    def carry():
        """Pass on what each side has said until both are silent."""
        passed_on = 0
        while True:
            rest(page)
            sent = messages(page)
            if len(sent) == passed_on:
                return
            for message in sent[passed_on:]:
                for reply in ask(table, **message):
                    if reply["method"] == "update":
                        receive(page, **reply["state"])
                    elif reply["method"] == "custom":
                        deliver(page, reply["content"])
            passed_on = len(sent)

    ids = [doc_id.translate(UNSEEN) for doc_id in many.selection.table["doc_id"]]

    def check(order):
        for number, text in on_screen(page):
            assert text == ids[order[number]]

    table.on_sort = sort
    table.show(many, many.sort_and_filter(), "rank", True)
    state = {
        name: getattr(table, name)
        for name in (
            "total", "by", "ascending", "revision", "opened", "columns", "histograms", "label",
            "nothing",
        )
    }  # fmt: skip
    table.wire.take()
    mount(page, "row_table", state, theme="dark")
    carry()
    check(many.sort_and_filter())
    page.get_by_role("columnheader", name="tokens").click()
    carry()
    order = many.sort_and_filter("tokens", ascending=False)
    check(order)
    scroll(page, 70_000 * ROW)
    carry()
    check(order)
    assert on_screen(page)[0][0] == 70_000
    row(page, 70_003).click()
    carry()
    assert table.opened == order[70_003]
    assert page.locator(".aiw-opened").get_attribute("aria-rowindex") == str(70_005)
