"""Reading a corpus: every row comes out once, as a document or with the reason why not."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.corpora import documents, only_reason, read, row, write

from workbench.corpus.reading import (
    CorpusError,
    Document,
    Skipped,
    read_corpus,
    row_count,
    text_sha256,
)

# ---- columns ------------------------------------------------------------------------------------


def test_columns_can_be_named(tmp_path):
    rows = [{"key": "k", "body": "b", "topic": "t", "text": "not this"}]
    for corpus in (write(tmp_path / "c.jsonl", rows), rows, pd.DataFrame(rows)):
        (document,) = documents(corpus, id="key", text="body", domain="topic")
        assert (document.doc_id, document.text, document.domain) == ("k", "b", "t")


def test_rows_are_counted_where_a_look_through_them_is_cheap(tmp_path):
    named = {"id": "id", "text": "text", "domain": "domain"}
    rows = [{"text": "a"}, {"text": None}, {"text": "b"}]
    path = write(tmp_path / "c.jsonl", rows)
    for corpus in (rows, path, str(path), [path, rows], pd.DataFrame(rows)):
        assert row_count(corpus, named) == len(read(corpus))
    stream = iter(rows)
    assert row_count(stream, named) is None
    assert len(list(stream)) == 3  # it gives its rows only once
    assert row_count("https://example.org/c.jsonl", named) is None  # nothing is fetched for it


def test_one_column_can_serve_twice():
    (document,) = documents(pd.DataFrame([{"text": "x", "site": "s"}]), id="site", domain="site")
    assert (document.doc_id, document.domain) == ("s", "s")


def bad_columns(tmp_path) -> list:
    rows = [{"body": "x", "url": "u"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    frame = pd.DataFrame(rows)
    jsonl_path = write(tmp_path / "c.jsonl", rows)
    dataset = datasets.Dataset.from_list(rows)
    return [tmp_path / "c.parquet", frame, jsonl_path, dataset, rows, pa.Table.from_pylist(rows)]


def test_a_missing_text_column_is_an_error_that_lists_those_present(tmp_path):
    for corpus in bad_columns(tmp_path):
        with pytest.raises(CorpusError, match=r"no column 'text'.*\['body', 'url'\].*text=\.\.\."):
            read(corpus)


@pytest.mark.parametrize("column", ["id", "domain"])
def test_a_named_column_that_is_missing_is_an_error(tmp_path, column):
    for corpus in bad_columns(tmp_path):
        with pytest.raises(CorpusError, match=rf"no column 'nope' for the {column}"):
            read(corpus, text="body", **{column: "nope"})


def test_a_named_column_and_text_files_do_not_go_together(tmp_path):
    write(tmp_path / "a.txt", "x")
    with pytest.raises(CorpusError, match="no column 'key' for the id"):
        read(tmp_path, id="key")


def test_two_columns_of_one_name_are_an_error():
    frame = pd.DataFrame([["x", "y"]], columns=["text", "text"])
    with pytest.raises(CorpusError, match="several columns are called 'text'"):
        read(frame)


@pytest.mark.parametrize("corpus", [5, None, b"bytes", {"text": "x"}])
def test_an_unknown_kind_of_corpus_is_an_error(corpus):
    with pytest.raises(CorpusError, match=f"cannot be read from a {type(corpus).__name__}"):
        read_corpus(corpus)


# ---- ids and domains ----------------------------------------------------------------------------


def test_an_absent_id_column_gives_source_and_row(tmp_path):
    path = write(tmp_path / "c.jsonl", [{"text": "x"}, {"text": "y"}])
    assert [d.doc_id for d in documents(path)] == ["c.jsonl#0", "c.jsonl#1"]


@pytest.mark.parametrize("empty", [None, "", "  ", float("nan"), pd.NA, pd.NaT])
def test_a_null_or_empty_id_gives_source_and_row(empty):
    assert documents([row("x", id=empty)])[0].doc_id == "memory#0"


def test_integer_ids_become_strings():
    assert documents(pd.DataFrame({"id": [7, 8], "text": ["x", "y"]}))[1].doc_id == "8"
    assert documents([row("x", id=7)])[0].doc_id == "7"


def test_an_absent_domain_column_gives_the_default_domain():
    assert documents([row("x")])[0].domain == "all"
    assert documents([row("x")], default_domain="web")[0].domain == "web"


@pytest.mark.parametrize("empty", [None, "", float("nan"), pd.NA])
def test_a_null_or_empty_domain_gives_the_default_domain(empty):
    assert documents([row("x", domain=empty)], default_domain="web")[0].domain == "web"


# ---- rows that become no document ---------------------------------------------------------------


@pytest.mark.parametrize("text", [None, float("nan"), pd.NA])
def test_null_text_is_skipped(text):
    assert only_reason([row("fine", id="b"), row(text)]) == "text is null or absent"


def test_text_that_is_absent_from_a_later_row_is_skipped(tmp_path):
    assert "absent" in only_reason(write(tmp_path / "c.jsonl", [row("x"), {"id": "b"}]))


def test_null_text_in_a_frame_and_in_parquet_is_skipped(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b"], "text": ["x", None]})
    frame.to_parquet(tmp_path / "c.parquet")
    assert only_reason(frame) == only_reason(tmp_path / "c.parquet") == "text is null or absent"


@pytest.mark.parametrize(
    ("text", "kind"), [(5, "int"), (["x"], "list"), ({}, "dict"), (b"x", "bytes"), (True, "bool")]
)
def test_text_that_is_no_string_is_skipped_with_its_type(text, kind):
    assert only_reason([row(text)]) == f"text is not a string but of type {kind}"


@pytest.mark.parametrize("text", ["", " ", "\n\t\r\n", "\u3000\u2028"])
def test_blank_text_is_skipped(text):
    assert only_reason([row(text)]) == "text is empty or only white space"


def test_an_empty_text_file_is_skipped(tmp_path):
    assert only_reason(write(tmp_path / "a.txt", "")) == "text is empty or only white space"


def test_lone_surrogates_are_skipped(tmp_path):
    path = write(
        tmp_path / "c.jsonl", rb'{"text": "ab\ud800"}' + b"\n" + rb'{"text": "\ud83d\ude00"}'
    )
    bad, good = read(path)
    assert "lone surrogate at character 2" in bad.reason
    assert good.text == "😀"


@pytest.mark.parametrize("column", ["id", "domain"])
def test_lone_surrogates_in_labels_are_skipped(column):
    (bad,) = read([{**row("x"), column: "\ud800"}])
    assert bad.reason.startswith(f"{column} has a lone surrogate")
    assert getattr(bad, "doc_id" if column == "id" else column) is None


def test_an_id_that_is_no_label_is_skipped():
    assert only_reason([row("x", id=["a"])]) == "id is not a string or a number but of type list"


def test_invalid_utf8_in_a_line_costs_that_line_only(tmp_path):
    path = write(tmp_path / "c.jsonl", b'{"text": "x"}\n{"text": "\xff"}\n{"text": "y"}\n')
    first, bad, last = read(path)
    assert (first.text, last.text, last.row) == ("x", "y", 2)
    assert bad == Skipped(None, None, "c.jsonl", 1, "invalid UTF-8 at byte 10")


def test_invalid_utf8_in_a_text_file_is_skipped(tmp_path):
    write(tmp_path / "law" / "a.txt", b"ab\xff")
    expected = Skipped("law/a.txt#0", "law", "law/a.txt", 0, "invalid UTF-8 at byte 2")
    assert read(tmp_path) == [expected]


def test_invalid_utf8_in_parquet_costs_that_row_only(tmp_path):
    offsets = pa.array([0, 1, 2, 3], pa.int32()).buffers()[1]
    texts = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"x\xffy")])
    pq.write_table(pa.table({"text": texts}), tmp_path / "c.parquet")
    first, bad, last = read(tmp_path / "c.parquet")
    assert (first.text, last.text, last.row) == ("x", "y", 2)
    assert (bad.row, bad.reason.split(":")[0]) == (1, "a value cannot be decoded")


@pytest.mark.parametrize("line", [b"{", b"nonsense", b'{"text": "x"} {}', b"[" * 100_000])
def test_a_line_that_is_not_json_is_skipped(tmp_path, line):
    assert only_reason(write(tmp_path / "c.jsonl", line)).startswith("not JSON: ")


@pytest.mark.parametrize(("line", "kind"), [("[]", "list"), ("3", "int"), ('"x"', "str")])
def test_a_line_that_is_not_an_object_is_skipped(tmp_path, line, kind):
    reason = only_reason(write(tmp_path / "c.jsonl", line))
    assert reason == f"not an object with columns but of type {kind}"


def test_an_item_that_is_not_a_dict_is_skipped():
    assert only_reason([row("x"), 5]) == "not an object with columns but of type int"


def test_skipped_items_pass_through():
    given_one = Skipped(None, None, "elsewhere", 3, "because")
    assert read([given_one]) == [given_one]


def test_what_one_reading_gives_another_can_read(tmp_path):
    write(tmp_path / "c.jsonl", b'{"text": "x"}\nbad\n{"text": 5}\n')
    items = read(tmp_path)
    assert read(items) == items
    assert [type(item) for item in items] == [Document, Skipped, Skipped]


# ---- places and ids -----------------------------------------------------------------------------


def test_ids_that_restart_in_every_file_are_labels_of_many_documents(tmp_path):
    for name in ("a.jsonl", "b/c.jsonl"):
        write(tmp_path / name, [row(f"{name} {i}", id=i) for i in range(3)])
    read_back = [(d.doc_id, d.source, d.row) for d in documents(tmp_path)]
    assert read_back == [(str(i), name, i) for name in ("a.jsonl", "b/c.jsonl") for i in range(3)]


def test_a_place_that_comes_twice_is_skipped():
    first = Document("a", "x", "d", "s", 4)
    other = Document("b", "y", "d", "s", 4)
    reason = "duplicate place: another document has this source and row"
    assert read([first, other]) == [first, Skipped("b", "d", "s", 4, reason)]
    assert documents([first, Document("a", "y", "d", "s", 9), Document("a", "y", "d", "t", 4)])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 12))))
def test_each_place_is_taken_by_the_first_one_there(places):
    """Against a plain set, in any order of rows."""
    items = read([Document("same", "x", "d", source, row) for source, row in places])
    assert [isinstance(item, Document) for item in items] == [
        place not in places[:i] for i, place in enumerate(places)
    ]


# ---- any rows at all ----------------------------------------------------------------------------


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
labels = st.sampled_from(["a", "b", 1, "1", None, ""]) | json_values
objects = st.fixed_dictionaries({}, optional={"id": labels, "text": json_values, "domain": labels})
lines = st.one_of(
    (objects | json_values).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")),
    st.sampled_from([b"", b" ", b"\r", b"{", rb'{"text": "\udc00"}', b"\xef\xbb\xbf"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(lines, max_size=12))
def test_every_line_that_is_not_blank_comes_out_exactly_once(drawn):
    drawn = [b'{"id": "first", "text": "has the column"}', *drawn]
    with tempfile.TemporaryDirectory() as folder:
        items = read(write(Path(folder) / "c.jsonl", b"\n".join(drawn)))
    assert [item.row for item in items] == [i for i, line in enumerate(drawn) if line.strip()]
    kept = [item for item in items if isinstance(item, Document)]
    assert len({(item.source, item.row) for item in kept}) == len(kept)
    assert all(item.text.encode() and item.doc_id and item.domain for item in kept)
    assert all(item.reason for item in items if isinstance(item, Skipped))


@settings(max_examples=50, deadline=None)
@given(st.lists(objects | json_values, max_size=12))
def test_every_item_comes_out_exactly_once(drawn):
    items = read([{"text": "has the column"}, *drawn])
    assert [item.row for item in items] == list(range(len(drawn) + 1))


# ---- the stream ---------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_number_of_ids():
    tracemalloc.start()
    try:
        items = ({"id": f"document-{i}", "text": "x"} for i in range(60_000))
        assert sum(isinstance(item, Document) for item in read_corpus(items)) == 60_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_reading_is_lazy():
    def endless():
        i = 0
        while True:
            yield {"text": f"text {i}"}
            i += 1

    stream = read_corpus(endless())
    assert [next(stream).row for _ in range(3)] == [0, 1, 2]
    stream.close()


def test_text_sha256_is_that_of_the_utf8_bytes():
    assert text_sha256("abc").startswith("ba7816bf8f01cfea414140de5dae2223")
    assert text_sha256("é") == text_sha256(b"\xc3\xa9".decode())
    with pytest.raises(UnicodeEncodeError):
        text_sha256("\ud800")
