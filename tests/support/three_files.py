"""A corpus of three files with rows of every kind, its shard index, and a change that hides."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from support.corpora import FIFTY, jsonl, write
from workbench.scoring.folder.shard_index import ShardIndex, shard_index_of

COLUMNS = {"id": "id", "text": "text", "domain": "domain"}


def three_files(folder: Path) -> list[str]:
    """Three files with blank lines, rows that give no document, and an id of two documents."""
    twice = [FIFTY[0] | {"text": "again"}]
    write(folder / "corpus/a.jsonl", jsonl(FIFTY[:9]) + b"\n\nno json\n" + jsonl(FIFTY[9:14]))
    write(folder / "corpus/b.jsonl", [*FIFTY[14:20], *twice, {"id": "x", "text": None}])
    write(folder / "corpus/c.jsonl", FIFTY[20:31])
    return [str(folder / "corpus")]


def made(corpus: list[str], folder: Path, size: int = 4, **more: Any) -> ShardIndex:
    """The shard index of a corpus, as a run in that folder has it."""
    folder.mkdir(exist_ok=True)
    return shard_index_of(corpus, COLUMNS, size, folder, **more)


def changed_in_place(folder: Path) -> None:
    """Change a text so that neither the size nor the time of its file tells."""
    before = (folder / "b.jsonl").stat()
    content = (folder / "b.jsonl").read_bytes()
    write(folder / "b.jsonl", content.replace(b"Text number 17", b"Text number 71"))
    os.utime(folder / "b.jsonl", ns=(before.st_atime_ns, before.st_mtime_ns))
