"""A corpus of four files, in the forms that readers take, for tests that need files by name."""

from __future__ import annotations

import gzip
import json

import pandas as pd

COLUMNS = {"id": "key", "text": "content", "domain": "part"}
ROWS = 30  # of each source
NAMES = ["a.jsonl", "b.jsonl.gz", "c.parquet", "sub/d.jsonl"]


def rows_of(name, changed=()):
    return [
        {"key": f"{name} {i}", "content": f"text {i} of {name}" + "!" * (i in changed),
         "part": "xy"[i % 2]}
        for i in range(ROWS)
    ]  # fmt: skip


def write_source(corpus, name, rows):
    path = corpus / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if name.endswith(".parquet"):
        pd.DataFrame(rows).to_parquet(path, row_group_size=7)
    else:
        path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
