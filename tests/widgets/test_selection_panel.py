"""The selection panel without a browser: cuts, other scorers, two selections, the live figure."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.models import make_model

import workbench as wb
from widgets import Explorer
from widgets.views.live_figure import LiveFigure
from workbench.figures.selection import influence_histogram
from workbench.selection.exposure_counts import exposures
from workbench.session.corpus.selection_pair import PARTS

TEXT = "one two three one two three"


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def explorer(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": str(i), "text": f"text {i} of {i * i} words " * (1 + i % 5), "domain": "ab"[i % 2]}
        for i in range(40)
    ]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = Explorer(model, text=TEXT, heads="L1H1 L2H3")
    made.session.score("c.jsonl", "run", max_tokens=30)
    settled(made)
    yield made
    made.close()


def settled(explorer):
    assert explorer.wait(120)
    assert explorer.status.error is None, explorer.status.error


def test_the_heads_that_made_the_scores_are_named_and_told_from_those_of_the_grid(explorer):
    line = explorer.selection.scored_under
    assert "scored under 2 heads: L1H1 L2H3 (uniform)" in line.value
    assert "another set" not in line.value
    explorer.session.mask("L0H0")
    assert "the grid now masks another set: 1 head (uniform)" in line.value
    explorer.session.undo()
    assert "another set" not in line.value
    explorer.session.set_mode("zero")
    assert "another set: 2 heads (zero)" in line.value
    explorer.session.set_mode("uniform")
    explorer.session.clear()
    assert "another set: no head" in line.value


def test_a_share_is_what_it_is_called(explorer):
    selection = explorer.selection
    selection.fraction.value = 0.45000000000000007
    settled(explorer)
    assert explorer.session.corpus.selection.fraction == 0.45
    assert "session.cut(0.45, 'documents')" in explorer.session.code()
    assert "9 of 20" in selection.counts.value


def test_what_an_epoch_shows_more_than_once_is_said(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = [f"text {i} of {i * i} words" for i in range(6)] + ["thrice"] * 3
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    explorer = Explorer(model, text=TEXT, heads="L1H1 L2H3")
    explorer.session.score("c.jsonl", "run")
    settled(explorer)
    counts = explorer.selection.counts
    explorer.selection.fraction.value = 1.0
    settled(explorer)
    assert "3 of the chosen documents have copies among them" in counts.value
    assert "an epoch shows the most frequent 3 times" in counts.value
    seen = exposures(explorer.session.corpus.selection)["seen"]
    assert list(seen) == [3, 3, 3, *[1] * 6]
    explorer.selection.fraction.value = 0.11  # one document
    settled(explorer)
    assert "copies" not in counts.value
    explorer.close()


def test_documents_are_ranked_by_another_column(explorer):
    selection, session = explorer.selection, explorer.session
    corpus = session.corpus
    assert selection.by_score.value == "score"
    assert {"rise", "score_novel", "loss_base", "tokens"} <= {*selection.by_score.options}
    assert not {"rank", "margin", "doc_id", "repetition"} & {*selection.by_score.options}
    positions = {doc_id: i for i, doc_id in enumerate(corpus._rows.scores["doc_id"])}
    for name in selection.by_score.options:
        selection.by_score.value = name
        settled(explorer)
        expected = wb.select(wb.load_scores("run"), by_score=name)
        assert corpus.selection.by_score == name
        chosen = {positions[doc_id] for doc_id in expected.chosen["doc_id"]}
        assert set(corpus.selected) == chosen  # a position is that of the same document for good
        rows = corpus.rows(range(40))
        ranks = expected.table.set_index("doc_id")["rank"]
        assert all(row["rank"] == ranks[row["doc_id"]] for row in rows if row["doc_id"] in ranks)
        assert expected.without_value == sum(row["rank"] != row["rank"] for row in rows)
    selection.by_score.value = "rise"
    settled(explorer)
    assert "session.cut(0.2, 'documents', 'rise')" in session.code()
    selection.export.click()
    settled(explorer)
    assert "top 20% of the documents by rise written: run/manifest.json" in selection.note.value
    assert wb.verify_manifest("run").ok


def test_documents_without_a_value_have_no_rank(model):
    rows = [{"id": str(i), "text": f"text {i} again and again and so on"} for i in range(6)]
    explorer = Explorer(model, text=TEXT, heads="L1H1")
    try:
        session = explorer.session
        corpus = session.score(rows, controls=1, controls_share=0.5)
        known = np.isfinite(corpus.column("excess"))
        assert 0 < known.sum() < 6
        explorer.selection.by_score.value = "excess"
        settled(explorer)
        values = corpus.rows(range(6))
        assert [row["rank"] == row["rank"] for row in values] == known.tolist()
        assert not any(
            row["selected"] for row, there in zip(values, known, strict=True) if not there
        )
        assert f"{(~known).sum()} document" in explorer.selection.counts.value
        assert "no rank" in corpus.status(int(np.flatnonzero(~known)[0]))
    finally:
        explorer.close()


def test_documents_that_a_funnel_excludes_are_left_out(explorer):
    selection, session = explorer.selection, explorer.session
    funnel = wb.funnel("c.jsonl", ["7", "9", "16"], escalate=1)
    funnel.write("funnel.parquet")
    out = int(funnel.rows["excluded"].sum())
    assert out > 1
    selection.exclude.value = "c.jsonl"
    assert explorer.wait(60)
    assert "is not the file of a funnel" in selection.note.value
    assert 'role="alert"' in selection.note.value
    assert session.corpus.exclude is None
    selection.exclude.value = " funnel.parquet"
    settled(explorer)
    assert selection.note.value == ""
    expected = wb.select(wb.load_scores("run"), exclude="funnel.parquet")
    pd.testing.assert_frame_equal(session.corpus.selection.table, expected.table)
    assert f"{out} documents are left out by the funnel" in selection.counts.value
    assert "session.cut(0.2, 'documents', exclude='funnel.parquet')" in session.code()
    selection.fraction.value = 0.5  # the funnel stays when something else is moved
    settled(explorer)
    assert session.corpus.exclude == "funnel.parquet"
    selection.export.click()
    settled(explorer)
    assert "left out by a funnel written: run/manifest.json" in selection.note.value
    assert wb.verify_manifest("run").ok
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["aiw:documents"]["excluded"] == out
    selection.exclude.value = ""
    settled(explorer)
    assert session.corpus.exclude is None
    assert "left out" not in selection.counts.value
    session.cut(exclude=funnel)  # from a cell; what is moved afterwards keeps it
    settled(explorer)
    selection.fraction.value = 0.4
    settled(explorer)
    assert session.corpus.exclude is funnel


def test_an_export_that_fails_says_so_beside_its_button(explorer):
    selection = explorer.selection
    selection.folder.value = "/dev/null/x"
    selection.export.click()
    assert explorer.wait(60)
    assert explorer.status.error is not None
    assert 'role="alert"' in selection.note.value
    selection.folder.value = "run"
    selection.export.click()
    settled(explorer)
    assert "written: run/manifest.json" in selection.note.value
    before = selection.children.index(selection.figure)
    assert all(selection.children.index(part) < before for part in (selection.note,))


def test_two_selections_are_compared_and_their_parts_shown(explorer):
    selection, documents = explorer.selection, explorer.documents
    corpus = explorer.session.corpus
    assert selection.part.disabled
    first = set(corpus.selected)
    selection.keep.click()
    assert "8 both, 0 only A, 0 only B; overlap 100%" in selection.pair.value
    selection.by_score.value = "loss_base"
    settled(explorer)
    second = set(corpus.selected)
    pair = {"both": first & second, "only A": first - second, "only B": second - first}
    counts = ", ".join(f"{len(part)} {name}" for name, part in pair.items())
    assert counts in selection.pair.value
    assert "A: top 20% of the documents by score" in selection.pair.value
    assert "B: top 20% of the documents by loss_base" in selection.pair.value
    for name in PARTS:
        selection.part.value = name
        assert set(documents.table.order) == pair[name]
        assert f"selections: {name}" in documents.passing.value or len(pair[name]) == 40
    selection.part.value = "only B"
    selection.fraction.value = 0.5  # B moves, and the table with it
    settled(explorer)
    assert set(documents.table.order) == set(corpus.selected) - first
    selection.part.value = "all documents"
    assert documents.table.total == 40
    explorer.session.load("run", "c.jsonl")
    settled(explorer)
    assert selection.pair.value == ""


# ---- the figure -------------------------------------------------------------------------------


def test_the_figure_is_as_wide_as_its_room_and_made_anew_for_a_new_view(explorer):
    live = explorer.selection.figure
    figure = live.figure
    assert figure.layout.width is None
    assert figure.layout.autosize
    assert figure.layout.height <= 420
    assert figure.layout.annotations[0].y == 1  # the name of the panel
    assert figure.layout.legend.y * figure.layout.height > figure.layout.height + 20  # above it
    assert {bar.name for bar in figure.data} == {"chosen", "not chosen"}
    assert "dashed: the cut" in live.caption.value
    explorer.session.cut(0.5)
    assert live.figure is figure  # changes in place
    watch = live._watch
    watch._heard(watch, {"action": "shown"}, None)
    assert live.figure is figure  # its first view
    watch._heard(watch, {"action": "gone"}, None)
    watch._heard(watch, {"action": "shown"}, None)  # the cell was moved
    assert live.figure is not figure
    assert figure.comm is None  # the one before is closed
    assert live.children[-1] is live.figure
    assert [list(bar.y) for bar in live.figure.data] == [
        list(bar.y) for bar in influence_histogram(explorer.session.corpus.selection).data
    ]
    live.use_theme("dark")
    assert live.figure.layout.template.layout.font.color != "#2a3f5f"
    explorer.session.cut(0.2)
    assert sum(sum(bar.y) for bar in live.figure.data) == 40


def test_the_figure_names_what_documents_are_ranked_by_in_every_panel(explorer):
    live = explorer.selection.figure
    assert len(live.figure.layout.annotations) == 2  # the panels: the axis below has the title
    for column in ("loss_base", "score"):
        explorer.session.cut(0.2, by_score=column)
        assert live.figure.layout.xaxis2.title.text == column
        assert all(bar.hovertemplate.startswith(f"{column} ") for bar in live.figure.data)


def test_the_names_of_panels_keep_their_size_when_the_cut_moves(explorer):
    live = explorer.selection.figure
    sizes = [title.font.size for title in live.figure.layout.annotations]
    figure = live.figure
    explorer.session.cut(0.5)
    assert live.figure is figure
    titles = live.figure.layout.annotations
    assert [title.font.size for title in titles] == sizes == [11, 11]
    assert titles[0].text.startswith("a: 10 of 20")


def test_a_second_view_that_goes_leaves_a_figure_that_works(explorer):
    live, watch = explorer.selection.figure, explorer.selection.figure._watch
    figure = live.figure
    for action in ("shown", "shown"):
        watch._heard(watch, {"action": action}, None)
    assert live.figure is figure
    watch._heard(watch, {"action": "gone"}, None)
    assert live.figure is not figure


def test_a_figure_without_anything_to_show_stays_empty():
    live = LiveFigure()
    live.use_theme("dark")
    live._watch._heard(None, {"action": "gone"}, None)
    live._watch._heard(None, {"action": "shown"}, None)
    assert live.figure is None
