"""Receipts: what a finished shard states of itself, in a small file beside its scores.

A receipt is written after its score file, each whole or not at all. So a receipt that can be read,
that is of these settings, and whose score file has the stated bytes, is a finished shard; anything
else is scored again. Receipts hold neither text nor paths of the machine nor times: the same shard
under the same settings gives the same receipt.

All files of a finished run hang on one digest. `run.json` states size and SHA-256 of two lists:
`skipped.jsonl` and `receipts.sha256`, which has a line for each receipt as `sha256sum` writes it
(so `sha256sum -c receipts.sha256` checks it). Each receipt states size and SHA-256 of its score
file. So a record is as short for a million shards as for one, and no file of a run lies outside its
digests. Records of format 1 list the score files themselves, and say nothing of receipts.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import lines_of, read_json, resolve_inside, sha256_of, write_atomically
from workbench.core.progress import progress_bar
from workbench.corpus.document import Skipped
from workbench.corpus.sources import utf8_name
from workbench.scoring.schema import DOMAIN_SUMS, SCHEMA, SUMMED_COLUMNS
from workbench.scoring.shards import Shard

_FORMAT = 1
_MOST_BYTES = 1 << 28  # of one receipt; a shard of a million refused rows stays below
SHARD_NAME = re.compile(r"part-\d{6,}-[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
RECEIPTS_FILE = "receipts.sha256"
_LINE = re.compile(rb"([0-9a-f]{64})  receipts/(part-\d{6,}-[0-9a-f]{16})\.json\n")
_QUIET = 2_000  # fewer receipts than this are read without a bar


@dataclass(frozen=True)
class Receipt:
    """A finished shard.

    Attributes:
        shard: the name of its files.
        fingerprint: of the settings.
        pieces: (source, first row, end row) of each range of rows (a name in the file).
        documents: digest of the documents that it was given.
        read: rows, which are scored + len(skipped).
        scored: documents that have a score.
        tokens: sum over the scored documents.
        predicted: sum over the scored documents.
        domains: of each domain the scored documents, their tokens, and the sums of both losses and
            the score (`workbench.scoring.schema.DOMAIN_SUMS`).
        skipped: the rows without a score, as `Skipped`.
        score_file: path inside the run folder, sha256, bytes, rows.
        format: of receipts.
        checksum: SHA-256 over all of this.
    """

    shard: str
    fingerprint: Mapping[str, Any]
    pieces: Sequence[Sequence[Any]]
    documents: str
    read: int
    scored: int
    tokens: int
    predicted: int
    domains: Mapping[str, Mapping[str, float]]
    skipped: Sequence[Mapping[str, Any]]
    score_file: Mapping[str, Any]
    format: int = _FORMAT
    checksum: str = ""


def write_scores(
    folder: Path,
    shard: Shard,
    fingerprint: Mapping[str, Any],
    results: Sequence[Mapping[str, Any] | Skipped],
    schema: pa.Schema = SCHEMA,
) -> Receipt:
    """Publish the scores of a shard in `folder`/scores and then its receipt in `folder`/receipts.

    Args:
        folder: the run folder.
        shard: the shard.
        fingerprint: of the run.
        results: a score row or a Skipped for each document of the shard, in order.
        schema: of the score file (`workbench.scoring.schema.schema_with`).

    Returns:
        The receipt.

    Raises:
        OSError: a file cannot be written.
    """
    rows = [result for result in results if not isinstance(result, Skipped)]
    skipped = [*shard.refused, *(result for result in results if isinstance(result, Skipped))]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, sink, write_page_checksum=True)
    name = shard.name(fingerprint)
    path = write_atomically(folder / "scores" / f"{name}.parquet", sink.getvalue().to_pybytes())
    domains: dict[str, dict[str, float]] = {}
    for row in rows:
        sums = domains.setdefault(row["domain"], dict.fromkeys(DOMAIN_SUMS, 0))
        sums["documents"] += 1
        for key in SUMMED_COLUMNS:
            sums[key] += row[key]
    receipt = Receipt(
        name,
        fingerprint,
        [[span.source, span.start, span.stop] for span in shard.row_ranges],
        shard.digest,
        len(rows) + len(skipped),
        len(rows),
        sum(row["tokens"] for row in rows),
        sum(row["predicted"] for row in rows),
        domains,
        [asdict(row) for row in skipped],
        describe(folder, path, len(rows)),
    )
    receipt = replace(receipt, checksum=_checksum(receipt))
    write_atomically(receipt_path(folder, name), _json_bytes(receipt))
    return receipt


def receipt_path(folder: Path, name: str) -> Path:
    """Where the receipt of a shard lies.

    Args:
        folder: the run folder.
        name: of the shard.

    Returns:
        The path, whether the file is there or not.
    """
    return folder / "receipts" / f"{name}.json"


def shard_number(name: str) -> int:
    """The number of a shard.

    Args:
        name: what its files are called.

    Returns:
        The number, from 0.
    """
    return int(name.split("-")[1])


def describe(folder: Path, path: Path, rows: int) -> dict[str, Any]:
    """A file of a run folder as records and receipts list it.

    Args:
        folder: the run folder.
        path: of the file, inside the folder.
        rows: how many rows it has.

    Returns:
        A dict with path (relative to the folder), sha256, bytes and rows.
    """
    return {
        "path": path.relative_to(folder).as_posix(),
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "rows": rows,
    }


def read_receipt(path: Path) -> Receipt:
    """The receipt in a file.

    Args:
        path: of the file.

    Returns:
        The receipt. That its checksum and its score file are right is for `finished` to see.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a receipt.
    """
    try:
        stated = read_json(resolve_inside(path.parent, path.name), _MOST_BYTES)
        receipt = Receipt(**stated)
        _check(receipt)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = utf8_name(f"{type(error).__name__}: {error!s:.200}")
        raise ValueError(
            f"{path.name} is not the receipt of a shard ({reason}): remove it, and the shard is "
            "scored again"
        ) from error
    return receipt


def finished(folder: Path, shard: Shard, fingerprint: Mapping[str, Any]) -> Receipt | None:
    """Whether a shard is done under these settings.

    Args:
        folder: the run folder.
        shard: the shard.
        fingerprint: of the run.

    Returns:
        Its receipt, if that and the score file are whole and of this text; None if the shard has to
        be scored.
    """
    name = shard.name(fingerprint)
    where = receipt_path(folder, name)
    try:
        receipt = read_receipt(where)
        untouched = receipt.checksum == _checksum(receipt)
        untouched &= where.read_bytes() == _json_bytes(receipt)
        path = resolve_inside(folder, receipt.score_file["path"])
        if path.stat().st_size != receipt.score_file["bytes"]:  # not hashed, however large it is
            return None
        described = describe(folder, path, receipt.scored)
    except (OSError, ValueError):
        return None
    refused = [asdict(row) for row in shard.refused]
    matches = (receipt.shard, receipt.documents, receipt.fingerprint, receipt.read) == (
        name, shard.digest, json.loads(json.dumps(fingerprint)), shard.documents + len(refused),
    )  # fmt: skip
    matches &= receipt.skipped[: len(refused)] == refused
    return receipt if untouched and matches and described == receipt.score_file else None


def _json_bytes(receipt: Receipt) -> bytes:
    return (json.dumps(asdict(receipt), indent=1, allow_nan=False) + "\n").encode()


def _checksum(receipt: Receipt) -> str:
    return hashlib.sha256(_json_bytes(replace(receipt, checksum=""))).hexdigest()


def _check(receipt: Receipt) -> None:
    counts = (receipt.read, receipt.scored, receipt.tokens, receipt.predicted)
    if receipt.format != _FORMAT:
        raise ValueError(f"format {receipt.format!r:.50}, this version reads {_FORMAT}")
    if not SHARD_NAME.fullmatch(receipt.shard):
        raise ValueError("its shard has no name of a shard")
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("a count is not a whole number from 0")
    if not isinstance(receipt.skipped, list) or not isinstance(receipt.domains, dict):
        raise ValueError("skipped is a list, domains an object")
    for row in receipt.skipped:
        Skipped(**row)
    if receipt.read != receipt.scored + len(receipt.skipped):
        raise ValueError("the documents read are not the scored and the skipped ones")
    for domain in receipt.domains.values():
        if set(domain) != set(DOMAIN_SUMS) or not all(
            type(value) in (int, float) and -math.inf < value < math.inf
            for value in domain.values()
        ):
            raise ValueError("a domain has documents, tokens and sums, all of them numbers")
    if receipt.scored != sum(domain["documents"] for domain in receipt.domains.values()):
        raise ValueError("the domains do not hold the scored documents")
    file = receipt.score_file
    if file["path"] != f"scores/{receipt.shard}.parquet" or file["rows"] != receipt.scored:
        raise ValueError("its score file is that of another shard")
    if type(file["bytes"]) is not int or not _SHA256.fullmatch(file["sha256"]):
        raise ValueError("its score file has no size or no sha256")


# ---- all receipts of a finished run -------------------------------------------------------------


def list_receipts(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """Write `receipts.sha256`.

    Args:
        folder: the run folder.
        names: of the shards, in the order of the corpus.

    Returns:
        What the record of the run says of the list, as `describe`.
    """
    lines = [f"{sha256_of(receipt_path(folder, name))}  receipts/{name}.json\n" for name in names]
    path = write_atomically(folder / RECEIPTS_FILE, "".join(lines).encode())
    return describe(folder, path, len(lines))


def receipts_of(folder: Path, stated: Mapping[str, Any]) -> Iterator[Receipt]:
    """The receipts of a run in the order of its shards.

    Args:
        folder: the run folder.
        stated: what its record says of `receipts.sha256`.

    Yields:
        The receipts.

    Raises:
        ValueError: before the first or on the way, the list or a receipt is another one than it was
            when the run ended.
        OSError: one cannot be read.
    """
    again = "The same call of score_corpus makes the run whole again"
    (path,) = check_files(folder, [stated])
    rows = stated["rows"]
    with (
        path.open("rb") as lines,
        progress_bar("reading receipts", "file", rows, bar=rows > _QUIET) as done,
    ):
        for line in lines_of(lines):
            entry = _LINE.fullmatch(line or b"")
            if entry is None:
                raise ValueError(f"{path} is no list of receipts. {again}")
            digest, name = (group.decode() for group in entry.groups())
            where = resolve_inside(folder, f"receipts/{name}.json")
            # A file of any size may lie there, and hashing a terabyte takes an hour.
            if where.stat().st_size > _MOST_BYTES or sha256_of(where) != digest:
                raise ValueError(f"{where} was changed since the run ended. {again}")
            receipt = read_receipt(where)
            if receipt.shard != name:
                raise ValueError(f"{where} is the receipt of another shard. {again}")
            yield receipt
            done(1)


def score_files(folder: Path, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The score files of a finished run.

    Args:
        folder: the run folder.
        record: the content of its `run.json`.

    Returns:
        Path, sha256, bytes and rows of each file.

    Raises:
        ValueError: as `receipts_of`.
        OSError: as `receipts_of`.
    """
    if "score_files" in record:
        return list(record["score_files"])
    return [dict(receipt.score_file) for receipt in receipts_of(folder, record["receipts_file"])]


def with_score_files(folder: str | os.PathLike[str], record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run with its `score_files`.

    Args:
        folder: the run folder.
        record: the content of its `run.json`.

    Returns:
        A copy of the record that lists the score files. It lists none where the folder holds
        neither these nor the list of receipts, since a manifest may be published alone or its run
        had no folder.

    Raises:
        ValueError: as `receipts_of`.
        OSError: as `receipts_of`.
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

    Args:
        folder: the run folder.
        files: what is stated of each, as `describe`.
        hashed: how a file is hashed.

    Returns:
        The paths, in order.

    Raises:
        ValueError: a file is another one than is stated; the message names the first.
        OSError: a file cannot be read.
    """
    paths = []
    for file in files:
        path = resolve_inside(folder, file["path"])
        if path.stat().st_size != file.get("bytes") or hashed(path) != file.get("sha256"):
            raise ValueError(f"{path} was changed since it was written: remove it and score again")
        paths.append(path)
    return paths
