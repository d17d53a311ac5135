"""A document is found at its place in every form of corpus, and the corpus is not read to it."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.corpora import FIFTY, FORMS, as_parquet, read, row, write

import workbench as wb
from workbench.corpus import places as corpus_places
from workbench.corpus.places import CorpusPlaces
from workbench.corpus.random_access import ranges
from workbench.corpus.readers import json_lines, line_index
from workbench.corpus.readers.line_index import LineIndex
from workbench.corpus.readers.rows import read_source
from workbench.corpus.sources import Source


@pytest.mark.parametrize("form", FORMS)
def test_what_lies_at_a_place_is_what_reading_gives_there(tmp_path, form):
    corpus = form(tmp_path)
    corpus = corpus if hasattr(corpus, "__len__") or not hasattr(corpus, "__next__") else [*corpus]
    expected = read(corpus)
    places = CorpusPlaces(corpus)
    for document in [*expected[::-7], *expected[:3]]:
        document_there = places.find(document.source, document.row)
        assert (document_there, document_there.domain_from) == (document, document.domain_from)
    assert places.find(expected[0].source, 5000) is None
    assert places.find("elsewhere", 0) is None


def test_what_cannot_be_a_document_is_found_with_its_reason(tmp_path):
    rows = [row("x"), row(None), row("y", id=["a"])]
    for corpus in (write(tmp_path / "c.jsonl", rows), rows, pd.DataFrame(rows)):
        source = "c.jsonl" if isinstance(corpus, type(tmp_path)) else "memory"
        places = CorpusPlaces(corpus)
        assert places.find(source, 1).reason == "text is null or absent"
        assert places.find(source, 2).reason.startswith("id is not a string or a number")


def test_the_columns_that_were_named_count_at_a_place_too(tmp_path):
    rows = [{"n": i, "body": f"t{i}", "meta": {"d": "ab"[i % 2]}} for i in range(5)]
    del rows[3]["meta"]
    columns = {"id": "n", "text": "body", "domain": "meta.d"}
    write(tmp_path / "web" / "c.jsonl", rows)
    for corpus in (tmp_path, rows, pd.DataFrame(rows), pa.Table.from_pylist(rows)):
        for document in read(corpus, **columns):
            assert CorpusPlaces(corpus, **columns).find(document.source, document.row) == document
    by_folder = CorpusPlaces(tmp_path, text="body", domain="/")
    assert by_folder.find("web/c.jsonl", 4).domain == "web"


def test_a_file_that_was_changed_is_looked_through_anew(tmp_path):
    path = write(tmp_path / "c.jsonl", FIFTY)
    places = CorpusPlaces(path)
    assert places.find("c.jsonl", 40).doc_id == "doc-40"
    write(path, [{"id": f"other-{i}", "text": "longer than it was " * i} for i in range(1, 60)])
    assert places.find("c.jsonl", 40).doc_id == "other-41"
    path.unlink()
    with pytest.raises(wb.CorpusError, match=r"c\.jsonl"):
        places.find("c.jsonl", 3)


def test_a_line_is_read_at_its_place_and_not_the_lines_before(tmp_path, monkeypatch):
    """Seen by what is parsed, and by what is read of the file the second time."""
    path = write(tmp_path / "c.jsonl", [row("x" * 1000, id=i) for i in range(5000)])
    parsed, read_bytes = [], []
    loads = json.loads
    monkeypatch.setattr(
        json_lines.json,
        "loads",
        lambda line: parsed.append(1) or loads(line),
    )
    plain = line_index.opened

    class Counting:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def seek(self, place):
            return self.file.seek(place)

        def read(self, size):
            read_bytes.append(size)
            return self.file.read(size)

    monkeypatch.setattr(line_index, "opened", lambda place: Counting(plain(place)))
    places = CorpusPlaces(path)
    assert places.find("c.jsonl", 4999).doc_id == "4999"
    first = len(read_bytes)
    assert places.find("c.jsonl", 2500).doc_id == "2500"
    assert (len(parsed), first, len(read_bytes) - first) == (2, 6, 1)


def test_rows_in_memory_are_taken_out_and_not_read_to(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("read from the beginning")

    monkeypatch.setattr(corpus_places, "read_corpus", refused)
    for corpus in (FIFTY, pd.DataFrame(FIFTY), pa.Table.from_pylist(FIFTY)):
        assert CorpusPlaces(corpus).find("memory", 33).doc_id == "doc-33"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b"\n", b"bb\n", b"\r\n", b"x" * 9]), max_size=40).map(b"".join),
    st.integers(1, 12),
    st.lists(st.integers(0, 45), min_size=1, max_size=6),
)
def test_line_starts_are_those_of_python(tmp_path_factory, data, block, rows):
    path = write(tmp_path_factory.mktemp("lines") / "c.jsonl", data)
    starts = [0, *(i + 1 for i, byte in enumerate(data) if byte == ord("\n"))]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(line_index, "_BLOCK", block)
        index = LineIndex(Source("c.jsonl", str(path), "jsonl"))
        for row in rows:
            assert index.offset(row) == (starts[row] if row < len(starts) else None)


def test_drawn_lines_are_read_at_their_places(tmp_path):
    path = write(tmp_path / "c.jsonl", FIFTY)
    source = Source("c.jsonl", str(path), "jsonl")
    wanted = [0, 7, 8, 49]
    pieces = list(ranges(source, wanted, 50))
    assert [(start, stop) for start, stop, _ in pieces] == [(row, row + 1) for row in wanted]
    from workbench.corpus.columns import Columns

    doc_ids = [next(read_source(source, Columns(), *piece)).id for piece in pieces]
    assert doc_ids == [f"doc-{row}" for row in wanted]


def test_a_row_group_before_the_place_is_not_decoded(tmp_path, monkeypatch):
    from workbench.core import parquet

    asked = []
    plain = parquet.batches
    monkeypatch.setattr(
        parquet, "batches", lambda f, s, c, groups: asked.extend(groups) or plain(f, s, c, groups)
    )
    assert CorpusPlaces(as_parquet(tmp_path)).find("c.parquet", 49).doc_id == "doc-49"
    assert asked[0] == 7
