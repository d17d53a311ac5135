"""Choosing from score files, on disk (DuckDB) beside pandas, and verifying it.

Made-up scores in score files of a million rows, 20 domains of unequal size mixed in each, one
document in 25 with a text that others have too. Every number is of a fresh process, and its peak is
the kernel's own mark, so that what importing the package takes is in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.figures import significant, table
from benchmarks.progress import Progress
from benchmarks.settings import WORKDIR, Settings, cores
from benchmarks.worker import peak

NAME = "selection"
TITLE = "Choosing from many scores"
FILE_ROWS = 1_000_000
DOMAINS = 20
POOL = 200_000  # texts that several documents have
PANDAS_ROWS = 1_000_000
MEMORY = "1GB"
_DIGITS = np.array([f"{byte:02x}".encode() for byte in range(256)], dtype="S2")


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    largest = settings.rows
    sizes = sorted({min(PANDAS_ROWS, largest), largest})
    data: dict[str, Any] = {"threads": min(2, cores()), "memory": MEMORY, "lines": []}
    progress = Progress(NAME, sum(2 * rows if rows > PANDAS_ROWS else 5 * rows for rows in sizes))
    WORKDIR.mkdir(exist_ok=True)
    for rows in sizes:
        with tempfile.TemporaryDirectory(dir=WORKDIR, prefix="selection-") as folder:
            lay_down(Path(folder), rows)
            ways = [("files", "keep one"), ("files, verified", "keep one")]
            if rows <= PANDAS_ROWS:
                ways = [("table", "report"), ("files", "report"), *ways]
            for way, duplicates in ways:
                measured = measure(Path(folder), way, duplicates, data["threads"])
                data["lines"].append(
                    {"rows": rows, "way": way, "duplicates": duplicates, **measured}
                )
                progress.step(f"{way}, {duplicates}, {rows:,} rows", rows)
                save(data)


def lay_down(folder: Path, rows: int) -> None:
    """The folder of a finished run with so many made-up scores."""
    from support.run_folders import describe, run_record

    (folder / "scores").mkdir(parents=True)
    files = []
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        path = folder / f"scores/part-{number:06d}.parquet"
        part = _scores(number, min(FILE_ROWS, rows - start))
        pq.write_table(part, path, compression="zstd")
        files.append(describe(path, folder, len(part)))
    record = run_record([])
    (folder / "skipped.jsonl").write_text("", encoding="utf-8")
    record["score_files"] = files
    record["skipped_file"] = describe(folder / "skipped.jsonl", folder, 0)
    record["documents"] = {"read": rows, "scored": rows, "skipped": 0}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")


def _scores(number: int, rows: int) -> pa.Table:
    random = np.random.default_rng(number)
    digests = random.integers(0, 256, (rows, 32), dtype=np.uint8)
    pool = np.random.default_rng(2**32).integers(0, 256, (POOL, 32), dtype=np.uint8)
    copies = random.random(rows) < 0.04
    digests[copies] = pool[random.integers(0, POOL, int(copies.sum()))]
    text = pa.array(_DIGITS[digests].view("S64").ravel(), pa.binary()).cast(pa.string())
    share = 1 / np.arange(1, DOMAINS + 1) ** 0.7
    domain = pa.array([f"domain {place:02d}" for place in range(DOMAINS)]).take(
        pa.array(random.choice(DOMAINS, rows, p=share / share.sum()))
    )
    source = f"crawl/part-{number:05d}.jsonl.gz"
    base = random.uniform(1.5, 4, rows)
    ref = base * np.exp(random.normal(0.3, 0.2, rows))
    tokens = np.maximum(2, random.lognormal(6.3, 1, rows)).astype("int64")
    return pa.table(
        {
            "doc_id": [f"{source}#{row}" for row in range(rows)],
            "domain": domain,
            "source": pa.repeat(source, rows),
            "row": np.arange(rows),
            "tokens": tokens,
            "predicted": tokens - 1,
            "loss_base": base,
            "loss_ref": ref,
            "score": (ref - base) / base,
            "compression_ratio": random.normal(2.3, 0.3, rows).round(4),
            "text_sha256": text,
        }
    )


def measure(folder: Path, way: str, duplicates: str, threads: int) -> dict[str, float]:
    """Seconds, peak MiB resident and scratch bytes of one selection in a fresh process."""
    asked = [str(folder), way, duplicates, str(threads)]
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.selection", *asked],
        check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1], text=True,
    ).stdout  # fmt: skip
    return json.loads(out.splitlines()[-1])


def render(data: dict[str, Any]) -> str:
    names = {
        "table": "chosen by pandas (`select`)",
        "files": "chosen by DuckDB (`select_files`)",
        "files, verified": "verified by DuckDB",
    }
    rows = [
        [f"{row['rows']:,}", names[row["way"]], row["duplicates"], significant(row["seconds"]),
         f"{row['rows'] / row['seconds']:,.0f}", f"{row['imported']:,.0f}", f"{row['peak']:,.0f}",
         significant(row["scratch"] / 1e9)]
        for row in data["lines"]
    ]  # fmt: skip
    head = ["rows", "way", "duplicates", "seconds", "rows/s", "imported, MiB", "peak, MiB",
            "scratch, GB"]  # fmt: skip
    return (
        f"From the score files to selection.parquet and manifest.json, top 20 % of {DOMAINS} "
        f"domains by documents, {data['threads']} threads, DuckDB bounded to {data['memory']}; and "
        'back again (`verify_manifest(level="ranks")`, all files hashed too). One fresh process '
        "each. Peak: MiB resident, with the package's own imports.\n\n" + table(head, rows)
    )


def _scratch(folder: Path, most: list[int]) -> None:
    """Note, once a second, how much lies in a scratch folder in there."""
    while True:
        held = 0
        for path in [*folder.glob(".selection.*/**/*"), *folder.glob("workbench-verify-*/**/*")]:
            try:
                held += path.stat().st_size if path.is_file() else 0
            except OSError:
                continue  # gone since it was listed
        most[0] = max(most[0], held)
        time.sleep(1)


def main() -> None:
    folder, way, duplicates, threads = sys.argv[1:]
    import workbench as wb
    from workbench.manifest.selecting_files import select_files

    imported, most = peak(), [0]
    tempfile.tempdir = folder
    threading.Thread(target=_scratch, args=(Path(folder), most), daemon=True).start()
    begin = time.monotonic()
    if way == "files, verified":
        report = wb.verify_manifest(folder, level="ranks")
        assert report.checks["ok"].all()
    elif way == "files":
        select_files(folder, duplicates=duplicates, memory=MEMORY, threads=int(threads))  # type: ignore[arg-type]
    else:
        wb.write_manifest(wb.select(wb.load_scores(folder)), folder)
    seconds = time.monotonic() - begin
    print(
        json.dumps({"seconds": seconds, "imported": imported, "peak": peak(), "scratch": most[0]})
    )


if __name__ == "__main__":
    main()
