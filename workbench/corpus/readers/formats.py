"""What a file is, by its name or, where the name says nothing, by its first bytes.

Names count in upper and lower case. A whole corpus must not pass for one document because its name
is `part-00000`, and no format that is not read for a text: such a file is refused by name, with
what it is and what to do.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from workbench.corpus.readers.compression import ENDINGS, Compression, compression_of, decompressed
from workbench.corpus.readers.remote import opened

RowKind = Literal["jsonl", "csv", "parquet"]  # the formats that hold rows
KIND_NAMES: dict[RowKind, str] = {"jsonl": "JSON Lines", "csv": "CSV", "parquet": "Parquet"}
_KINDS: dict[str, RowKind] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonlines": "jsonl",
    ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
# A folder with a file named so is one of shards, whatever else lies there; others lie among texts.
_SURE: tuple[RowKind, ...] = ("jsonl", "parquet")
_CONVERT = "convert it to Parquet, JSON Lines or CSV"
_UNPACK = "unpack it and give the folder"
_ANOTHER = "decompress it, or compress it with gzip, zstd, xz or bzip2"
_NOT_READ = {
    ".zip": ("a ZIP archive", "unpack it, or name what is in it: zip://PATH::{name}"),
    ".tar": ("a tar archive", "unpack it, or name what is in it: tar://PATH::{name}"),
    **dict.fromkeys((".tgz", ".tbz2", ".txz"), ("a tar archive", _UNPACK)),
    ".7z": ("a 7-Zip archive", _UNPACK),
    ".rar": ("a RAR archive", _UNPACK),
    ".lz4": ("compressed with LZ4", _ANOTHER),
    **dict.fromkeys((".sz", ".snappy"), ("compressed with Snappy", _ANOTHER)),
    ".br": ("compressed with Brotli", _ANOTHER),
    ".lzma": ("compressed with the old LZMA format", _ANOTHER),
    ".z": ("compressed with `compress`", _ANOTHER),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), ("a spreadsheet", _CONVERT)),
    **dict.fromkeys((".arrow", ".feather", ".ipc"), ("an Arrow file", _CONVERT)),
    ".orc": ("an ORC file", _CONVERT),
    ".avro": ("an Avro file", _CONVERT),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3", ".duckdb"), ("a database", _CONVERT)),
    **dict.fromkeys((".pkl", ".pickle"), ("a pickle, which may run code", _CONVERT)),
    **dict.fromkeys((".npy", ".npz", ".h5", ".hdf5"), ("an array of numbers", _CONVERT)),
}  # fmt: skip
_STARTS = {
    b"PK\x03\x04": ".zip", b"\x04\x22\x4d\x18": ".lz4", b"ARROW1": ".arrow", b"ORC": ".orc",
    b"Obj\x01": ".avro", b"SQLite format 3\0": ".db", b"\x89HDF\r\n": ".h5", b"7z\xbc\xaf": ".7z",
}  # fmt: skip
_PART = re.compile(r"part[-_]\d")  # as Hadoop and Spark name what they write
_SAYS_NOTHING = re.compile(r"^[^.]+$|\.(\d+|data?|dump|out|part|raw|bin)$")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 1 << 16  # bytes at the beginning
_LONG_LOOK = 1 << 20  # more of a file that may be JSON Lines with long documents


class NotReadError(ValueError):
    """A format that is not read; says what it is and what to do."""


class Format(NamedTuple):
    """What a file is.

    Attributes:
        kind: rows of JSON Lines, of CSV or TSV, of Parquet, or one text.
        compression: of the file as a whole, or None.
        sure: whether a folder with such a file is one of shards, whatever else lies there. CSV
            files, and JSON Lines that are not called so, also lie among texts.
    """

    kind: RowKind | Literal["text"]
    compression: Compression | None = None
    sure: bool = True


def format_of(name: str, path: str, given: bool) -> Format:
    """What the file at `path` is.

    Args:
        name: of the file, without the query of a URL.
        path: where it can be opened, local or remote; its first bytes are read only where the name
            does not tell.
        given: whether the user gave this very file. A `.json` that was given is JSON Lines; in a
            folder it is a text like any other (package.json) unless its first two lines are JSON
            objects.

    Raises:
        NotReadError: for a format that is not read.
        OSError: where the first bytes cannot be read; CorpusError where that is on the network.
    """
    stem = PurePosixPath(name.lower()).name
    packed = PurePosixPath(stem).suffix
    compression = ENDINGS.get(packed)
    if compression:
        stem = stem.removesuffix(packed)
    ending = PurePosixPath(stem).suffix
    if ending in _NOT_READ:
        raise _not_read(ending, name)
    is_part = _PART.match(stem) is not None
    if kind := _KINDS.get(ending):
        if kind == "parquet" and compression:
            raise NotReadError(f"it is Parquet inside {compression}: decompress it")
        return Format(kind, compression, kind in _SURE)
    if ending == ".json" and (given or compression):
        return Format("jsonl", compression)
    if ending == ".json":
        seen = _look(name, path, None, 1 if is_part else 2)
        return (seen or Format("text"))._replace(sure=is_part)
    if not compression and not is_part and not _SAYS_NOTHING.search(stem):
        return Format("text")
    seen = _look(name, path, compression, 1 if is_part or given else 2)
    if seen is not None:
        return seen._replace(sure=is_part or seen.kind == "parquet")
    if compression or is_part:
        what = f"text compressed with {compression}" if compression else "a part of something"
        raise NotReadError(
            f"it is {what}, and nothing says what a document of it is: name it .jsonl or .csv if "
            f"it is that, {'decompress it or ' if compression else ''}name it .txt if it is one "
            "text, or convert it to JSON Lines"
        )
    return Format("text")


def tells_format(name: str) -> bool:
    """Whether a name says by its ending that the file holds rows.

    Args:
        name: the name of the file.
    """
    stem, dot, packed = name.lower().rpartition(".")
    stem = stem if dot + packed in ENDINGS else name.lower()
    return PurePosixPath(stem).suffix in (*_KINDS, ".json")


def check_start(start: bytes) -> None:
    """Require that a file of lines begins as UTF-8 text, else every line would be found wrong.

    Args:
        start: the first bytes; 16 are enough.

    Raises:
        ValueError: they are those of a compressed file, of Parquet, or of UTF-16.
    """
    if compression := compression_of(start):
        ending = next(name for name, kind in ENDINGS.items() if kind == compression)
        raise ValueError(f"it is compressed with {compression}: name it with {ending} at its end")
    if start.startswith(b"PAR1"):
        raise ValueError("it is Parquet: name it .parquet")
    if start.startswith(_UTF16):
        raise ValueError("it is UTF-16 (as of PowerShell or Excel), not UTF-8: save it as UTF-8")


def _look(name: str, path: str, compression: Compression | None, lines: int) -> Format | None:
    """Parquet or JSON Lines, by the first bytes; None if it is neither.

    lines: how many of the first lines must be JSON objects.
    """
    with opened(path) as file:
        start = file.peek(16)[:16]  # type: ignore[attr-defined]
        for begins, ending in _STARTS.items():
            if start.startswith(begins):
                raise _not_read(ending, name)
        compression = compression or compression_of(start)
        if start.startswith(b"PAR1"):
            return Format("parquet")
        try:
            stream = decompressed(file, compression)
            head = stream.read(_LOOKED_AT)
            if head.count(b"\n") < lines and _begins_object(head):
                head += stream.read(_LONG_LOOK)
        except ValueError as error:
            raise NotReadError(str(error)) from error
    if head.startswith(b"PAR1"):
        raise NotReadError(f"it is Parquet inside {compression}: decompress it")
    return Format("jsonl", compression) if _is_json_lines(head, lines) else None


def _begins_object(head: bytes) -> bool:
    return re.match(rb'(\xef\xbb\xbf)?\s*\{\s*"', head) is not None


def _is_json_lines(head: bytes, lines: int) -> bool:
    whole = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if len(head) >= _LOOKED_AT:
        if len(whole) == 1:  # one line so far: a long document
            return _begins_object(head)
        whole.pop()
    first = [line for line in whole if line.strip()][:lines]
    try:
        return len(first) == lines and all(isinstance(json.loads(line), dict) for line in first)
    except (ValueError, RecursionError):
        return False


def _not_read(ending: str, name: str) -> NotReadError:
    what, to_do = _NOT_READ[ending]
    return NotReadError(f"it is {what}, which is not read: {to_do.format(name=name)}")
