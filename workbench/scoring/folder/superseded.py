"""Scores that a run no longer speaks of: set aside in its folder, and taken back.

They move to `superseded/` and are never deleted: scores of a
document that was edited or went away, of another corpus, of other settings. Their score files and
receipts move to `superseded/scores` and `superseded/receipts`, and the record that spoke of them is
kept beside them. When a shard is asked for again as it was, under the settings of then, it is taken
back from there and not scored again. The folder may be removed by whoever needs the space.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.files import sha256_of, write_atomically
from workbench.scoring.folder.receipts import Receipt, finished, read_receipt, receipt_path
from workbench.scoring.shards import Shard

SUPERSEDED = "superseded"


class SetAside(NamedTuple):
    """What was set aside.

    Attributes:
        shards: how many shards.
        documents: how many documents were scored in them.
    """

    shards: int
    documents: int


def set_aside(folder: Path, keep: Collection[str]) -> SetAside:
    """Move the files of shards to `superseded/`.

    Args:
        folder: the run folder.
        keep: names of the shards that stay.

    Returns:
        How much was moved.
    """
    names, documents = set(), 0
    for path in [*folder.glob("receipts/part-*.json"), *folder.glob("scores/part-*.parquet")]:
        if path.stem in keep:
            continue
        if path.parent.name == "receipts":
            with contextlib.suppress(OSError, ValueError):  # a damaged one
                documents += read_receipt(path).scored
        with contextlib.suppress(FileNotFoundError):  # another part is finishing the same run
            _move(path, folder / SUPERSEDED / path.parent.name / path.name)
            names.add(path.stem)
    return SetAside(len(names), documents)


def done_before(folder: Path, shard: Shard, fingerprint: Mapping[str, Any]) -> Receipt | None:
    """Whether an earlier call has finished a shard, be it set aside since.

    Args:
        folder: the run folder.
        shard: the shard.
        fingerprint: of the run.

    Returns:
        Its receipt, the files of which lie in the folder (again); None if it has to be scored.
    """
    return finished(folder, shard, fingerprint) or _taken_back(folder, shard, fingerprint)


def _taken_back(folder: Path, shard: Shard, fingerprint: Mapping[str, Any]) -> Receipt | None:
    """The receipt of a shard that was set aside and is whole, moved back; else None."""
    aside = folder / SUPERSEDED
    name = shard.name(fingerprint)
    if not receipt_path(aside, name).exists():
        return None
    receipt = finished(aside, shard, fingerprint)
    if receipt is None:
        return None
    for path in (f"scores/{name}.parquet", f"receipts/{name}.json"):  # the receipt last, as ever
        _move(aside / path, folder / path)
    return receipt


def keep_record(folder: Path) -> None:
    """Keep a copy of the record, where another one is about to replace it.

    Args:
        folder: the run folder; the copy goes to its `superseded/`.
    """
    path = folder / "run.json"
    aside = folder / SUPERSEDED
    aside.mkdir(exist_ok=True)
    write_atomically(aside / f"run-{sha256_of(path)[:16]}.json", path.read_bytes())


def _move(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, to)
