"""The files of a finished run, and how all of them hang on one digest.

`run.json` states size and SHA-256 of two lists: `skipped.jsonl` and `receipts.sha256`, which has a
line for each receipt as `sha256sum` writes it (so `sha256sum -c receipts.sha256` checks it). Each
receipt states size and SHA-256 of its score file. So a record is as short for a million shards as
for one, and no file of a run lies outside its digests.

Records of format 1 list the score files themselves, and say nothing of receipts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.core.files import lines_of, plain_file, sha256_of, write_atomically
from workbench.core.progress import counted
from workbench.scoring.receipts import Receipt, describe, read_receipt, receipt_path

RECEIPTS_FILE = "receipts.sha256"
_LINE = re.compile(rb"([0-9a-f]{64})  receipts/(part-\d{6,}-[0-9a-f]{16})\.json\n")
_QUIET = 2_000  # fewer receipts than this are read without a bar


def list_receipts(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Write `receipts.sha256` over the shards `names`, and return what the record says of it."""
    lines = [f"{sha256_of(receipt_path(folder, name))}  receipts/{name}.json\n" for name in names]
    path = write_atomically(folder / RECEIPTS_FILE, "".join(lines).encode())
    return describe(folder, path, len(lines))


def receipts_of(folder: Path, stated: Mapping[str, Any]) -> Iterator[Receipt]:
    """The receipts of a run in the order of its shards.

    Args:
        folder: the run folder.
        stated: what its record says of `receipts.sha256`.

    Raises ValueError, before the first or on the way, for a list or a receipt that is another one
    than it was when the run ended; OSError for one that cannot be read.
    """
    again = "The same call of score_corpus makes the run whole again"
    (path,) = check_files(folder, [stated])
    rows = stated["rows"]
    with (
        path.open("rb") as lines,
        counted("reading receipts", "file", rows, bar=rows > _QUIET) as done,
    ):
        for line in lines_of(lines):
            entry = _LINE.fullmatch(line or b"")
            if entry is None:
                raise ValueError(f"{path} is no list of receipts. {again}")
            digest, name = (one.decode() for one in entry.groups())
            where = plain_file(folder, f"receipts/{name}.json")
            if sha256_of(where) != digest:
                raise ValueError(f"{where} was changed since the run ended. {again}")
            receipt = read_receipt(where)
            if receipt.shard != name:
                raise ValueError(f"{where} is the receipt of another shard. {again}")
            yield receipt
            done(1)


def score_files(folder: Path, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Path, sha256, bytes and rows of the score files of a finished run; raises as `receipts_of`"""
    if "score_files" in record:
        return list(record["score_files"])
    return [dict(one.score_file) for one in receipts_of(folder, record["receipts_file"])]


def with_score_files(folder: str | os.PathLike[str], record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run with its `score_files`.

    Where the folder holds neither these nor the list of receipts, since a manifest may be published
    alone or its run had no folder, there are none of them in it. Raises as `receipts_of`.
    """
    folder, stated = Path(folder), record.get("receipts_file")
    if "score_files" not in record:
        beside = stated and any(os.path.lexists(folder / p) for p in (stated["path"], "scores"))
        return {**record, "score_files": score_files(folder, record) if beside else []}
    return dict(record)


def check_files(
    folder: Path,
    files: Iterable[Mapping[str, Any]],
    hashed: Callable[[Path], str] = sha256_of,
) -> list[Path]:
    """The paths of files of a run, each of which has the stated size and SHA-256.

    hashed: how a file is hashed. Raises ValueError that names the first that is another one.
    """
    paths = []
    for file in files:
        path = plain_file(folder, file["path"])
        if path.stat().st_size != file.get("bytes") or hashed(path) != file.get("sha256"):
            raise ValueError(f"{path} was changed since it was written: remove it and score again")
        paths.append(path)
    return paths
