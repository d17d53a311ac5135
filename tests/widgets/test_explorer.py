"""The explorer without a browser: every control, what it does, and what is shown then."""

from __future__ import annotations

import base64
import json
import re
import signal
import threading

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from support.hostile import TEXTS
from support.models import make_model
from support.paths import ROOT
from support.planted import planted_model, planted_probes
from support.sessions import scores_of

import workbench as wb
from widgets import Explorer, TokenView
from widgets.explorer import TABS
from widgets.grid_picture import grid_png
from widgets.tasks.interrupt import _interrupted
from workbench.core.text import escape_control_characters
from workbench.scoring.folder.corpus_folder import default_folder
from workbench.session import head_values

TEXT = "one two three one two three"


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def scores(model):
    layer, head = np.indices((model.num_layers, model.num_heads)).reshape(2, -1)
    return pd.DataFrame({"layer": layer, "head": head, "score": np.linspace(1, 0.01, len(layer))})


@pytest.fixture
def explorer(model, scores):
    made = Explorer(model, text=TEXT, scores=scores)
    assert made.wait(60)
    assert made.status.error is None
    yield made
    made.close()


def settled(explorer):
    assert explorer.wait(60)
    assert explorer.status.error is None
    shown = np.frombuffer(explorer.text.tokens.after, np.float32)
    changes = explorer.session.changes()
    np.testing.assert_array_equal(shown, changes.after)
    assert explorer.text.tokens.summary == changes.describe()
    assert explorer.heads.grid.masked == explorer.session.heads
    assert explorer.toolbar.names.value == str(explorer.session.heads)


def clicked(explorer, *heads):
    """What the browser does: one byte a head."""
    grid = explorer.heads.grid
    mask = np.frombuffer(grid.mask, np.uint8).copy()
    for layer, head in heads:
        mask[layer * grid.heads + head] ^= 1
    grid.set_state({"mask": memoryview(mask.tobytes())})


def loads_from(explorer, folder):
    explorer.documents.form.folder.value = folder
    explorer.documents.form.load.click()


def test_two_masks_stand_side_by_side_on_one_scale(explorer):
    """A is the set compared with and B the present one, each against the stock model."""
    session, text = explorer.session, explorer.text
    assert text.sides.disabled
    session.mask("L1H2")
    session.compare_with("L1H2")
    session.mask("L2H0 L2H1")
    assert not text.sides.disabled
    text.sides.value = True
    assert explorer.wait(60)
    against, none = session.state.against, session.heads - session.heads
    stock, a, b = wb.token_losses(session.model, [TEXT], [none, against, session.heads])[0]
    for view, losses in ((text.other, a), (text.tokens, b)):
        np.testing.assert_allclose(np.frombuffer(view.before, np.float32)[1:], stock, atol=1e-5)
        np.testing.assert_allclose(np.frombuffer(view.after, np.float32)[1:], losses, atol=1e-5)
    assert text.other.color_max == text.tokens.color_max
    assert text.other.labels == ["no mask", "1 head masked"]
    session.compare_with(None)
    settled(explorer)
    assert text.sides.disabled
    assert not text.two


def test_the_grid_toggles_and_the_tokens_follow(explorer):
    clicked(explorer, (1, 2), (2, 0))
    settled(explorer)
    assert str(explorer.session.heads) == "L1H2 L2H0"
    expected = wb.token_losses(explorer.session.model, [TEXT], [explorer.session.heads])[0][0]
    np.testing.assert_allclose(explorer.session.changes().after[1:], expected, atol=1e-5)


def test_two_masks_of_one_size_are_told_apart(explorer):
    session, text = explorer.session, explorer.text
    session.mask("L1H2")
    session.compare_with("L1H2")
    settled(explorer)
    assert text.tokens.labels == ["1 head masked", "1 head masked"]  # they are the same
    session.mask("L2H0")
    settled(explorer)
    now = "1 head masked (now)"
    assert text.tokens.labels == ["1 head masked (compared with)", now]
    text.sides.value = True
    assert explorer.wait(60)
    assert text.other.labels == ["no mask", "1 head masked (compared with)"]
    assert text.tokens.labels == ["no mask", now]


def test_two_texts_side_by_side_keep_a_locked_scale(explorer):
    session, text = explorer.session, explorer.text
    session.mask("L1H2")
    session.compare_with("L1H2")
    session.mask("L2H0 L2H1")
    assert explorer.wait(60)
    fitting = text.tokens.color_max
    text.tokens.locked = True
    text.tokens.color_max = 17.0
    text.sides.value = True
    session.mask("L2H0 L2H1 L2H2")
    assert explorer.wait(60)
    assert (text.other.color_max, text.tokens.color_max) == (17.0, 17.0)
    text.tokens.locked = False
    assert text.tokens.color_max == text.other.color_max < 17
    session.mask("L2H0 L2H1")
    text.sides.value = False
    assert explorer.wait(60)
    assert text.tokens.color_max == fitting


def test_a_mask_that_is_refused_does_not_stay_in_the_grid():
    explorer = Explorer(make_model("lfm2"), text=TEXT)
    grid = explorer.heads.grid
    try:
        explorer.session.mask("L1H1")
        assert explorer.wait(60)
        sent: list = []
        grid.send_state = lambda key=None: sent.append(key)
        clicked(explorer, (0, 2))  # a layer without heads
        assert "layer 0 has no attention heads" in str(explorer.status.error)
        assert str(grid.masked) == str(explorer.session.heads) == "L1H1"
        assert sent == ["mask"]  # so the browser hears of it
        clicked(explorer, (2, 0))
        settled(explorer)
        assert str(explorer.session.heads) == "L1H1 L2H0"
    finally:
        explorer.close()


@pytest.mark.parametrize("stop", ["cancel", "interrupt"])
def test_losses_that_were_cancelled_are_computed_on_request(explorer, stop):
    tokens, status = explorer.text.tokens, explorer.status
    with explorer.session.model.lock:  # the losses of the new mask have to wait
        explorer.session.mask("L1H1 L2H2")
        assert tokens.stale
        if stop == "cancel":
            explorer.queues.losses.cancel()  # what the button of the status line does
        else:
            _interrupted(signal.SIGINT, None)
    assert explorer.wait(60)
    assert tokens.stale
    assert "losses of the tokens are those of before" in status.words.value
    assert (status.remedy.layout.display, status.remedy.description) == ("", "Compute the losses")
    status.remedy.click()
    settled(explorer)
    assert not tokens.stale


def test_a_method_of_the_session_moves_the_controls(explorer):
    explorer.session.mask("L0H1")
    explorer.session.set_mode("zero")
    settled(explorer)
    assert explorer.toolbar.mode.value == "zero"
    explorer.session.undo()
    settled(explorer)
    assert explorer.toolbar.mode.value == "uniform"


def test_a_mode_with_a_named_reference_set_is_shown_and_computed(explorer):
    mine = wb.reference_set("explorer", ["a river and a bank", "nine or ten", "flour, water, salt"])
    explorer.session.mask("L1H1")
    for mode in (mine.resample, mine.mean):
        explorer.session.set_mode(mode)
        settled(explorer)
        assert explorer.toolbar.mode.value == mode
        expected = wb.token_losses(
            explorer.session.model, [TEXT], [explorer.session.heads], mode=mode
        )
        shown = explorer.session.changes().after
        np.testing.assert_allclose(shown[np.isfinite(shown)], expected[0][0], atol=1e-4)
    explorer.toolbar.mode.value = "zero"
    assert explorer.session.mode == "zero"


def test_neither_colours_nor_masks_wait_for_the_certificate(model, scores, monkeypatch):
    begun, go = threading.Event(), threading.Event()

    def slow(checked):
        begun.set()
        assert go.wait(60)
        return wb.certify(checked)

    monkeypatch.setattr("widgets.panels.toolbar.certify", slow)
    explorer = Explorer(model, text=TEXT, scores=scores)
    try:
        assert explorer.queues.colours.wait(60)
        assert begun.wait(60)
        assert explorer._colours.name == "retrieval score"  # they came first
        explorer.toolbar.count.value = 3
        assert explorer.queues.colours.wait(60)
        assert explorer.session.heads == wb.HeadSet.top(scores, 3 / 12)
        assert "certified" not in explorer.toolbar.title.value
        go.set()
        settled(explorer)
        assert ">certified</span>" in explorer.toolbar.title.value
    finally:
        go.set()
        explorer.close()


def test_presets(explorer, scores):
    heads, session = explorer.toolbar, explorer.session
    assert heads.count.value == 1  # 5 % of 12
    heads.top.click()
    settled(explorer)
    assert session.heads == wb.HeadSet.top(scores, 1 / 12)
    heads.count.value = 4
    settled(explorer)
    assert session.heads == wb.HeadSet.top(scores, 4 / 12)
    chosen = session.heads
    heads.random.click()
    settled(explorer)
    assert len(session.heads) == 4
    assert not session.heads & chosen
    first = session.heads
    heads.seed.value = 7
    assert session.heads == wb.HeadSet.random(session.model, exclude=chosen, seed=7)
    assert session.heads != first
    heads.invert.click()
    assert len(session.heads) == 8
    heads.clear.click()
    assert not session.heads
    heads.undo.click()
    assert len(session.heads) == 8
    heads.redo.click()
    assert not session.heads
    heads.names.value = "L0H1, l2h3"
    assert str(session.heads) == "L0H1 L2H3"
    heads.mode.value = "mean"
    assert session.mode == "mean"
    heads.compare.value = True
    assert str(session.state.against) == "L0H1 L2H3"
    assert heads.compare.description == "Compared with 2"
    heads.clear.click()
    settled(explorer)
    assert explorer.text.tokens.labels == ["2 heads masked", "no mask"]
    assert explorer.heads.grid.reference == bytes([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    heads.compare.value = False
    assert not session.state.against
    assert heads.compare.description == "Compare"
    assert explorer.heads.grid.reference == bytes(12)
    assert heads.clear.disabled


def test_the_top_heads_of_the_present_colours_are_masked(explorer, model):
    explorer.heads.colour.value = "influence on the text (exact)"
    explorer.toolbar.count.value = 3
    settled(explorer)
    effect = wb.head_effects(model, TEXT).effect
    highest = np.argsort(-effect.ravel())[:3]
    expected = wb.HeadSet.of(zip(*np.unravel_index(highest, effect.shape), strict=True), model)
    assert explorer.session.heads == expected


def test_the_line_above_says_how_weights_were_rounded_and_whether_heads_copy(
    explorer, model, scores, monkeypatch
):
    title, session = explorer.toolbar.title, explorer.session
    assert "rounded" not in title.value
    assert "aiw-badge-bad" not in title.value
    monkeypatch.setattr(model, "simulate", "nf4")
    session.use_scores(
        scores.assign(score=scores["score"] / 1000)
    )  # of a model that copies nothing
    assert "float32 rounded as nf4 on cpu" in title.value
    assert re.search(r'aiw-badge-bad"[^<]*>highest 0.00: no head copies<', title.value)


def test_heads_that_tie_at_the_cut_are_taken_on_request_only(model):
    layer, head = np.indices((model.num_layers, model.num_heads)).reshape(2, -1)
    same = pd.DataFrame({"layer": layer, "head": head, "score": 0.5})
    explorer = Explorer(model, text=TEXT, scores=same)
    try:
        explorer.toolbar.count.value = 3
        assert explorer.wait(60)
        assert "tie at the cut" in str(explorer.status.error)
        explorer.toolbar.ties.value = True
        explorer.toolbar.top.click()
        settled(explorer)  # the error went with the success of the same work
        assert str(explorer.session.heads) == "L0H0 L0H1 L0H2"
        explorer.toolbar.ties.value = False
        explorer.toolbar.count.value = 2
        assert explorer.wait(60)
        assert "allow_ties=True" in str(explorer.status.error)
        assert explorer.status.remedy.description == "Allow ties"
        explorer.status.remedy.click()  # what the message asks for, where it stands
        settled(explorer)
        assert explorer.toolbar.ties.value
        assert str(explorer.session.heads) == "L0H0 L0H1"
    finally:
        explorer.close()


def test_an_error_of_masking_the_top_goes_when_another_number_of_heads_can_be_masked(explorer):
    score = [0.9, 0.8, *[0.5] * 10]
    layer, head = np.indices((3, 4)).reshape(2, -1)
    explorer.session.use_scores(pd.DataFrame({"layer": layer, "head": head, "score": score}))
    for panel in (explorer.toolbar, explorer.head_list):
        panel.count.value = 3
        panel.top.click()
        assert explorer.wait(60)
        assert "tie at the cut" in str(explorer.status.error)
        panel.count.value = 2
        panel.top.click()
        settled(explorer)
        assert len(explorer.session.heads) == 2


def test_undo_and_redo_from_the_keys_of_grid_and_text(explorer):
    explorer.session.mask("L0H1")
    for widget in (explorer.heads.grid, explorer.text.tokens):
        widget.handle(widget, {"action": "undo"})
        assert not explorer.session.heads
        widget.handle(widget, {"action": "redo"})
        assert str(explorer.session.heads) == "L0H1"


def test_colours(explorer, model):
    grid = explorer.heads.grid
    values = np.frombuffer(grid.values, np.float32).reshape(model.num_layers, model.num_heads)
    assert grid.legend["name"] == "retrieval score"
    assert values[0, 0] == 1
    explorer.heads.colour.value = "influence on the text (exact)"
    settled(explorer)
    values = np.frombuffer(grid.values, np.float32).reshape(model.num_layers, model.num_heads)
    np.testing.assert_allclose(values, wb.head_effects(model, TEXT).effect, atol=1e-6)
    assert grid.legend["diverging"]
    frame = pd.DataFrame({"layer": [0], "head": [1], "mine": [0.5]})
    explorer.session.add_columns(frame)
    explorer.heads.colour.value = "mine"
    settled(explorer)
    assert np.isnan(np.frombuffer(grid.values, np.float32)).sum() == 11


def test_a_locked_scale_of_the_heads_holds_for_its_quantity_alone(explorer, scores):
    grid, session, panel = explorer.heads.grid, explorer.session, explorer.heads

    def scale(name):
        session.colour_by(name)
        settled(explorer)
        return grid.legend["low"], grid.legend["high"]

    panel.lock.value = True  # the retrieval score, from 0 to 1
    frame = scores.drop(columns="score").assign(mine=np.linspace(100, 200, 12))
    session.add_columns(frame)
    assert scale("mine") == (0, 200)
    session.use_scores(scores.assign(score=scores["score"] * 5))
    assert scale("retrieval score") == (0, 1)
    panel.lock.value = False
    assert scale("retrieval score") == (0, 5)
    session.ask(9)
    settled(explorer)
    locked = scale("need of the token")
    panel.lock.value = True
    session.ask(5)
    assert scale("need of the token") == locked
    assert scale("influence on the text (exact)") != locked
    assert scale("influence on the text (estimate)") != locked
    panel.lock.value = False
    assert scale("need of the token") != locked


def test_asking_what_a_token_needs(explorer, model):
    tokens = explorer.text.tokens
    tokens.handle(tokens, {"action": "ask", "token": 9, "revision": tokens.revision})
    settled(explorer)
    assert tokens.selected == 9
    values = np.frombuffer(explorer.heads.grid.values, np.float32)
    expected = wb.head_effects(model, TEXT, token=9).effect
    np.testing.assert_allclose(values.reshape(expected.shape), expected, atol=1e-6)
    explorer.session.read("something else")
    settled(explorer)
    assert tokens.selected == -1
    assert explorer.heads.colour.value == "retrieval score"


def test_what_is_predicted_goes_to_the_browser(explorer):
    sent: list = []
    tokens = explorer.text.tokens
    tokens.send = lambda content, buffers=None: sent.append(content)
    tokens.handle(tokens, {"action": "predict", "token": 4, "revision": tokens.revision})
    settled(explorer)
    (message,) = sent
    assert (message["kind"], message["token"], message["revision"]) == (
        "predictions",
        4,
        tokens.revision,
    )
    before, _ = explorer.session.predictions(4)
    assert message["before"] == [
        [escape_control_characters(prediction.text), prediction.probability]
        for prediction in before
    ]
    json.dumps(message)
    tokens.handle(tokens, {"action": "predict", "token": 4, "revision": tokens.revision - 1})
    assert explorer.wait(60)
    assert len(sent) == 1  # of a text that is no longer shown


def test_what_needs_scores_or_a_corpus_leads_there(explorer, tmp_path, monkeypatch):
    status, session = explorer.status, explorer.session
    status.guarded(session.open)(3)
    assert "session.score(" in str(status.error)
    status.remedy.click()
    assert explorer.tabs.selected_index == TABS.index("Documents")
    assert explorer.documents.another.value
    assert status.error is None
    asked = []
    monkeypatch.setattr(session, "detect", lambda: asked.append("detect"))
    session._values.scores = None
    status.guarded(session.top)(3)
    assert status.remedy.description == "Find the heads"
    monkeypatch.setattr(explorer.toolbar, "_found", lambda scores: None)
    status.remedy.click()
    settled(explorer)
    assert asked == ["detect"]
    # Scores that lie in no folder need one for their manifest.
    session.mask("L0H1")
    session.score([{"id": str(i), "text": f"text {i} of text"} for i in range(8)])
    settled(explorer)
    monkeypatch.chdir(tmp_path)
    explorer.selection.export.click()
    assert explorer.wait(60)
    assert "export('run/')" in str(status.error)
    status.remedy.click()
    settled(explorer)
    assert (tmp_path / "manifest" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda e: setattr(e.toolbar.names, "value", "L9H9"), "layers go from 0 to 2"),
        (lambda e: setattr(e.toolbar.names, "value", "heads!"), "is not a head"),
        (lambda e: (setattr(e.text.box, "value", "  "), e.text.read.click()), "empty"),
        (lambda e: e.text.tokens.handle(
            None, {"action": "dance", "revision": e.text.tokens.revision, "token": 1}), "dance"),
        (lambda e: e.heads.grid.handle(None, {}), "action"),
        (lambda e: e.documents.extremes["highest"].click(), "no corpus"),
        (lambda e: loads_from(e, ""), "folder"),
        (lambda e: loads_from(e, "nowhere"), "no run.json"),
    ],
)  # fmt: skip
def test_errors_are_shown_and_nothing_is_lost(explorer, act, message):
    explorer.session.mask("L1H1")
    act(explorer)
    explorer.wait(60)
    assert message in str(explorer.status.error)
    assert message.replace("'", "&#x27;") in explorer.status.words.value
    assert explorer.status.close_error.layout.display == ""
    assert str(explorer.session.heads) == "L1H1"
    assert explorer.session.text == TEXT
    explorer.status.dismiss()
    explorer.toolbar.invert.click()
    settled(explorer)


def test_a_corpus_is_scored_cut_opened_and_exported(explorer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": f"{part}/{i}", "text": f"{part} {i} of {i * i} " * 4, "domain": part}
        for part in ("<b>x</b>", "y") for i in range(10)
    ]  # fmt: skip
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    documents, selection = explorer.documents, explorer.selection
    explorer.session.mask("L1H1 L2H3")
    documents.form.path.value = "corpus.jsonl"
    documents.form.most.value = 40
    documents.form.score.click()
    settled(explorer)
    corpus = explorer.session.corpus
    assert documents.table.total == 20
    assert (
        "20 documents in 2 domains, scored by llama with L1H1 L2H3 masked (uniform), 40 tokens of "
        "each"
    ) in documents.origin.value
    assert [value for _, value in documents.domain.options] == ["", "<b>x</b>", "y"]
    documents.domain.value = "y"
    assert documents.table.total == 10
    documents.contains.value = "Y/3"
    assert documents.table.total == 1
    documents.contains.value = ""
    documents.only.value = True
    assert documents.table.total == 2
    documents.only.value = False
    documents.extremes["nearest"].click()
    settled(explorer)
    (row,) = corpus.rows(corpus.extremes("nearest", domain="y"))
    assert explorer.session.document == row["doc_id"]
    assert "&" not in explorer.text.box.value
    assert row["doc_id"] in explorer.text.source.value
    assert f"score {row['score']:.2f} in the run" in explorer.text.source.value
    selection.fraction.value = 0.5
    settled(explorer)
    assert corpus.selection.fraction == 0.5
    assert "<span>5 of 10</span>" in selection.counts.value
    assert "&lt;b&gt;x&lt;/b&gt;" in selection.counts.value
    selection.by.value = "tokens"
    settled(explorer)
    assert corpus.selection.by == "tokens"
    figure = selection.figure.figure
    assert figure is not None
    assert sum(sum(bar.y) for bar in figure.data) == 20
    selection.fraction.value = 0.2
    settled(explorer)
    assert selection.figure.figure is figure  # updated, not made anew
    selection.export.click()
    settled(explorer)
    folder = default_folder("corpus.jsonl")
    assert documents.form.folder.placeholder == folder
    for words in (selection.note.value, explorer.status.words.value):
        assert f"top 20% of the tokens by score written: {folder}/manifest.json" in words
    assert wb.verify_manifest(tmp_path / folder).ok
    explorer.tabs.selected_index = TABS.index("Code")
    code = explorer.code.view.code
    assert f"session.load('{folder}', 'corpus.jsonl')" in code


def test_a_finished_run_is_taken_up_again(explorer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": str(i), "text": f"number {i} " * 5, "domain": "a"} for i in range(6)]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wb.score_corpus(explorer.session.model, wb.HeadSet.of([(1, 1)], explorer.session.model),
                    "c.jsonl", out="run")  # fmt: skip
    explorer.documents.form.path.value = "c.jsonl"
    explorer.documents.form.folder.value = "run"
    explorer.documents.form.load.click()
    settled(explorer)
    assert explorer.documents.table.total == 6


@pytest.fixture
def planted(monkeypatch):
    """An explorer of the planted model, with probes of a size that it reads."""
    monkeypatch.setattr(
        head_values, "make_probes", lambda model, n, **_: planted_probes(model, n=n)
    )
    model = planted_model()
    explorer = Explorer(model, text="what is lost?", scores=scores_of(model))
    explorer.curves.probes.value = 2
    yield explorer
    explorer.close()


def test_the_curve_is_drawn_at_the_sizes_and_draws_that_are_asked_for(planted):
    curves = planted.curves
    for sizes, draws, points in (("", 5, [0, 1]), ("0, 2 3", 3, [0, 2, 3])):
        curves.sizes.value, curves.draws.value = sizes, draws
        curves.draw.click()
        assert planted.wait(120)
        assert planted.status.error is None
        band, mean, detected = curves.figure.figure.data[:3]
        assert band.name == f"range of {draws} random draws"
        assert mean.name == "mean of the draws"
        assert detected.name == "detected order"
        assert list(detected.x) == points
    curves.sizes.value = "0 one"
    curves.draw.click()
    assert "sizes are numbers of masked heads, such as 0 1; got" in curves.note.value
    curves.sizes.value = "0 7"
    curves.draw.click()
    assert planted.wait(60)
    assert "sizes must lie between 0 and 4" in curves.note.value
    assert list(curves.figure.figure.data[2].x) == [0, 2, 3]


def test_what_is_drawn_of_a_curve_stays_when_it_is_cancelled(planted, monkeypatch):
    curves, tables = planted.curves, []
    show = curves._drawn

    def drawn(table):
        show(table)
        tables.append(table)
        planted.cancel()  # the button, at the first points

    monkeypatch.setattr(curves, "_drawn", drawn)
    curves.sizes.value = "0 1 2 3"
    curves.draw.click()
    assert planted.wait(120)
    assert planted.status.error is None
    (table,) = tables
    assert len(table) < 4 * 6  # not all sizes of all orders
    assert list(curves.figure.figure.data[2].x) == [0, 1, 2, 3]
    assert "cancelled" in curves.note.value


def test_controls_say_what_the_session_says_after_a_load(explorer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": str(i), "text": f"number {i} " * 5, "domain": "a"} for i in range(10)]
    explorer.session.mask("L1H1")
    explorer.session.score(rows, "run")
    explorer.session.cut(0.5, "tokens")
    assert (explorer.selection.fraction.value, explorer.selection.by.value) == (0.5, "tokens")
    explorer.session.load("run", rows)
    assert (explorer.selection.fraction.value, explorer.selection.by.value) == (0.2, "documents")
    explorer.session.open("3")
    explorer.session.load("run", rows)
    assert explorer.session.document is None
    settled(explorer)


def test_work_that_waits_is_done_for_the_state_of_its_click(explorer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": str(i), "text": f"number {i} " * 5, "domain": "a"} for i in range(4)]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    go = threading.Event()
    explorer.session.mask("L1H1")
    explorer.queues.begin("something long", lambda: go.wait(30))
    explorer.documents.form.path.value = "c.jsonl"
    explorer.documents.form.score.click()
    explorer.session.mask("L2H2 L2H3")
    explorer.documents.form.path.value = "another.jsonl"
    go.set()
    settled(explorer)
    assert explorer.session.corpus.selection.run["heads"]["heads"] == "L1H1"
    assert len(explorer.session.corpus) == 4


def test_the_code_of_a_long_text_is_short_and_runs(explorer, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "Zeile eins \u00e4\r\n" + "one two three " * 1700
    explorer.session.read(text)
    explorer.session.mask("L1H1")
    explorer.tabs.selected_index = TABS.index("Code")
    settled(explorer)
    code = explorer.code.view.code
    assert len(code.splitlines()) < 15
    assert max(map(len, code.splitlines())) < 100
    explorer.code.save.click()
    assert explorer.status.error is None
    lines = [line for line in code.splitlines() if not line.startswith("# model")]
    namespace = {"model": model}
    exec("\n".join(lines), namespace)
    assert str(namespace["session"].heads) == "L1H1"
    assert namespace["session"].text == text
    explorer.session.read(TEXT)
    assert TEXT in explorer.code.view.code


def test_a_text_that_is_being_typed_is_kept(explorer):
    explorer.text.box.value = "half a sent"
    explorer.session.toggle("L0H0")
    settled(explorer)
    assert explorer.text.box.value == "half a sent"
    explorer.text.read.click()
    settled(explorer)
    assert explorer.session.text == "half a sent"


def test_the_second_window_of_a_long_text_is_one_click_away(model):
    explorer = Explorer(model, text="one two three four " * 20, max_tokens=50)
    try:
        settled(explorer)
        text = explorer.text
        assert text._windows.layout.display == ""
        assert (text.window.max, text.of.value) == (
            explorer.session.windows,
            f"of {text.window.max}",
        )
        assert "lie in other windows" in text.tokens.note
        text.window.value = 2
        settled(explorer)
        assert explorer.session.state.window == 1
        assert text.tokens.tokens == list(explorer.session.changes().pieces)
        explorer.session.undo()
        settled(explorer)
        assert text.window.value == 1
        explorer.session.read("short")
        settled(explorer)
        assert text._windows.layout.display == "none"
        assert text.window.max == 1
        assert explorer.status.error is None
    finally:
        explorer.close()


def test_a_click_on_a_text_that_is_on_its_way_out_asks_nothing(explorer):
    tokens, revision = explorer.text.tokens, explorer.text.tokens.revision
    with explorer.session.model.lock:  # the losses of the new text have to wait
        explorer.session.read("quite another text, and longer than the first one was")
        assert tokens.stale
        tokens.handle(tokens, {"action": "ask", "token": 5, "revision": revision})
        tokens.handle(tokens, {"action": "predict", "token": 20, "revision": revision})
        assert explorer.session.palette.token is None
    settled(explorer)
    assert not tokens.stale


def test_interrupt_between_cells_cancels(explorer):
    started = []

    def long():
        from workbench.core.progress import check_cancelled

        started.append(True)
        while True:
            check_cancelled()

    explorer.queues.begin("for ever", long)
    _interrupted(signal.SIGINT, None)
    assert explorer.queues.wait(30)
    explorer.session.mask("L1H1")
    settled(explorer)


def test_two_explorers_share_a_session(explorer):
    other = Explorer(explorer.session)
    try:
        clicked(other, (2, 2))
        settled(explorer)
        settled(other)
        assert str(explorer.session.heads) == "L2H2"
    finally:
        other.close()
    explorer.session.clear()  # the closed one no longer listens
    settled(explorer)
    with pytest.raises(TypeError, match="text"):
        Explorer(explorer.session, text="other")


def test_two_explorers_on_one_model_keep_apart(explorer, model):
    other = Explorer(model, text="another text, another head")
    try:
        explorer.session.toggle("L0H1")
        other.session.toggle("L1H2")
        settled(explorer)
        settled(other)
        assert (str(explorer.session.heads), str(other.session.heads)) == ("L0H1", "L1H2")
        assert other.session.text != explorer.session.text
    finally:
        other.close()
    explorer.session.toggle("L2H3")  # the model works on without the closed one
    settled(explorer)


def test_all_that_crosses_to_the_browser_is_utf_8(explorer, tmp_path):
    """Names of a corpus may hold anything; a message with half a character ends the connection."""
    rows = [
        {"id": f"{text}\0{number}", "text": f"{text} text {number} {text}", "domain": text}
        for number, text in enumerate(TEXTS[::6])
    ]
    session = explorer.session
    session.mask("L0H1")
    session.score(rows, tmp_path / "run")
    session.open(3)
    settled(explorer)
    for widget in _widgets(explorer):
        json.dumps(
            {k: v for k, v in widget.get_state().items() if isinstance(v, str | list | dict)},
            default=lambda value: None,
        )
        for value in widget.get_state().values():
            if isinstance(value, str):
                value.encode()
                assert not isinstance(widget, ipywidgets.HTML) or "<script>window" not in value
    with pytest.raises(ValueError, match="lone surrogate at character 2"):
        session.read("a \ud83d b")


def _widgets(box):
    yield box
    for child in getattr(box, "children", ()):
        yield from _widgets(child)


def test_the_picture_holds_grid_and_text_and_is_the_same_every_time(explorer):
    explorer.session.mask("L1H2")
    explorer.session.read("a <b>c</b> \u202e\x00 d")
    settled(explorer)
    html = explorer.snapshot().data
    assert html == explorer.snapshot().data
    assert html.count("<td ") == 12
    assert html.count("&times;</td>") == 1
    assert "<b>c" not in html
    assert "\u202e" not in html


def test_display_gives_the_widget_and_the_picture_beside_it(explorer, monkeypatch):
    shown: list = []

    class Shown:
        def update(self, content, **options):
            updated.append(content)

    def display(widget, **options):
        shown.append(widget)
        return Shown()

    updated: list = []
    monkeypatch.setattr("widgets.explorer.display", display)
    explorer._ipython_display_()
    widget, picture, png = shown
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert picture.data == explorer.snapshot().data
    heads, colours = explorer.session.heads, explorer._colours
    drawn = grid_png(explorer.session.model, heads, colours)
    assert base64.b64decode(png["image/png"]) == drawn  # for sites that strip colours
    assert png["text/plain"] == f"{len(heads)} of 12 heads masked, as a picture"
    explorer.session.toggle("L0H1")
    settled(explorer)
    explorer._update_static()
    assert updated[-1] != png
    assert updated[-2].data == explorer.snapshot().data


def test_a_wide_model_crosses_as_bytes():
    view = TokenView()
    assert isinstance(view.before, bytes | memoryview)
    with pytest.raises(KeyError):
        view.handle(view, {})


def test_the_widgets_draw_and_the_workbench_computes():
    """No widget module imports torch: there is nothing to compute in it."""
    import ast

    for path in (ROOT / "widgets").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import)
                else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )  # fmt: skip
            assert not [name for name in names if name.split(".")[0] in ("torch", "transformers")]
