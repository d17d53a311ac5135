"""The documents panel without a browser: fields for what errors ask, columns, filters, the plot."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch
from support.models import make_model

import workbench as wb
from widgets import Explorer
from widgets.views.document_table import BEGINNING
from workbench.core.polygon import inside
from workbench.core.text import escaped
from workbench.masking.packed import PackedPasses
from workbench.session.corpus.document_texts import BEGINNING as LONGEST

TEXT = "one two three one two three"


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture
def explorer(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Explorer(model, text=TEXT, heads="L1H1 L2H3")
    settled(made)
    yield made
    made.close()


def settled(explorer):
    assert explorer.wait(120)
    assert explorer.status.error is None, explorer.status.error


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows_of(count, text="text", domain="domain"):
    return [
        {"id": f"part/{i}", text: f"Text  {i}\nof {i * i} " * (1 + i % 4), domain: "ab"[i % 2]}
        for i in range(count)
    ]


@pytest.fixture
def scored(explorer, tmp_path):
    """An explorer over forty scored documents in two domains."""
    write(tmp_path / "c.jsonl", rows_of(40))
    explorer.documents.form.path.value = "c.jsonl"
    explorer.documents.form.score.click()
    settled(explorer)
    return explorer


def heard(widget, **message):
    """What the browser says."""
    widget._heard(widget, message, None)


def shown(explorer, count=40):
    """The rows as the browser gets them, first words included: texts by the keys of columns."""
    table, sent = explorer.documents.table, []
    table.send = lambda content, buffers=None: sent.append(content)
    heard(table, action="rows", first=0, count=count, revision=table.revision)
    settled(explorer)
    keys = [one["key"] for one in table.columns]
    rows = {row["position"]: dict(zip(keys, row["cells"], strict=True)) for row in sent[0]["rows"]}
    for message in sent[1:]:
        assert message["kind"] == "cells"
        for position, cell in message["cells"].items():
            rows[int(position)][message["key"]] = cell
    return rows


def test_success_and_errors_are_said_in_the_line_and_beside_the_control(scored, tmp_path):
    status, documents, text = scored.status, scored.documents, scored.text
    for done in (lambda: None, documents.form.load.click):
        done()
        settled(scored)
        assert "Ready: 40 documents in 2 domains, scored by llama" in status.words.value
        assert "40 documents in 2 domains, scored by llama" in documents.origin.value
        status.clear()
    first, second = documents.table.order[:2].tolist()
    heard(documents.table, action="open", position=first)
    settled(scored)
    text.before.click()
    for words in (status.words.value, text.step_note.value):
        assert "this is the first document of the table" in words
    heard(documents.table, action="open", position=second)
    settled(scored)
    assert text.step_note.value == ""
    write(tmp_path / "c.jsonl", [row | {"text": "another text"} for row in rows_of(40)])
    for act, note, other in (
        (text.after.click, text.step_note, documents.note),
        (lambda: heard(documents.table, action="open", position=first), documents.note, None),
    ):
        act()
        assert scored.wait(60)
        message = escaped(str(status.error))
        assert "holds another text" in message
        assert message in note.value
        assert other is None or other.value == ""


# ---- nothing ends in Python ------------------------------------------------------------------


def test_a_run_that_is_not_finished_goes_on_with_one_click(scored, tmp_path):
    form, status = scored.documents.form, scored.status
    (where,) = tmp_path.glob("*/run.json")
    run = json.loads(where.read_text())
    where.write_text(json.dumps(run | {"documents": None}))
    form.load.click()
    assert scored.wait(60)
    assert "is not finished: call score_corpus again" in str(status.error)
    assert (status.remedy.layout.display, status.remedy.description) == ("", "Score")
    status.remedy.click()
    settled(scored)
    assert json.loads(where.read_text())["documents"] == run["documents"]


def test_a_missing_column_is_asked_for_and_filled_in(explorer, tmp_path):
    write(tmp_path / "nocol.jsonl", rows_of(20, text="body", domain="kind"))
    form = explorer.documents.form
    form.path.value = "nocol.jsonl"
    form.score.click()
    assert explorer.wait(60)
    assert "text=" in str(explorer.status.error)
    assert "no column" in form.note.value
    assert form.options.value  # the fields are open
    assert "aiw-asked" in form.text._dom_classes
    assert "aiw-asked" not in form.id._dom_classes
    assert form.text.options == ("id", "body", "kind")
    form.text.value, form.domain.value = "body", "kind"
    form.score.click()
    settled(explorer)
    assert form.note.value == ""
    assert "aiw-asked" not in form.text._dom_classes
    assert len(explorer.session.corpus) == 20
    assert explorer.session.corpus.domains == ["a", "b"]
    assert explorer.session.corpus.columns == {"text": "body", "domain": "kind"}
    explorer.session.open("part/3")  # the same columns open documents
    assert explorer.session.text.startswith("Text  3")


def test_an_empty_field_of_the_domain_is_one_domain_and_a_text_needs_a_name(explorer, tmp_path):
    write(tmp_path / "c.jsonl", rows_of(8))
    form = explorer.documents.form
    form.path.value, form.domain.value, form.text.value = "c.jsonl", " ", ""
    form.score.click()
    assert "column of the text" in form.note.value
    form.text.value = "text"
    form.score.click()
    settled(explorer)
    assert len(explorer.session.corpus.domains) == 1


def test_the_folder_of_another_corpus_is_overwritten_only_when_told(explorer, tmp_path):
    write(tmp_path / "one.jsonl", rows_of(12))
    write(tmp_path / "two.jsonl", [{"id": str(i), "text": f"other {i} words"} for i in range(12)])
    form = explorer.documents.form
    form.folder.value = "run"
    form.path.value = "one.jsonl"
    form.score.click()
    settled(explorer)
    form.path.value = "two.jsonl"
    form.score.click()
    assert explorer.wait(60)
    assert "overwrite=True" in str(explorer.status.error)
    assert "aiw-asked" in form.overwrite._dom_classes
    assert form.options.value
    assert explorer.status.remedy.description == "Overwrite"
    explorer.status.remedy.click()
    settled(explorer)
    assert not form.overwrite.value
    assert len(explorer.session.corpus) == 12
    assert explorer.session.corpus.domains == ["all"]


def test_what_is_read_is_chosen_and_said(explorer, tmp_path):
    write(tmp_path / "long.jsonl", [{"id": str(i), "text": f"{i} word " * 60} for i in range(4)])
    form = explorer.documents.form
    form.path.value, form.read.value, form.most.value = "long.jsonl", "middle", 12
    form.controls.value = 1
    form.score.click()
    settled(explorer)
    corpus = explorer.session.corpus
    assert corpus.selection.run["read"] == "middle"
    assert {"excess", "read"} <= {*corpus.column_names}
    rows = shown(explorer)
    start, end = corpus._rows.scores["read"].iloc[2].split(":")
    assert int(start) > 0
    assert rows[2]["read"] == f"characters {int(start):,} to {int(end):,}"
    heard(explorer.documents.table, action="open", position=2)
    settled(explorer)
    assert rows[2]["read"] in explorer.text.source.value


def test_the_window_that_a_message_asks_for_is_a_field(explorer, tmp_path, monkeypatch):
    """As where one window does not fit the memory: the message ends in `window=`."""
    write(tmp_path / "c.jsonl", rows_of(6))
    form, session = explorer.documents.form, explorer.session
    form.path.value = "c.jsonl"
    with monkeypatch.context() as patched:
        patched.setattr(PackedPasses, "_whole_row_losses", out_of_memory)
        form.score.click()
        assert explorer.wait(60)
    assert "give a smaller window=" in str(explorer.status.error)
    assert form.options.value
    assert "aiw-asked" in form.window._dom_classes
    form.window.value = "many"
    form.score.click()
    assert "whole number of tokens" in form.note.value
    assert "aiw-asked" in form.window._dom_classes
    form.window.value = "16"
    form.score.click()
    settled(explorer)
    assert "aiw-asked" not in form.window._dom_classes
    plain = wb.score_corpus(
        session.model, session.heads, "c.jsonl", window=16, max_tokens=form.most.value
    )
    np.testing.assert_array_equal(session.corpus.column("score"), wb.select(plain).table["score"])
    assert "# scored with window=16\nsession.load(" in session.code()
    form.folder.value, form.window.value = "whole", ""
    form.score.click()
    settled(explorer)
    assert "window" not in session.code()


def out_of_memory(*_):
    raise torch.OutOfMemoryError("planted")


# ---- columns ----------------------------------------------------------------------------------


def test_first_words_are_read_for_the_rows_on_the_screen_only(scored, monkeypatch):
    texts, asked = scored.session.corpus._texts, []
    read = texts.document
    monkeypatch.setattr(texts, "document", lambda place: (asked.append(place), read(place))[1])
    rows = shown(scored, 5)
    assert sorted(asked) == sorted(rows)
    for position, row in rows.items():
        whole = " ".join(read(position).text.split())
        assert row[BEGINNING] == whole[:LONGEST]
    shown(scored, 5)  # and only once
    assert len(asked) == 5


def test_without_the_corpus_first_words_are_blank(scored, tmp_path):
    (tmp_path / "c.jsonl").unlink()
    assert all(row[BEGINNING] == "" for row in shown(scored).values())
    scored.session.load(scored.session.corpus.folder)  # a run without its corpus
    settled(scored)
    rows = shown(scored)
    assert len(rows) == 40
    assert all(row[BEGINNING] == "" for row in rows.values())


def test_all_columns_of_the_table_are_there_and_sort(scored):
    table, corpus = scored.documents.table, scored.session.corpus
    keys = {one["key"] for one in table.columns}
    assert {"doc_id", "score", "rise", "score_novel", "repetition", "read", BEGINNING} <= keys
    assert "excess" not in keys  # no control set was masked
    assert (table.by, table.ascending) == ("rank", True)
    for key in corpus.numeric_columns:
        if key != "rank":
            heard(table, action="sort", by=key)
            settled(scored)
            assert (table.by, table.ascending) == (key, key == "margin")
    heard(table, action="sort", by="score")
    scores = corpus.column("score")[table.order]
    assert (np.diff(scores) <= 0).all()  # the highest first


def test_the_column_that_is_ranked_by_stands_first_with_a_bar(scored):
    table, corpus = scored.documents.table, scored.session.corpus
    for name in ("score", "rise", "score"):
        scored.session.cut(0.2, by_score=name)
        settled(scored)
        keys = [one["key"] for one in table.columns]
        assert keys[:2] == ["doc_id", name]
        assert len(set(keys)) == len(keys)
        bars = {one["key"]: one["bar"] for one in table.columns if one.get("bar")}
        assert bars == {name: corpus.extent(name)}


# ---- filters ----------------------------------------------------------------------------------


def test_dragging_over_a_histogram_filters(scored):
    documents, table, corpus = scored.documents, scored.documents.table, scored.session.corpus
    histogram = table.histograms["score"]
    score = corpus.column("score")
    assert sum(histogram["all"]) == sum(histogram["kept"]) == 40
    edges = np.linspace(score.min(), score.max(), len(histogram["all"]) + 1)
    assert histogram["all"] == np.histogram(score, edges)[0].tolist()
    heard(table, action="range", key="score", bins=[0, 11])
    inside_it = score < edges[12]
    assert set(table.order) == set(np.flatnonzero(inside_it))
    assert table.histograms["score"]["range"] == (0, 11)
    assert sum(table.histograms["tokens"]["kept"]) == inside_it.sum()
    assert sum(table.histograms["tokens"]["all"]) == 40
    both = (inside_it & corpus._rows.placed["selected"]).sum()
    words = f"{inside_it.sum()} documents of 40, {both} selected; score"
    assert words in documents.passing.value
    assert float(documents.high.value) == pytest.approx(edges[12], rel=1e-5)
    documents.only.value = True
    assert len(table.order) == (inside_it & corpus._rows.placed["selected"]).sum()
    documents.clear.click()
    assert table.total == 40
    assert documents.clear.disabled
    assert not documents.low.value


def test_a_range_is_typed(scored):
    documents, corpus = scored.documents, scored.session.corpus
    documents.column.value = "tokens"
    tokens = corpus.column("tokens")
    documents.low.value = str(int(np.median(tokens)))
    assert set(documents.table.order) == set(np.flatnonzero(tokens >= np.median(tokens)))
    documents.high.value = "many"
    assert "expected a number" in documents.note.value
    documents.low.value, documents.high.value = "", ""
    settled(scored)
    assert documents.table.total == 40


def test_the_plot_chooses_and_opens(scored):
    documents, corpus = scored.documents, scored.session.corpus
    documents.plot.value = True
    settled(scored)
    scatter = documents.scatter
    points = scatter.points
    x, y = np.frombuffer(points.x, np.float32), np.frombuffer(points.y, np.float32)
    np.testing.assert_array_equal(x, corpus.column("loss_base").astype(np.float32))
    np.testing.assert_array_equal(y, corpus.column("score").astype(np.float32))
    low, high, middle = float(x.min()) - 1, float(x.max()) + 1, float(np.median(y))
    box = [[low, middle], [high, middle], [high, y.max() + 1], [low, y.max() + 1]]
    heard(points, action="select", corners=[[float(a), float(b)] for a, b in box])
    chosen = np.flatnonzero(corpus.column("score") > middle)
    assert set(documents.table.order) == set(chosen)
    assert np.flatnonzero(np.frombuffer(points.kept, np.uint8)).tolist() == chosen.tolist()
    scored.session.cut(0.5)
    assert set(documents.table.order) == set(chosen)  # stays while the cut moves
    heard(points, action="select", corners=None)
    assert documents.table.total == 40
    heard(points, action="open", position=7)
    settled(scored)
    assert scored.session.position == documents.table.opened == 7


def test_those_that_pass_the_filters_are_ranked_and_all_again(scored):
    documents, selection, corpus = scored.documents, scored.selection, scored.session.corpus
    assert documents.rank.disabled
    assert selection.everyone.disabled
    assert "ranked are all scored documents" in selection.among.value
    documents.plot.value = True
    settled(scored)
    middle = float(np.median(corpus.column("score")))
    box = [[-9.0, middle], [99.0, middle], [99.0, 9.0], [-9.0, 9.0]]
    heard(documents.scatter.points, action="select", corners=box)
    documents.rank.click()
    settled(scored)
    above = np.flatnonzero(corpus.column("score") > float(f"{middle:.5g}"))
    assert len(corpus.selection.table) == len(above) < 40
    assert "ranked: see Selection" in documents.note.value
    words = f"{len(above)} documents are ranked, {len(corpus.selected)} of them chosen"
    assert words in scored.status.words.value
    assert set(corpus.selected) <= set(above)
    words = "inside a shape drawn over score and loss_base"
    assert words in selection.among.value
    assert f"{40 - len(above)} documents are left out by the filters" in selection.counts.value
    assert "among=ranked)" in scored.session.code()
    selection.fraction.value = 0.5  # the filters stay when something else is moved
    settled(scored)
    assert len(corpus.selection.table) == len(above)
    documents.clear.click()  # shows all, and ranks as before
    assert documents.table.total == 40
    assert words in selection.among.value
    selection.export.click()
    settled(scored)
    assert f"of those that pass {words} written" in selection.note.value
    assert wb.verify_manifest(corpus.folder).ok
    selection.everyone.click()
    settled(scored)
    assert len(corpus.selection.table) == 40
    assert "left out" not in selection.counts.value


def test_what_follows_from_the_ranking_cannot_come_before_it(scored):
    documents = scored.documents
    documents.domain.value = "a"
    documents.only.value = True
    documents.rank.click()
    assert "which documents are selected follows from the ranking" in documents.note.value
    documents.only.value = False
    heard(documents.table, action="range", key="rank", bins=[0, 3])
    documents.rank.click()
    assert "rank follow from the ranking" in documents.note.value
    assert scored.session.corpus.among is None


def test_what_was_sorted_first_is_shown_first(scored, monkeypatch):
    documents, corpus = scored.documents, scored.session.corpus
    other = threading.Thread(target=lambda: scored.session.cut(0.2, by_score="loss_base"))
    sort = corpus.sort_and_filter

    def sorted_(*args, **filters):
        order = sort(*args, **filters)
        if other.ident is None:  # it is ranked anew on another thread, before this order is shown
            other.start()
            other.join(1)  # in vain: it waits until this is shown
        return order

    monkeypatch.setattr(corpus, "sort_and_filter", sorted_)
    documents.contains.value = "part"
    other.join()
    settled(scored)
    assert list(documents.table.order) == list(sort("rank", contains="part"))


def test_confounds_stand_above_the_plot(scored):
    documents, corpus = scored.documents, scored.session.corpus
    documents.plot.value = True
    settled(scored)
    expected = wb.confounds(corpus._rows.scores)
    row = expected[(expected["domain"] == "a") & (expected["confound"] == "loss_base")].iloc[0]
    line = documents.scatter.along.value
    words = f"loss_base in a {row.spearman:+.2f} ("
    assert words in line
    assert line.index(words) < line.index("tokens in a")  # what the axis shows comes first
    documents.scatter.across.value = "tokens"
    line = documents.scatter.along.value
    assert line.index("tokens in a") < line.index("loss_base in a")


def test_a_polygon_holds_what_lies_inside():
    random = np.random.default_rng(0)
    x, y = random.uniform(-2, 2, (2, 1000))
    corner = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    assert (inside(corner, x, y) == ((x > 0) & (y > 0) & (x + y < 1))).all()
    x[0] = np.nan
    assert not inside([(-9, -9), (9, -9), (9, 9), (-9, 9)], x, y)[0]
    with pytest.raises(ValueError, match="three corners"):
        inside([(0, 0), (1, 1)], x, y)


# ---- from one document to the next ------------------------------------------------------------


def test_the_document_below_and_above_is_opened(scored):
    documents, session = scored.documents, scored.session
    with pytest.raises(ValueError, match="no document is opened"):
        documents.step(1)
    heard(documents.table, action="sort", by="score")
    order = documents.table.order
    heard(documents.table, action="open", position=int(order[3]))
    settled(scored)
    sent = []
    documents.table.send = lambda content, buffers=None: sent.append(content)
    documents.step(1)
    settled(scored)
    assert session.position == documents.table.opened == order[4]
    assert sent[-1]["kind"] == "reveal"
    assert sent[-1]["number"] == 4
    documents.step(-4)
    settled(scored)
    assert session.position == order[0]
    with pytest.raises(ValueError, match="first document"):
        documents.step(-1)
    documents.domain.value = "b" if corpus_domain(scored, int(order[0])) == "a" else "a"
    with pytest.raises(ValueError, match="filters"):
        documents.step(1)


def corpus_domain(explorer, position):
    return explorer.session.corpus.rows([position])[0]["domain"]


def test_the_part_that_was_read_is_shown_and_all_of_it_at_a_click(explorer, tmp_path):
    long = " ".join(f"sentence {i} of a long document." for i in range(60))
    (tmp_path / "c.jsonl").write_text(json.dumps({"id": "long", "text": long}) + "\n")
    explorer.session.score("c.jsonl", tmp_path / "run", max_tokens=30, read="middle")
    settled(explorer)
    text, session = explorer.text, explorer.session
    assert text.whole.layout.display == "none"
    explorer.documents._open(0)
    settled(explorer)
    part = session.text
    assert part in long
    assert len(part) < len(long) / 4
    assert (text.whole.layout.display, text.whole.value) == ("", False)
    text.whole.value = True
    settled(explorer)
    assert session.text == long
    assert text.whole.value
    session.open(0)  # in Python, and the button follows
    settled(explorer)
    assert (session.text, text.whole.value) == (part, False)
    (tmp_path / "c.jsonl").unlink()
    text.whole.value = True
    explorer.wait(60)
    assert "c.jsonl" in str(explorer.status.error)
    assert (session.text, text.whole.value) == (part, False)
    session.read("a text of my own")
    assert text.whole.layout.display == "none"
