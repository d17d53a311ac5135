"""The readers: every format gives the same documents, and broken files never pass unseen."""

from __future__ import annotations

import codecs
import gzip
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from support.corpora import FIFTY, FORMS, as_parquet, documents, jsonl, read, row, write

from workbench.corpus.reading import CorpusError, Document, Skipped, read_corpus, text_sha256

# ---- formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_the_same_documents_come_out_of_every_format(tmp_path, form):
    read_back = documents(form(tmp_path))
    assert [(d.doc_id, d.text, d.domain) for d in read_back] == [
        (r["id"], r["text"], r["domain"]) for r in FIFTY
    ]
    assert len({(d.source, d.row) for d in read_back}) == 50
    assert not any(str(tmp_path) in d.source for d in read_back)


def test_the_same_texts_come_out_of_a_folder_of_text_files(tmp_path):
    for r in FIFTY:
        write(tmp_path / r["domain"] / f"{r['id']}.txt", r["text"])
    texts = {(d.doc_id, d.text, d.domain) for d in documents(tmp_path)}
    assert texts == {(f"{r['domain']}/{r['id']}.txt#0", r["text"], r["domain"]) for r in FIFTY}


def test_a_hub_id_is_streamed(tmp_path, monkeypatch):
    write(tmp_path / "owner" / "name" / "train.jsonl", FIFTY[:40])
    write(tmp_path / "owner" / "name" / "test.jsonl", FIFTY[40:])
    monkeypatch.chdir(tmp_path)  # `datasets` takes a folder of that name before it asks the hub
    read_back = documents("hf://owner/name")
    assert [d.doc_id for d in read_back] == [r["id"] for r in FIFTY[:40]]
    assert read_back[3].source == "dataset:owner/name"
    assert read_back[3].row == 3
    (first, *_) = documents("hf://owner/name@default:test")
    assert (first.doc_id, first.source) == ("doc-40", "dataset:owner/name@default:test")
    assert len(documents("hf://owner/name@:test")) == 10


def test_a_hub_id_that_cannot_be_opened_is_an_error(tmp_path, monkeypatch):
    write(tmp_path / "owner" / "name" / "train.jsonl", FIFTY)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="hf://owner/name@:nowhere cannot be opened"):
        read("hf://owner/name@:nowhere")


def test_a_malformed_hub_id_is_an_error():
    with pytest.raises(CorpusError, match=r"not of the form hf://owner/name"):
        read_corpus("hf://owner/name/file.txt")


def test_a_missing_datasets_package_is_an_error_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # what Python takes for "not installed"
    with pytest.raises(CorpusError, match=r"pip install attention-influence-workbench\[datasets\]"):
        read("hf://owner/name")


def test_a_formatted_dataset_gives_plain_strings():
    read_back = documents(datasets.Dataset.from_list(FIFTY).with_format("numpy"))
    assert type(read_back[0].text) is str


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert('x')</script><b onmouseover=\"x\">&amp;",
        "control \x00\x01\x07\x1b[31m\x7f\x85",
        "מימין \u202eלשמאל\u202c العربية",
        "line ends \r\n and \r and \u2028 and \x0b kept",
        "\ufeff inside \ufeff",
        "👩‍👩‍👧‍👦 e\u0301",
        "$$\\frac{a}{b}$$ {not} %s",
    ],
)
def test_strange_text_passes_unchanged(tmp_path, text):
    corpora = [
        [row(text)],
        write(tmp_path / "c.jsonl", [row(text)]),
        write(tmp_path / "c.txt", b"\xef\xbb\xbf" + text.encode()),
        pd.DataFrame([row(text)]),
    ]
    for corpus in corpora:
        assert [d.text for d in documents(corpus)] == [text]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    lines = write(tmp_path / "c.jsonl", codecs.BOM_UTF8 + b'{"text": "x"}\n')
    whole = write(tmp_path / "c.txt", codecs.BOM_UTF8 + b"x")
    assert [d.text for d in documents([lines, whole])] == ["x", "x"]


# ---- sources and rows ---------------------------------------------------------------------------


def test_source_of_a_file_is_its_name(tmp_path):
    assert documents(write(tmp_path / "a" / "c.jsonl", [row("x")]))[0].source == "c.jsonl"
    assert documents(write(tmp_path / "a" / "c.md", "x"))[0].source == "c.md"


def test_source_in_a_folder_is_the_path_below_it(tmp_path):
    write(tmp_path / "a" / "b" / "c.jsonl", [row("x")])
    assert documents(tmp_path)[0].source == "a/b/c.jsonl"
    assert documents(f"{tmp_path}/a/../a/")[0].source == "b/c.jsonl"


def test_source_of_what_is_in_memory_is_memory():
    assert documents(pd.DataFrame([row("x")]))[0].source == "memory"
    assert documents([row("x")])[0].source == "memory"


def test_source_of_a_dataset_is_its_name(tmp_path):
    datasets.Dataset.from_list(FIFTY).save_to_disk(tmp_path / "mine")
    assert documents(tmp_path / "mine")[0].source == "dataset:mine"
    assert documents(datasets.Dataset.from_list(FIFTY))[0].source == "dataset:memory"


def test_source_of_a_file_name_that_is_not_utf8_can_be_stored(tmp_path):
    write(tmp_path / "bad\udcff.txt", "x")
    (document,) = documents(tmp_path)
    assert document.source == "bad\\udcff.txt"
    assert document.doc_id.encode()


def test_rows_are_line_numbers_that_count_blank_lines(tmp_path):
    path = write(tmp_path / "c.jsonl", b'\n{"text": "x"}\n  \r\n\n{"text": "y"}')
    assert [(d.doc_id, d.row) for d in documents(path)] == [("c.jsonl#1", 1), ("c.jsonl#4", 4)]


def test_rows_of_parquet_count_through_its_row_groups(tmp_path):
    assert [d.row for d in documents(as_parquet(tmp_path))] == list(range(50))


def test_two_folders_with_files_of_one_name_stay_apart(tmp_path):
    for i, name in enumerate("ab"):
        write(tmp_path / name / "c.jsonl", [row("x", id=f"doc{i}")])
    sources = [d.source for d in documents([tmp_path / "a", tmp_path / "b"])]
    assert sources == ["a/c.jsonl", "b/c.jsonl"]


def test_two_paths_of_one_name_are_an_error(tmp_path):
    paths = [write(tmp_path / name / "c.jsonl", FIFTY) for name in "ab"]
    with pytest.raises(CorpusError, match=r"both called 'c.jsonl'"):
        read_corpus(paths)
    with pytest.raises(CorpusError, match="both called 'a'"):
        read_corpus([tmp_path / "a", f"{tmp_path}/b/../a"])


def test_a_missing_path_is_an_error_at_once(tmp_path):
    with pytest.raises(CorpusError, match=r"nowhere.jsonl' does not exist"):
        read_corpus(tmp_path / "nowhere.jsonl")


# ---- folders ------------------------------------------------------------------------------------


def test_the_first_subfolder_of_a_text_file_is_its_domain(tmp_path):
    write(tmp_path / "law" / "deep" / "a.txt", "x")
    write(tmp_path / "top.rst", "y")
    domains = {d.source: d.domain for d in documents(tmp_path, default_domain="rest")}
    assert domains == {"law/deep/a.txt": "law", "top.rst": "rest"}


def test_folders_are_read_in_sorted_order(tmp_path):
    for name in ("b/z.txt", "b/a.txt", "a.txt", "c.py", "B.md"):
        write(tmp_path / name, f"text of {name}")
    assert [d.source for d in documents(tmp_path)] == [
        "B.md",
        "a.txt",
        "b/a.txt",
        "b/z.txt",
        "c.py",
    ]


def test_hidden_files_and_folders_are_not_read(tmp_path):
    for name in ("a.txt", ".hidden", ".git/config"):
        write(tmp_path / name, "x")
    assert [d.source for d in documents(tmp_path)] == ["a.txt"]


def test_other_files_among_shards_are_reported_and_not_read(tmp_path):
    write(tmp_path / "README.md", "about")
    write(tmp_path / "data" / "a.jsonl", [row("x")])
    items = read(tmp_path)
    assert [(type(item), item.source) for item in items] == [
        (Skipped, "README.md"),
        (Document, "data/a.jsonl"),
    ]


def test_plain_json_in_a_folder_of_texts_is_a_text(tmp_path):
    write(tmp_path / "package.json", '{"name": "x"}')
    write(tmp_path / "a.py", "x = 1")
    assert [d.source for d in documents(tmp_path)] == ["a.py", "package.json"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path / "real" / "a.txt", "x")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "link").symlink_to(tmp_path / "real")
    assert [d.source for d in documents(tmp_path / "c")] == ["link/a.txt"]
    (tmp_path / "c" / "loop").symlink_to(tmp_path / "c")
    with pytest.raises(CorpusError, match="link to a folder that it lies in"):
        read(tmp_path / "c")


def test_a_dead_link_is_an_error(tmp_path):
    (tmp_path / "dead.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="neither a file nor a folder"):
        read(tmp_path)


def test_an_empty_folder_is_an_error(tmp_path):
    write(tmp_path / ".hidden", "x")
    with pytest.raises(CorpusError, match="holds no file"):
        read(tmp_path)


# ---- broken files -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_lines() -> bytes:
    return jsonl([{"text": f"{i} {text_sha256(str(i))}"} for i in range(20_000)])


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_compressed_file_that_ends_early_is_an_error(tmp_path, many_lines, compress, kept):
    data = compress(many_lines)
    suffix = ".gz" if compress is gzip.compress else ".zst"
    path = write(tmp_path / f"c.jsonl{suffix}", data[: int(len(data) * kept)])
    items, message = read_until_broken(path)
    assert message.startswith(f"c.jsonl{suffix}: reading broke off")
    if kept:
        assert f"after row {items[-1].row}: " in message
        assert len(items) > kept * 15_000


def read_until_broken(path: Path) -> tuple[list[Document | Skipped], str]:
    """What comes out of a broken file, and what the error then says."""
    items = []
    try:
        for item in read_corpus(path):
            items.append(item)
    except CorpusError as error:
        return items, str(error)
    pytest.fail("the file was read to its end")


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_compressed_file_of_several_members_is_read_whole(tmp_path, compress):
    suffix = ".gz" if compress is gzip.compress else ".zst"
    data = compress(jsonl(FIFTY[:20])) + compress(jsonl(FIFTY[20:]))
    assert len(documents(write(tmp_path / f"c.jsonl{suffix}", data))) == 50


def test_a_compressed_file_that_is_none_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match=r"c\.jsonl\.gz: reading broke off before its first row"):
        read(write(tmp_path / "c.jsonl.gz", b'{"text": "x"}\n'))


def test_a_parquet_file_that_is_none_is_an_error(tmp_path):
    data = as_parquet(tmp_path).read_bytes()
    for broken in (b"not parquet", data[: len(data) // 2], b""):
        with pytest.raises(
            CorpusError, match=r"x\.parquet: reading broke off before its first row"
        ):
            read(write(tmp_path / "x.parquet", broken))


def test_a_parquet_file_that_breaks_inside_is_an_error_with_the_row_reached(tmp_path):
    table = pa.table({"text": [text_sha256(str(i)) for i in range(2000)]})
    path = tmp_path / "c.parquet"
    pq.write_table(table, path, row_group_size=1000, use_dictionary=False)
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 200] = b"\xff" * 200
    write(path, bytes(data))
    with pytest.raises(CorpusError, match=r"c.parquet: reading broke off after row \d+: "):
        read(path)


# ---- what reading costs -------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "c.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for i in range(2_000):
            file.write(b'{"id": %d, "text": "' % i + b"x" * 100_000 + b'"}\n')
    tracemalloc.start()
    try:
        characters = sum(len(item.text) for item in read_corpus(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert characters == 200_000_000
    assert peak < 20_000_000


def test_memory_does_not_grow_with_the_parquet_file(tmp_path):
    rows = pa.table({"text": [os.urandom(5_000).hex() for _ in range(500)]})
    with pq.ParquetWriter(tmp_path / "c.parquet", rows.schema) as file:
        for _ in range(12):
            file.write_table(rows)  # 60 MB in all, in row groups of 5 MB
    before = pa.total_allocated_bytes()
    peak = max(pa.total_allocated_bytes() for _ in read_corpus(tmp_path / "c.parquet"))
    assert peak - before < 20_000_000


def test_the_reader_imports_neither_torch_nor_transformers():
    code = (
        "import sys, workbench.corpus.reading;"
        "assert 'workbench.corpus.readers.rows' in sys.modules;"
        "bad = {'torch', 'transformers', 'datasets'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("text", ['[{"text": "a"},\n {"text": "b"}]', ' [\n{"text": "a"}\n]'])
def test_a_json_array_is_refused_and_not_read_by_halves(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(CorpusError, match="is a JSON array"):
        list(read_corpus(tmp_path / "c.json"))
