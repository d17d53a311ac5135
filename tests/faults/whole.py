"""Is a run folder whole? Held against the places of the corpus and an undisturbed run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from faults.corpora import Place

Stamp = tuple[int, int]  # inode and time of writing


def files(folder: Path) -> dict[str, bytes]:
    """What a finished run publishes, by name, without what names only the machine's moment."""
    found = [*folder.glob("scores/*"), *folder.glob("receipts/*")]
    found += [folder / "skipped.jsonl", folder / "run.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def stamps(folder: Path) -> dict[str, Stamp]:
    """When each score file and receipt was written, and as which inode."""
    found = {}
    for path in [*folder.glob("scores/part-*"), *folder.glob("receipts/part-*")]:
        about = path.stat()
        found[path.relative_to(folder).as_posix()] = (about.st_ino, about.st_mtime_ns)
    return found


@dataclass(frozen=True)
class Account:
    """What a folder holds against what it should: places lost and doubled, files whose bytes are
    not those of the undisturbed run (or that are missing, or too many), and files left over."""

    lost: int
    doubled: int
    different: tuple[str, ...]
    left: tuple[str, ...]

    @property
    def whole(self) -> bool:
        return not (self.lost or self.doubled or self.different or self.left)


def account(folder: Path, reference: Path, places: set[Place], tmp: Path | None = None) -> Account:
    found: Counter[Place] = Counter()
    for path in folder.glob("scores/*.parquet"):
        table = pq.read_table(path, columns=["source", "row"]).to_pydict()
        found.update(zip(table["source"], table["row"], strict=True))
    for line in (folder / "skipped.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found[row["source"], row["row"]] += 1
    assert not set(found) - places, "rows that the corpus does not have"
    mine, theirs = files(folder), files(reference)
    different = [name for name in mine | theirs if mine.get(name) != theirs.get(name)]
    left = [str(path) for path in folder.rglob("*.tmp*")]
    if tmp is not None:
        left += [str(path) for path in tmp.iterdir()]
    return Account(
        len(places - set(found)), sum(n - 1 for n in found.values()), tuple(different), tuple(left)
    )


def require_whole(
    runs: Any, corpus: Any, folder: Path, reference: Path, places: set[Place], **given: Any
) -> Account:
    """Assert that a finished folder is whole, and that a re-run scores nothing and writes no score.

    given: how the re-run is asked for, if not as one process.
    """
    made = account(folder, reference, places)
    assert made.whole, made
    before = stamps(folder)
    report = runs.run(corpus, folder, **given)
    assert (report["kept"], report["tokens"]) == (report["shards"], 0), report
    assert report["finished"]
    assert stamps(folder) == before
    made = account(folder, reference, places, runs.tmp)
    assert made.whole, made
    return made
