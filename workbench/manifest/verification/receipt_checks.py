"""The checks of a manifest that go down from its list of receipts: receipts, then score files.

Runs of format 1 list their score files in the manifest itself, and these checks are not for them.
"""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from workbench.manifest.verification.checks import NotChecked, hashed, require
from workbench.scoring.receipts import check_files, receipts_of


def receipts(
    folder: pathlib.Path, record: dict[str, Any], files: dict[str, pathlib.Path]
) -> tuple[list[dict[str, Any]], str]:
    """The receipts are those of the list, all of them, and add up to the counts of the record.

    Args:
        folder: of the manifest.
        record: of the run.
        files: listed files that passed their own checks.

    Returns the score files that they state: path, sha256, bytes, rows.
    """
    stated = record["receipts_file"]
    if stated is None or stated["path"] not in files:
        raise NotChecked("the list of receipts is not in the folder, or failed its own check")
    found, names, counts = [], set(), Counter[str](read=0, scored=0, skipped=0)
    for one in receipts_of(folder, stated):
        found.append(dict(one.score_file))
        names.add(f"{one.shard}.json")
        counts.update(read=one.read, scored=one.scored, skipped=len(one.skipped))
    require(len(names) == stated["rows"] == len(found), "the list has another number of receipts")
    _no_strays(folder, "receipts", names)
    documents = {key: record["documents"][key] for key in counts}
    require(dict(counts) == documents, f"they add up to {dict(counts)}, the record says otherwise")
    return found, f"{len(found)} receipts, those of the run"


def score_files(
    folder: pathlib.Path, stated: list[dict[str, Any]], done: Callable[[int], object]
) -> tuple[dict[str, pathlib.Path], str]:
    """The score files have the sizes and digests that their receipts state; gives their paths.

    done: told of the bytes that were hashed, as they are.
    """
    paths = check_files(folder, stated, lambda path: hashed(path, done))
    _no_strays(folder, "scores", {path.name for path in paths})
    found = {file["path"]: path for file, path in zip(stated, paths, strict=True)}
    return found, f"{len(found)} score files, sha256 as their receipts say"


def _no_strays(folder: pathlib.Path, room: str, mine: set[str]) -> None:
    strays = {path.name for path in (folder / room).glob("*")} - mine
    require(not strays, f"files in {room} that belong to no run: {sorted(strays)!r:.300}")
