"""Small files that would fill the memory or end the process: refused, or read within bounds.

Each was a finding of the fuzzer (tests/fuzz) or is a bomb that it could not make by chance. What
is read is read in a process of its own, which says how much memory Arrow and it took.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.corpora import FIFTY, as_parquet, jsonl, read, write
from support.run_folders import edit_json, failures, lay_down_manifest, lay_down_run

from workbench.core import files, parquet
from workbench.corpus.reading import CorpusError, Document, read_corpus
from workbench.models.heads import HeadSet
from workbench.scoring.folder.reading import load_scores
from workbench.scoring.folder.receipts import read_receipt

MB = 1 << 20

# Prints what came, and megabytes.
CHILD = """
import itertools, json, pathlib, sys
from workbench.corpus.reading import CorpusError, read_corpus
import pyarrow as pa
def peak():  # not ru_maxrss, which counts what the parent held, too
    return int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before, found, said = peak(), [], ""
try:
    for item in itertools.islice(read_corpus(sys.argv[1]), int(sys.argv[2])):
        found.append([type(item).__name__, item.row, len(getattr(item, "text", item))
                      if hasattr(item, "text") else item.reason])
except CorpusError as error:
    said = str(error)
grown = (peak() - before) // 1024
print(json.dumps([found, said, grown, pa.default_memory_pool().max_memory() >> 20]))
"""


def read_apart(path: Path, rows: int = 50) -> tuple[list, str, int, int]:
    """(items, error, megabytes the process grew by, most megabytes that Arrow held)."""
    command = [sys.executable, "-c", CHILD, str(path), str(rows)]
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"the process ended with {done.returncode}: {done.stderr[-500:]}"
    return tuple(json.loads(done.stdout))


def written(path: Path, columns: dict, **settings) -> Path:
    pq.write_table(pa.table(columns), path, **settings)
    return path


# ---- Parquet ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_page_that_expands_a_thousandfold_is_refused_before_it_is_taken(tmp_path):
    path = written(tmp_path / "c.parquet", {"text": ["a" * (200 * MB)]},
                   compression="zstd", use_dictionary=False)  # fmt: skip
    assert path.stat().st_size < MB
    items, message, grown, held = read_apart(path)
    assert not items
    assert "a page of column 'text' would take 209,715,210 bytes out of" in message
    assert "smaller data_page_size" in message
    assert max(grown, held) < 100


@pytest.mark.slow
def test_one_long_value_that_every_row_repeats_is_read_within_bounds(tmp_path):
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 400), ["a" * (32 * MB)])
    path = written(tmp_path / "c.parquet", {"text": once}, store_schema=False,
                   compression="zstd", dictionary_pagesize_limit=64 * MB)  # fmt: skip
    assert path.stat().st_size < MB
    items, message, grown, held = read_apart(path, rows=20)
    assert [item[2] for item in items] == [32 * MB] * 20
    assert not message
    assert max(grown, held) < 800  # 128 rows of it would be 4,096


def test_a_value_that_shares_all_it_has_with_the_one_before_is_read_within_bounds(tmp_path):
    path = written(tmp_path / "c.parquet", {"text": ["a" * (8 * MB)] * 40}, use_dictionary=False,
                   compression="zstd", column_encoding={"text": "DELTA_BYTE_ARRAY"})  # fmt: skip
    _, message, grown, held = read_apart(path, rows=30)
    assert not message
    assert max(grown, held) < 800


def test_many_rows_of_nothing_are_streamed(tmp_path):
    path = written(tmp_path / "c.parquet", {"text": pa.nulls(20_000_000, pa.string())})
    assert path.stat().st_size < 100_000
    items, message, grown, held = read_apart(path)
    assert [item[:2] for item in items] == [["Skipped", row] for row in range(50)]
    assert not message
    assert max(grown, held) < 200
    with pytest.raises(pa.ArrowInvalid, match="no table of scores compresses so far"):
        parquet.read_table(written(tmp_path / "d.parquet", {"x": pa.nulls(80_000_000, pa.int64())}))


def test_nested_columns_are_refused_since_one_value_may_be_of_any_size(tmp_path):
    path = written(tmp_path / "c.parquet", {"text": ["x"], "domain": [[1, 2]]})
    with pytest.raises(CorpusError, match=r"'domain' holds values of type list<"):
        read(path)


def test_a_page_larger_than_its_column_is_refused_before_it_is_taken(tmp_path):
    path = written(tmp_path / "c.parquet", {"text": ["x"] * 40},
                   compression="none", use_dictionary=False)  # fmt: skip
    data = bytearray(path.read_bytes())
    start, _ = parquet.groups_of(io.BytesIO(data))[0].chunks["text"][0]
    # Field 3 of the header, its stored size: a number of two bytes becomes one of five.
    assert data[start : start + 2] == b"\x15\x00"
    third = start + 2 + 1 + 2
    assert data[third] == 0x15
    data[third + 1 : third + 3] = b"\xc8\xdf\xaf\xad\x05"
    path.write_bytes(data)
    _, message, grown, held = read_apart(path)
    assert "more than its column has" in message
    assert max(grown, held) < 100


def test_a_footer_over_which_arrow_ends_the_process_is_read_or_refused(tmp_path):
    path = written(tmp_path / "c.parquet", {"text": ["x", "y"]})
    data = path.read_bytes()
    optional, required = b"\x25\x02\x18\x04text", b"\x25\x00\x18\x04text"
    assert data.count(optional) == 1
    path.write_bytes(data.replace(optional, required))
    _, message, _, _ = read_apart(path)  # asserts that the process lives
    assert message == "" or "reading broke off" in message


def test_a_column_name_that_is_not_utf8_is_an_error_of_the_corpus(tmp_path):
    path = written(tmp_path / "c.parquet", {"text": ["x"], "more": ["y"]}, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"more", b"\xff\xfere"))
    with pytest.raises(CorpusError, match="reading broke off before its first row"):
        read(path)


def test_a_footer_whose_row_groups_do_not_add_up_is_refused(tmp_path):
    data = as_parquet(tmp_path).read_bytes()
    with pytest.raises(pa.ArrowInvalid, match=r"footer is damaged|not a Parquet file"):
        parquet.groups_of(io.BytesIO(data[:-20] + data[-8:]))
    assert sum(group.rows for group in parquet.groups_of(io.BytesIO(data))) == 50
    changed = data.replace(b"\x16\x64", b"\x16\x66")  # 50 becomes 51 in the footer alone
    assert changed != data
    with pytest.raises(pa.ArrowInvalid, match="states 51 rows, its row groups other ones"):
        parquet.groups_of(io.BytesIO(changed))


# ---- lines, texts, folders ----------------------------------------------------------------------


def test_a_line_without_end_costs_itself_and_not_the_memory(tmp_path):
    with gzip.open(tmp_path / "c.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b'{"text": "x"}\n{"text": "')
        for _ in range(150):
            file.write(b"a" * MB)
        file.write(b'"}\n{"text": "y"}\n')
    items, message, grown, _ = read_apart(tmp_path / "c.jsonl.gz")
    assert [item[:2] for item in items] == [["Document", 0], ["Skipped", 1], ["Document", 2]]
    assert "a line of more than 64 MiB" in items[1][2]
    assert not message
    assert grown < 250


def test_a_line_of_ten_megabytes_is_a_document(tmp_path):
    path = write(tmp_path / "c.jsonl", [{"text": "word " * 2_000_000}, {"text": "y"}])
    assert [len(item.text) for item in read(path)] == [10_000_000, 1]


def test_a_text_file_without_end_is_skipped(tmp_path):
    with (tmp_path / "c.txt").open("wb") as file:
        file.truncate(1 << 40)
    items, _, grown, _ = read_apart(tmp_path / "c.txt")
    assert "larger than 64 MiB" in items[0][2]
    assert grown < 200


def test_folders_inside_each_other_without_end_are_an_error(tmp_path):
    deep = tmp_path / "top"
    for _ in range(150):
        deep = deep / "d"
    write(deep / "a.txt", "x")
    with pytest.raises(CorpusError, match="more than 100 folders lie inside each other"):
        read(tmp_path / "top")


def test_an_error_does_not_repeat_a_million_columns(tmp_path):
    path = write(tmp_path / "c.jsonl", [{f"column {i}": 1 for i in range(100_000)}])
    with pytest.raises(CorpusError) as caught:
        read(path)
    assert len(str(caught.value)) < 1000


def test_an_id_as_long_as_a_text_is_none(tmp_path):
    (item,) = read([{"id": "x" * 5000, "text": "y"}])
    assert item.reason == "id is longer than 4,096 characters: a text, not a name"
    assert isinstance(read([{"id": "x" * 4096, "text": "y"}])[0], Document)


# ---- saved data sets ----------------------------------------------------------------------------


def saved(folder: Path, compression: str | None = None, **state) -> Path:
    table = pa.table({"text": ["one", "two", "three"]})
    folder.mkdir(parents=True)
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(folder / "data.arrow", table.schema, options=options) as writer:
        writer.write_table(table)
    stated = {"_data_files": [{"filename": "data.arrow"}], **state}
    (folder / "state.json").write_text(json.dumps(stated))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def test_a_saved_data_set_is_read_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert [item.text for item in read(saved(tmp_path / "s"))] == ["one", "two", "three"]


@pytest.mark.parametrize(
    "name", ["../data.arrow", "/etc/passwd", "a/../data.arrow", "link", "pipe", "", None, 3, []]
)
def test_a_saved_data_set_names_only_its_own_files(tmp_path, name):
    folder = saved(tmp_path / "s", _data_files=[{"filename": name}])
    write(tmp_path / "data.arrow", (folder / "data.arrow").read_bytes())
    (folder / "link").symlink_to(tmp_path / "data.arrow")
    os.mkfifo(folder / "pipe")
    with pytest.raises(CorpusError, match=r"path|string|link|regular"):
        read(folder)


@pytest.mark.parametrize("splits", ["x", [1], ["../s"], ["a", "a"], ["/"], None])
def test_the_splits_of_a_saved_data_set_lie_inside_of_it(tmp_path, splits):
    saved(tmp_path / "s")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "dataset_dict.json").write_text(json.dumps({"splits": splits}))
    with pytest.raises(CorpusError, match="saved data set cannot be read"):
        read(tmp_path / "t")


def test_offsets_out_of_their_buffer_are_not_followed(tmp_path):
    folder = saved(tmp_path / "s")
    data = (folder / "data.arrow").read_bytes()
    offsets = b"".join(n.to_bytes(4, "little") for n in (0, 3, 6, 11))
    assert data.count(offsets) == 1
    for far in (2**31 - 1, 2**32 - 5, 7):  # beyond the end, below zero, and backwards
        bad = offsets[:4] + far.to_bytes(4, "little") + offsets[8:]
        (folder / "data.arrow").write_bytes(data.replace(offsets, bad))
        _, message, _, _ = read_apart(folder)
        assert "reading broke off before its first row" in message


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_batches_of_a_saved_data_set_are_refused(tmp_path, compression):
    with pytest.raises(CorpusError, match="compressed, which is not read"):
        read(saved(tmp_path / "s", compression))


# ---- JSON ---------------------------------------------------------------------------------------

DEEP = "[" * 50_000 + "]" * 50_000


def test_json_too_deep_is_a_value_error_everywhere(tmp_path):
    with pytest.raises(ValueError, match="not a stored head set"):
        HeadSet.from_json(DEEP)
    path = write(tmp_path / "part-000000-0123456789abcdef.json", DEEP)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_receipt(path)
    lay_down_run(tmp_path / "run")
    write(tmp_path / "run/run.json", DEEP)
    with pytest.raises(ValueError, match="nested too deeply"):
        load_scores(tmp_path / "run")


def test_a_head_set_of_more_heads_than_any_model_has_is_refused():
    stored = {"heads": "L0H0", "layers": 10**9, "heads_per_layer": 10**9}
    with pytest.raises(ValueError, match="no model has more than 1,000,000 heads"):
        HeadSet.from_json(stored)
    with pytest.raises(ValueError, match="at least one layer") as caught:
        HeadSet.from_json(stored | {"layers": -(10**4000)})
    assert len(str(caught.value)) < 300


def test_a_key_that_stands_twice_is_refused(tmp_path):
    for text in ('{"a": 1, "a": 2}', '{"x": [{"b": {}, "b": null}]}'):
        with pytest.raises(ValueError, match=r"key '[ab]' stands twice"):
            files.read_json(write(tmp_path / "x.json", text))


@pytest.mark.parametrize("name", ["manifest.json", "run.json", "selection.parquet"])
def test_a_file_of_a_terabyte_is_a_failed_row_at_once(tmp_path, name):
    folder = lay_down_manifest(tmp_path / "run")
    with (folder / name).open("wb") as file:
        file.truncate(1 << 40)
    began = time.process_time()
    assert failures(folder)
    assert time.process_time() - began < 5


def test_a_run_record_that_is_no_text_is_told_in_a_few_words(tmp_path):
    lay_down_run(tmp_path / "run")
    write(tmp_path / "run/run.json", b"\xff" * 100_000)
    with pytest.raises(ValueError, match="not the record of a run") as caught:
        load_scores(tmp_path / "run")
    assert len(str(caught.value)) < 1000


def test_a_name_that_is_too_long_for_a_file_is_told_in_a_few_words(tmp_path):
    with pytest.raises(ValueError, match="cannot be read: File name too long") as caught:
        files.resolve_inside(tmp_path, "a" * 3000)
    assert len(str(caught.value)) < 400


def test_the_skipped_file_of_a_run_has_the_stated_size(tmp_path):
    lay_down_run(tmp_path / "run")
    load_scores(tmp_path / "run")
    with (tmp_path / "run/skipped.jsonl").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="was changed since"):
        load_scores(tmp_path / "run")


def test_a_receipt_that_is_a_pipe_or_a_link_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to("/etc/passwd")
    for name in ("pipe.json", "link.json"):
        with pytest.raises(ValueError, match="is not the receipt of a shard"):
            read_receipt(tmp_path / name)


# ---- large is not hostile -----------------------------------------------------------------------


def test_a_large_file_with_large_pages_goes_on_being_read(tmp_path):
    texts = [os.urandom(50_000).hex() for _ in range(1500)]  # 150 MB, pages of 100
    path = written(tmp_path / "c.parquet", {"text": texts}, use_dictionary=False)
    start, end = parquet.groups_of(path.open("rb"))[0].chunks["text"][0]
    largest = max(page.declared for page in parquet.pages(path.open("rb"), start, end))
    assert sum(isinstance(item, Document) for item in read_corpus(path)) == 1500
    assert largest > 64 * MB or end - start > 64 * MB


def test_json_lines_and_their_sum_are_as_before(tmp_path):
    path = write(tmp_path / "c.jsonl", jsonl(FIFTY))
    assert len(read(path)) == 50
    edit_json(write(tmp_path / "x.json", "{}"), lambda value: value.update(a=1))
    assert files.read_json(tmp_path / "x.json") == {"a": 1}
