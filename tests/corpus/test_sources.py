"""Sources and ranges of their rows: any range read alone gives the rows of the whole reading."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.corpora import FIFTY, documents, jsonl, read, write

from workbench.corpus.readers.rows import Columns, read_source, row_offsets
from workbench.corpus.reading import CorpusError
from workbench.corpus.sources import Source, sources_of

COLUMNS = Columns("id", "text", "domain")
MESSY = (
    b"\xef\xbb\xbf" + jsonl(FIFTY[:3]) + b"\n\n  \n" + b'{"id": 1}\nnot json\n\xff\xfe\n'
    + b'{"text": "b"}\r\n' + jsonl(FIFTY[3:9]).rstrip(b"\n")
)  # fmt: skip


CSV = "id,text\n" + "".join(f'{i},"text\n{i}"\n' for i in range(20)) + 'x\n\n7,"a ""b""",c\n8,y'


def as_files(folder):
    """The same kind of rows in every kind of source."""
    import bz2
    import gzip
    import lzma

    import datasets
    import zstandard

    write(folder / "plain.jsonl", MESSY)
    write(folder / "packed.jsonl.gz", gzip.compress(MESSY))
    write(folder / "packed.jsonl.zst", zstandard.compress(MESSY))
    write(folder / "packed.jsonl.xz", lzma.compress(MESSY))
    write(folder / "packed.jsonl.bz2", bz2.compress(MESSY))
    write(folder / "rows.csv", CSV)
    table = pa.Table.from_pylist(FIFTY)
    pq.write_table(table, folder / "table.parquet", row_group_size=7)
    write(folder / "alone.txt", "one text")
    datasets.Dataset.from_list(FIFTY).save_to_disk(folder / "saved")
    return [folder / name for name in (
        "plain.jsonl", "packed.jsonl.gz", "packed.jsonl.zst", "packed.jsonl.xz",
        "packed.jsonl.bz2", "rows.csv", "table.parquet", "alone.txt", "saved",
    )]  # fmt: skip


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return list(sources_of(as_files(tmp_path_factory.mktemp("sources"))))


@given(st.integers(0, 60), st.integers(0, 60), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_range_of_rows_is_that_part_of_the_whole(sources, start, length, use_offset):
    for source in sources:
        whole = list(read_source(source, COLUMNS))
        offset = 0
        if use_offset and source.kind != "dataset":
            offset = row_offsets(source, [start])[2].get(start, 0)
        part = list(read_source(source, COLUMNS, start, start + length, offset))
        assert part == [item for item in whole if start <= item.row < start + length]


def test_only_plain_lines_have_a_place_of_their_own(sources):
    for source in sources:
        if source.kind == "dataset":
            continue
        with open(source.path, "rb") as file:
            content = file.read()
        digest, size, places = row_offsets(source, [0, 5])
        assert (digest, size) == (hashlib.sha256(content).hexdigest(), len(content))
        has_places = source.name in ("plain.jsonl", "rows.csv")
        assert set(places) == ({0, 5} if has_places else set())
    plain = next(source for source in sources if source.name == "plain.jsonl")
    assert row_offsets(plain, [5])[2][5] == MESSY.index(b"  \n")


def test_a_folder_elsewhere_has_sources_of_the_same_names(tmp_path):
    for root in ("here", "there"):
        write(tmp_path / root / "corpus/b/2.txt", "two")
        write(tmp_path / root / "corpus/a/1.txt", "one")
    sources = [list(sources_of([tmp_path / root / "corpus"])) for root in ("here", "there")]
    assert [source._replace(path="") for source in sources[0]] == [
        source._replace(path="") for source in sources[1]
    ]
    named = [(source.name, source.domain) for source in sources[0]]
    assert named == [("a/1.txt", "a"), ("b/2.txt", "b")]


@pytest.fixture
def remote(tmp_path):
    """A folder of every kind of file in fsspec's memory, and a copy of it on disk."""
    for path in as_files(tmp_path / "corpus")[:-1]:
        with fsspec.open(f"memory://bucket/corpus/{path.name}", "wb") as file:
            file.write(path.read_bytes())
    with fsspec.open("memory://bucket/corpus/.hidden", "wb") as file:
        file.write(b"x")
    yield "memory://bucket/corpus"
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_a_remote_folder_reads_as_the_same_folder_here(remote, tmp_path):
    import shutil

    shutil.rmtree(tmp_path / "corpus/saved")
    assert read(remote) == read(tmp_path / "corpus")
    assert read(f"{remote}/table.parquet") == documents(tmp_path / "corpus/table.parquet")
    assert {item.source for item in read([remote, tmp_path / "corpus/saved/.."][:1])} >= {
        "plain.jsonl"
    }


def test_over_http_a_file_is_read_and_a_missing_one_named(tmp_path):
    write(tmp_path / "corpus.jsonl", FIFTY)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        there = read(f"{address}/corpus.jsonl")
        with pytest.raises(CorpusError, match=r"missing\.jsonl' does not exist"):
            read(f"{address}/missing.jsonl")
        server.shutdown()
    assert there == read(tmp_path / "corpus.jsonl")


def test_a_protocol_whose_package_is_missing_says_so():
    with pytest.raises(CorpusError, match=r"'s3://bucket/x\.jsonl' cannot be reached: .*s3fs"):
        read("s3://bucket/x.jsonl")
    with pytest.raises(CorpusError, match=r"cannot be reached: .*nowhere"):
        read("nowhere://x.jsonl")


def test_a_source_is_no_secret_of_the_machine(tmp_path):
    write(tmp_path / "corpus/a.jsonl", FIFTY[:2])
    (only,) = sources_of([tmp_path / "corpus"])
    assert only == Source("a.jsonl", str(tmp_path / "corpus/a.jsonl"), "jsonl")
    assert all(str(tmp_path) not in repr(item) for item in read(tmp_path / "corpus"))
