"""A session with its corpus: scored, taken up, its documents opened, cut, exported."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from support.run_folders import lay_down_run

import workbench as wb

TEXTS = [
    {
        "id": f"Doc {i}",
        "text": f"document number {i} é: " + "word " * (i % 7),
        "domain": "ab"[i % 2],
    }
    for i in range(12)
]


@pytest.fixture
def session(tiny):
    return wb.Session(tiny, "some text", "L0H1 L1H3")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def as_path(folder):
    return write(folder / "c.jsonl", TEXTS)


def as_text_path(folder):
    return str(as_path(folder))


def as_frame(folder):
    return pd.DataFrame(TEXTS)


def as_list(folder):
    return TEXTS


def as_stream(folder):
    return (row for row in TEXTS)  # can be read only once, and is opened all the same


def as_arrow_stream(folder):
    return pa.Table.from_pylist(TEXTS).to_reader()


@pytest.mark.parametrize(
    "form", [as_path, as_text_path, as_frame, as_list, as_stream, as_arrow_stream]
)
def test_scoring_and_opening_documents_of_any_corpus(session, tmp_path, form):
    heard = []
    session.on_change(heard.append)
    found = session.score(form(tmp_path), tmp_path / "run", shard_size=5)
    assert session.corpus is found
    assert heard == ["corpus"]
    expected = wb.score_corpus(session.model, session.heads, TEXTS)
    table = found.selection.table.sort_values("row")
    np.testing.assert_allclose(table["score"], expected.frame["score"], atol=1e-5)
    for position in range(len(found)):
        session.open(position)
        (row,) = found.rows([position])
        (source,) = [text for text in TEXTS if text["id"] == row["doc_id"]]
        assert (session.text, session.document) == (source["text"], row["doc_id"])
        assert session.changes().rise == pytest.approx(row["score"], rel=1e-3, abs=1e-5)
    session.open("Doc 3")
    assert session.document == "Doc 3"
    assert heard[1:3] == ["state", "colours"]
    assert heard[-1] == "document"
    session.toggle("L2H2")
    assert session.document == "Doc 3"
    session.read("something else")
    assert session.document is None


@pytest.mark.parametrize("read", ["start", "middle"])
def test_what_was_read_of_a_long_document_is_shown_and_all_of_it_when_asked(
    session, tmp_path, read
):
    long = " ".join(f"sentence {i} of a long document." for i in range(60))
    path = write(tmp_path / "c.jsonl", [{"id": "long", "text": long}, TEXTS[1]])
    found = session.score(path, tmp_path / "run", max_tokens=40, read=read)
    session.open("long")
    assert session.whole is False
    assert session.text == found.text_read(0)
    assert session.text != long
    assert long.startswith(session.text) == (read == "start")
    (row,) = found.rows([0])
    assert session.changes().rise == pytest.approx(row["score"], rel=1e-3, abs=1e-5)
    assert "session.open('long')" in session.code()
    session.open("long", whole=True)
    assert (session.whole, session.text, session.document) == (True, long, "long")
    assert "session.open('long', whole=True)" in session.code()
    session.open("Doc 1")  # of which all was read
    assert (session.whole, session.text) == (None, TEXTS[1]["text"])
    session.open("long")
    session.read("something else")
    assert (session.whole, session.document) == (None, None)


def test_a_finished_run_is_taken_up(session, tmp_path):
    path = write(tmp_path / "c.jsonl", [{"n": o["id"], "t": o["text"]} for o in TEXTS])
    first = session.score(path, tmp_path / "run", id="n", text="t")
    other = wb.Session(session.model, "some text")
    found = other.load(tmp_path / "run", path, id="n", text="t")
    pd.testing.assert_frame_equal(found.selection.table, first.selection.table)
    other.open("Doc 7")
    assert other.text == TEXTS[7]["text"]
    without = other.load(tmp_path / "run")
    assert other.corpus is without
    with pytest.raises(wb.CorpusError, match="the corpus is not, so its texts cannot be shown"):
        other.open("Doc 7")
    assert other.text == TEXTS[7]["text"]


def test_a_text_that_is_not_the_scored_one_is_not_shown(session, tmp_path):
    path = write(tmp_path / "c.jsonl", TEXTS)
    session.score(path, tmp_path / "run")
    state, corpus = session.state, session.corpus
    changed = [dict(document) for document in TEXTS]
    changed[4]["text"] = "changed meanwhile"
    changed[5]["text"] = ""
    write(path, changed[:10])
    session.open("Doc 3")
    session.undo()
    for doc_id, message in (
        ("Doc 4", "row 4 of 'c.jsonl' holds another text than the one that was scored: score"),
        ("Doc 5", "row 5 of 'c.jsonl' holds another text"),
        ("Doc 11", "the corpus has no row 11 in 'c.jsonl' any more"),
    ):
        with pytest.raises(wb.CorpusError, match=message):
            session.open(doc_id)
    path.unlink()
    with pytest.raises(wb.CorpusError, match=r"c\.jsonl"):
        session.open("Doc 3")
    with pytest.raises(KeyError, match="no scored document has the id 'Doc 99'"):
        session.open("Doc 99")
    with pytest.raises(IndexError, match="position 12: expected one of 0 to 11"):
        session.open(12)
    assert (session.state, session.document, session.corpus) == (state, None, corpus)


def test_a_cut_is_told_and_an_impossible_one_is_not(session):
    session.score(TEXTS)
    heard = []
    session.on_change(heard.append)
    selection = session.cut(0.5, "tokens")
    assert selection is session.corpus.selection
    assert heard == ["cut"]
    with pytest.raises(ValueError, match=r"in \(0, 1\], got 2"):
        session.cut(2)
    assert session.corpus.selection is selection
    assert heard == ["cut"]
    assert session.undo() is False


def test_the_exported_manifest_can_be_verified(session, tmp_path):
    corpus = session.score(TEXTS, tmp_path / "run")
    session.cut(0.4)
    path = session.export(corpus_note="made up")
    assert path.parent == tmp_path / "run"
    report = wb.verify_manifest(tmp_path / "run", corpus=TEXTS, model=session.model)
    assert report.ok
    chosen = pd.read_parquet(tmp_path / "run" / "selection.parquet")
    assert chosen["selected"].sum() == len(corpus.selection.chosen)


def test_a_run_that_was_not_kept_has_no_place_to_export_to(session):
    session.score(TEXTS)
    with pytest.raises(ValueError, match=r"not kept in a folder: say where to, export\('run/'\)"):
        session.export()


def test_it_can_be_exported_to_another_folder_all_the_same(session, tmp_path):
    session.score(TEXTS)
    session.cut(0.5, "tokens")
    assert session.export(tmp_path / "new").parent == tmp_path / "new"
    assert wb.verify_manifest(tmp_path / "new", corpus=TEXTS).ok


def test_a_run_of_any_tool_can_be_looked_through(session, tmp_path):
    """Domains that look like markup or paths are names like any other."""
    lay_down_run(tmp_path / "run")
    corpus = session.load(tmp_path / "run")
    assert len(corpus) == 24
    for domain in corpus.domains:
        assert len(corpus.sort_and_filter(domain=domain)) == 8
