"""Corpora on disk whose places are known without any reader of the workbench."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Place = tuple[str, int]  # source and row


def lay_down(folder: Path, files: int = 20, rows: int = 6, words: int = 40) -> set[Place]:
    """`files` JSONL files of `rows` rows, a shard each if a shard has rows - 2 documents: two rows
    of each file cannot be scored. Returns the places of all rows."""
    folder.mkdir(parents=True, exist_ok=True)
    places = set()
    for number in range(files):
        lines = [
            json.dumps({"id": f"f{number}-{row}", "text": text, "domain": "abc"[number % 3]})
            for row, text in enumerate(_texts(number, rows, words))
        ]
        lines[1] = json.dumps({"id": f"f{number}-1", "text": None, "domain": "a"})
        lines[2] = lines[2][: len(lines[2]) // 2]  # no JSON
        (folder / f"{number:02}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        places |= {(f"{number:02}.jsonl", row) for row in range(rows)}
    return places


def reword(folder: Path, numbers: Iterable[int]) -> None:
    """Change the texts of these files of `lay_down`."""
    for number in numbers:
        path = folder / f"{number:02}.jsonl"
        path.write_text(path.read_text().replace("word1", "word2"))


def lay_down_parquet(path: Path, rows: int, seed: int = 0) -> set[Place]:
    """One Parquet file; the places of its rows."""
    texts = list(_texts(1000 + seed, rows, 8))
    table = pa.table({"id": [f"{path.stem}-{row}" for row in range(rows)], "text": texts})
    pq.write_table(table.append_column("domain", pa.array(["p"] * rows)), path, row_group_size=3)
    return {(path.name, row) for row in range(rows)}


def _texts(seed: int, rows: int, words: int) -> Iterator[str]:
    for row in range(rows):
        yield " ".join(f"word{(seed * 7919 + row * 31 + i * i) % 977}" for i in range(words))
