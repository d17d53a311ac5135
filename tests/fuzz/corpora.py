"""Cases for the corpus readers: sound files of every kind, and what is left after damage."""

from __future__ import annotations

import bz2
import csv
import functools
import gzip
import io
import itertools
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from fuzz.mutations import TOKENS, as_json, changed, damaged
from workbench.corpus.reading import CorpusError, Document, Skipped, read_corpus

MOST_ROWS = 20_000  # a few bytes may rightly hold billions of rows: no case reads more than this
LONGEST_MESSAGE = 3000  # characters; the path of a file alone may have a good part of them

ROWS: list[Any] = [
    {"id": "a", "text": "first text", "domain": "x"},
    {"id": 2, "text": "second \u2028 text\r\nof two lines", "domain": None, "more": {"k": [1, 2]}},
    {"text": "third, without an id", "domain": 7},
    {"id": "a", "text": "an id twice"},
    {"id": 1.5, "text": None},
    {"id": "long", "text": "word " * 60},
]


def outcome(corpus: Any, lines: int | None = None, **options: Any) -> str:
    """Read a corpus to its end (or to MOST_ROWS) and say what came of it.

    lines: how many rows there are, where that is known. AssertionError for what must not be.
    """
    stream = read_corpus(corpus, **options)
    items: list[Document | Skipped] = []
    refused = False
    try:
        items = list(itertools.islice(stream, MOST_ROWS))
    except CorpusError as error:
        refused = True
        check_message(error, LONGEST_MESSAGE)
    places = set()
    for item in items:
        (item.source + (item.domain or "") + (item.doc_id or "")).encode()
        assert type(item.row) is int
        if isinstance(item, Document):
            assert all([item.doc_id, item.domain, item.text.strip()])
            item.text.encode()
            assert (item.source, item.row) not in places, "a place twice"
            places.add((item.source, item.row))
        else:
            assert 0 < len(item.reason) < LONGEST_MESSAGE, f"a reason of {len(item.reason)}"
            item.reason.encode()
    if refused:
        return "refused"
    if lines is not None and len(items) < MOST_ROWS:
        assert len(items) == lines, f"{lines} rows went in, {len(items)} came out"
    return "read whole" if all(isinstance(i, Document) for i in items) else "rows skipped"


def check_message(error: Exception, longest: int) -> None:
    """AssertionError unless a person can read what an error says."""
    message = str(error)
    assert 10 < len(message) < longest, f"a message of {len(message)} characters"
    message.encode()


def _lines(data: bytes) -> int:
    """How many rows JSON Lines hold, counted in another way than the reader counts."""
    first, *rest = data.split(b"\n")
    return sum(bool(line.strip()) for line in [first.removeprefix(b"\xef\xbb\xbf"), *rest])


def _jsonl(random: Random) -> bytes:
    rows = [changed(row, random) if random.random() < 0.3 else row for row in ROWS]
    rows = random.sample(rows, random.randrange(1, len(rows) + 1))
    ends = random.choice((b"\n", b"\n", b"\r\n", b"\n\n", b"\r"))
    data = ends.join(as_json(row, random) for row in rows)
    for _ in range(random.randrange(3)):
        data = damaged(data, random, TOKENS)
    if random.random() < 0.001:  # ten megabytes in one line
        data = data.replace(b"text", b"text" * 2_500_000, 1)
    return data


def jsonl(folder: Path, random: Random) -> Callable[[], str]:
    data = _jsonl(random)
    path = folder / random.choice(("c.jsonl", "c.ndjson", "c.json"))
    path.write_bytes(data)
    return lambda: outcome(path, _lines(data), **_options(random))


def _options(random: Random) -> dict[str, str]:
    return {"id": "more"} if random.random() < 0.02 else {}


def gz(folder: Path, random: Random) -> Callable[[], str]:
    return _compressed(folder / "c.jsonl.gz", lambda data: gzip.compress(data, 1, mtime=0), random)


def zst(folder: Path, random: Random) -> Callable[[], str]:
    levels = random.choice((1, 3)), random.random() < 0.5
    press = zstandard.ZstdCompressor(level=levels[0], write_checksum=levels[1])
    return _compressed(folder / "c.jsonl.zst", press.compress, random)


def xz(folder: Path, random: Random) -> Callable[[], str]:
    return _compressed(folder / "c.jsonl.xz", functools.partial(lzma.compress, preset=0), random)


def bzip2(folder: Path, random: Random) -> Callable[[], str]:
    return _compressed(
        folder / "c.jsonl.bz2", functools.partial(bz2.compress, compresslevel=1), random
    )


def _compressed(
    path: Path, compress: Callable[[bytes], bytes], random: Random
) -> Callable[[], str]:
    inner = _jsonl(random)
    data = compress(inner)
    if random.random() < 0.3:
        more = _jsonl(random)
        inner, data = inner + more, data + compress(more)
    lines: int | None = _lines(inner)
    if random.random() < 0.6:
        data, lines = damaged(data, random, [compress(b"{}\n" * 500)]), None
    path.write_bytes(data)
    return lambda: outcome(path, lines)


# ---- CSV ----------------------------------------------------------------------------------------


def csv_rows(folder: Path, random: Random) -> Callable[[], str]:
    """A table with a header, in the dialect of its name, most of them damaged."""
    name = random.choice(("c.csv", "c.tsv", "C.CSV.GZ", "c.csv.xz"))
    out = io.StringIO()
    ends = random.choice(("\n", "\r\n"))
    tabs = "\t" if name == "c.tsv" else ","
    table = csv.DictWriter(out, ["id", "text", "domain"], delimiter=tabs, lineterminator=ends)
    table.writeheader()
    rows = [row for row in ROWS if "more" not in row]
    for row in random.choices(rows, k=random.randrange(1, 12)):
        table.writerow({"id": random.random(), "text": row["text"], "domain": row.get("domain")})
    data, count = out.getvalue().encode(), out.getvalue().count(ends) - 1
    if random.random() < 0.9:
        data, count = damaged(data, random, [*TOKENS, b'"', b'""', b",,", b"\t", b";"]), None
    path = folder / name
    pack = {".GZ": functools.partial(gzip.compress, mtime=0), ".xz": lzma.compress}
    path.write_bytes(pack.get(path.suffix, bytes)(data))
    return lambda: outcome(path, count)


# ---- Parquet ------------------------------------------------------------------------------------


@functools.cache
def _parquets() -> list[bytes]:
    """Sound files with every encoding, compression, page version and kind of column."""
    n = 40
    text = pa.array([f"text {i} " + "word " * (i % 7) for i in range(n)])
    plain = {"id": pa.array(range(n)), "text": text, "domain": pa.array(["a", "b"] * (n // 2))}
    odd = {
        "text": pa.array([None if i % 5 == 0 else "x" * i for i in range(n)]),
        "id": pa.array([i * 10**12 for i in range(n)], pa.timestamp("us")),
        "domain": pa.array([i % 3 == 0 for i in range(n)]),
    }
    others = {
        "text": text.cast(pa.large_string()),
        "id": pa.array([f"{i}.25" for i in range(n)]).cast(pa.decimal128(9, 2)),
        "domain": pa.array(["u", "v"] * (n // 2)).dictionary_encode(),
    }
    binary = {"text": text.cast(pa.binary()), "id": pa.array([i / 3 for i in range(n)])}
    nested = {
        "text": pa.array([["a", "b"], None, []] * 4),
        "id": pa.array([{"a": 1}, None, {"a": None}] * 4),
    }
    same = {"text": pa.array(["the same"] * 2000), "id": pa.nulls(2000, pa.string())}
    files = []
    for columns in (plain, odd, others, binary, nested, same):
        table = pa.table(columns)
        for settings in (
            {"compression": "none"},
            {"compression": "none", "use_dictionary": False, "row_group_size": 7},
            {"compression": "snappy", "data_page_version": "2.0", "store_schema": False},
            {"compression": "zstd", "data_page_size": 64, "write_batch_size": 8},
            {"compression": "gzip", "write_page_checksum": True, "write_statistics": False},
            {"compression": "lz4", "use_dictionary": False, "write_page_index": True},
            {"compression": "brotli", "version": "1.0"},
        ):
            files.append(_parquet(table, **settings))
    for encoding in ("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"):
        settings = {"use_dictionary": False, "column_encoding": {"text": encoding}}
        files.append(_parquet(pa.table({"text": text}), compression="none", **settings))
    settings = {"use_dictionary": False, "column_encoding": {"id": "DELTA_BINARY_PACKED"}}
    files.append(_parquet(pa.table(plain), compression="none", **settings))
    settings = {"use_dictionary": False, "column_encoding": {"id": "BYTE_STREAM_SPLIT"}}
    files.append(_parquet(pa.table(binary), compression="none", **settings))
    return files


def _parquet(table: pa.Table, **settings: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **settings)
    return sink.getvalue()


def parquet(folder: Path, random: Random) -> Callable[[], str]:
    data = random.choice(_parquets())
    rows: int | None = pq.read_metadata(pa.BufferReader(data)).num_rows
    if random.random() < 0.98:
        data, rows = damaged_parquet(data, random), None
    path = folder / random.choice(("c.parquet", "c.pq"))
    path.write_bytes(data)
    return lambda: outcome(path, rows)


def damaged_parquet(data: bytes, random: Random) -> bytes:
    """Damage in the pages, or in the footer with its length set right again."""
    size = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - size], data[-8 - size : -8]
    which = random.random()
    if which < 0.4:
        body = damaged(body, random)
        # Most damage that moves the pages is found at once; as long as before, it goes deeper.
        if random.random() < 0.7:
            body = body[: len(data) - 8 - size].ljust(len(data) - 8 - size, b"\0")
    elif which < 0.9:
        footer = damaged(footer, random)
    else:
        return damaged(data, random, _parquets())
    return body + footer + len(footer).to_bytes(4, "little") + b"PAR1"


# ---- folders ------------------------------------------------------------------------------------

_NAMES = [
    b"a.txt", b"b.md", b".hidden", b"-rf",
    b"new\nline.txt", b"\xff\xfe.txt", b"\xed\xa0\x80.txt", b"\\udcff.txt",
    b"sp ace.txt", b"\xe2\x80\xae.txt", b"'\"<b>&.txt", b"%s{}.txt",
    b"x" * 250, b"con", b"c.jsonl", b"c.jsonl.gz",
    b"c.parquet", b"c.csv", b"c.json", b"state.json", b"part-0", b"_SUCCESS", b"c.tar", b"C.JSONL",
    b"dataset_info.json", b"dataset_dict.json", b"~", b"a:b",
]  # fmt: skip


def texts(folder: Path, random: Random) -> Callable[[], str]:
    """One text, or a folder with files of odd names, links, pipes and sockets among them."""
    if random.random() < 0.5:
        path = folder / "c.txt"
        path.write_bytes(damaged(random.choice([b"", b"A text.\r\n", *TOKENS]), random, TOKENS))
        return lambda: outcome(path, 1)
    top = os.fsencode(folder / "top")
    os.mkdir(top)
    places = [top]
    for _ in range(random.randrange(1, 7)):
        path_ = os.path.join(random.choice(places), random.choice(_NAMES))
        kind = random.random()
        if os.path.lexists(path_):
            continue
        if kind < 0.15:
            os.mkdir(path_)
            places.append(path_)
        elif kind < 0.20:
            os.symlink(random.choice((b"..", b"nowhere", b"/dev/zero", b".", top)), path_)
        elif kind < 0.23:
            os.mkfifo(path_)
        else:
            with open(path_, "wb") as file:
                file.write(damaged(random.choice((b"text", _jsonl(random))), random, TOKENS))
    return lambda: outcome(folder / "top")


@functools.cache
def _saved() -> dict[str, bytes]:
    """The files of a data set as `datasets` saves it, by name."""
    table = pa.table({"id": ["a", "b"] * 20, "text": [f"text {i}" for i in range(40)]})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=10)
    state = {
        "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_fingerprint": "0123456789abcdef", "_format_columns": None, "_format_kwargs": {},
        "_format_type": None, "_output_all_columns": False, "_split": None,
    }  # fmt: skip
    features = {name: {"dtype": "string", "_type": "Value"} for name in ("id", "text")}
    info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
    return {
        "data-00000-of-00001.arrow": sink.getvalue(),
        "state.json": json.dumps(state).encode(),
        "dataset_info.json": json.dumps(info).encode(),
    }


def saved(folder: Path, random: Random) -> Callable[[], str]:
    """A folder of `datasets.save_to_disk` with one of its files damaged or changed."""
    files = dict(_saved())
    name = random.choice(list(files))
    if name.endswith(".arrow") or random.random() < 0.3:
        files[name] = damaged(files[name], random)
    else:
        files[name] = as_json(changed(json.loads(files[name]), random), random)
    top = folder / "top"
    inside = top / "train" if random.random() < 0.3 else top
    inside.mkdir(parents=True)
    if inside is not top:
        splits = {"splits": ["train"]}
        if random.random() < 0.3:
            splits = changed(splits, random)
        (top / "dataset_dict.json").write_bytes(as_json(splits, random))
    for name, data in files.items():
        (inside / name).write_bytes(data)
    return lambda: outcome(top)
