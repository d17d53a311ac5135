"""Receipts: what a finished shard states of itself, in a small file beside its scores.

A receipt is written after its score file, each whole or not at all. So a receipt that can be read,
that is of these settings, and whose score file has the stated bytes, is a finished shard; anything
else is scored again. Receipts hold neither text nor paths of the machine nor times: the same shard
under the same settings gives the same receipt.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import plain_file, read_json, sha256_of, write_atomically
from workbench.corpus.document import Skipped
from workbench.corpus.sources import utf8_name
from workbench.scoring.schema import DOMAIN_SUMS, SCHEMA, SUMMED_COLUMNS
from workbench.scoring.shards import Shard

_FORMAT = 1
_MOST_BYTES = 1 << 28  # of one receipt; a shard of a million refused rows stays below
SHARD_NAME = re.compile(r"part-\d{6,}-[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Receipt:
    """A finished shard.

    shard: the name of its files; fingerprint: the settings; pieces: (source, first row, end row);
    documents: digest of those that it was given; read = scored + len(skipped); tokens and
    predicted: sums over the scored documents; domains: scored documents, tokens and the sums of
    both losses and the score, of each domain; score_file: path inside the run folder, sha256,
    bytes, rows; checksum: SHA-256 over all of this.
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
) -> Receipt:
    """Publish the scores of a shard in `folder`/scores and then its receipt in `folder`/receipts.

    results: a score row or a Skipped for each document of the shard, in order.
    """
    rows = [one for one in results if not isinstance(one, Skipped)]
    skipped = [*shard.refused, *(one for one in results if isinstance(one, Skipped))]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
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
        [[one.source, one.start, one.stop] for one in shard.pieces],
        shard.digest,
        len(rows) + len(skipped),
        len(rows),
        sum(row["tokens"] for row in rows),
        sum(row["predicted"] for row in rows),
        domains,
        [asdict(one) for one in skipped],
        describe(folder, path, len(rows)),
    )
    receipt = replace(receipt, checksum=_checksum(receipt))
    write_atomically(receipt_path(folder, name), _json_bytes(receipt))
    return receipt


def receipt_path(folder: Path, name: str) -> Path:
    """Where the receipt of the shard `name` lies."""
    return folder / "receipts" / f"{name}.json"


def shard_number(name: str) -> int:
    """The number of the shard whose files are called `name`."""
    return int(name.split("-")[1])


def describe(folder: Path, path: Path, rows: int) -> dict[str, Any]:
    """A file of a run folder as records and receipts list it."""
    return {
        "path": path.relative_to(folder).as_posix(),
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "rows": rows,
    }


def read_receipt(path: Path) -> Receipt:
    """The receipt in a file. Raises OSError if it cannot be read, ValueError if it is not one."""
    try:
        stated = read_json(plain_file(path.parent, path.name), _MOST_BYTES)
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
    """The receipt of a shard that is done under these settings; None if it has to be scored."""
    name = shard.name(fingerprint)
    where = receipt_path(folder, name)
    try:
        receipt = read_receipt(where)
        untouched = receipt.checksum == _checksum(receipt)
        untouched &= where.read_bytes() == _json_bytes(receipt)
        path = plain_file(folder, receipt.score_file["path"])
        found = describe(folder, path, receipt.scored)
    except (OSError, ValueError):
        return None
    refused = [asdict(one) for one in shard.refused]
    mine = (receipt.shard, receipt.documents, receipt.fingerprint, receipt.read) == (
        name, shard.digest, json.loads(json.dumps(fingerprint)), shard.documents + len(refused),
    )  # fmt: skip
    mine &= receipt.skipped[: len(refused)] == refused
    return receipt if untouched and mine and found == receipt.score_file else None


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
    for one in receipt.skipped:
        Skipped(**one)
    if receipt.read != receipt.scored + len(receipt.skipped):
        raise ValueError("the documents read are not the scored and the skipped ones")
    for one in receipt.domains.values():
        if set(one) != set(DOMAIN_SUMS) or not all(
            type(value) in (int, float) and -math.inf < value < math.inf for value in one.values()
        ):
            raise ValueError("a domain has documents, tokens and sums, all of them numbers")
    if receipt.scored != sum(one["documents"] for one in receipt.domains.values()):
        raise ValueError("the domains do not hold the scored documents")
    file = receipt.score_file
    if file["path"] != f"scores/{receipt.shard}.parquet" or file["rows"] != receipt.scored:
        raise ValueError("its score file is that of another shard")
    if type(file["bytes"]) is not int or not _SHA256.fullmatch(file["sha256"]):
        raise ValueError("its score file has no size or no sha256")
