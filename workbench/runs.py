"""The folder of a scoring run: its record, its shards, and how a later call takes it up again.

    run.json               what was run on what, with counts once it is finished
    scores/part-*.parquet  one file a shard, rows of SCHEMA
    skipped.jsonl          documents without a score, each with its reason

Scores belong to (weights, tokenizer, heads, mode, dtype, window, formula): that is the fingerprint,
and a folder takes scores of one fingerprint only. The certificate stands in the record but not in
the fingerprint, since what its checks measure may differ in the last digits.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.certificate import Certificate
from workbench.corpus import Document, Skipped, text_sha256
from workbench.files import plain_file, sha256_of, write_atomically
from workbench.heads import HeadSet
from workbench.models import Model

FORMULA = "(loss_ref - loss_base) / loss_base"
SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("row", pa.int64()),
        ("tokens", pa.int64()),
        ("predicted", pa.int64()),
        ("loss_base", pa.float64()),
        ("loss_ref", pa.float64()),
        ("score", pa.float64()),
        ("compression_ratio", pa.float64()),
        ("text_sha256", pa.string()),
    ]
)


def load_scores(folder: str | Path) -> pd.DataFrame:
    """The table that `score_corpus(out=folder)` returned, read again from its files."""
    folder = Path(folder)
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        finished, files = run["documents"] is not None, run["score_files"]
        listed = [(file["path"], file["sha256"]) for file in files]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} holds no run.json: expected a folder written by score_corpus(out=...)"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / 'run.json'} is not the record of a run: {error!r}") from error
    if not finished:
        raise ValueError(
            f"the run in {folder} is not finished: call score_corpus again with the same settings "
            "and it goes on where it stopped"
        )
    tables = []
    for name, digest in listed:
        path = plain_file(folder, name)
        if sha256_of(path) != digest:
            raise ValueError(f"{path} was changed since it was written: remove it and score again")
        tables.append(pq.read_table(path, schema=SCHEMA))
    table = pa.concat_tables(tables).to_pandas() if tables else SCHEMA.empty_table().to_pandas()
    table.attrs["run"] = run
    lines = (folder / "skipped.jsonl").read_text(encoding="utf-8").splitlines()
    table.attrs["skipped"] = [json.loads(line) for line in lines]
    return table


def run_record(
    model: Model, heads: HeadSet, settings: dict[str, Any], certificate: Certificate
) -> dict[str, Any]:
    """The record of a run before it starts; `finish` adds the counts."""
    packages = ("attention-influence-workbench", "torch", "transformers")
    names = ("workbench", "torch", "transformers")
    software = {name: version(package) for name, package in zip(names, packages, strict=True)}
    return {
        "format": 1,
        "software": software | {"python": platform.python_version()},
        "model": model.identity,
        "certificate": certificate.to_json(),
        "heads": heads.to_json(),
        **settings,
        "formula": FORMULA,
        "documents": None,
        "score_files": [],
        "skipped_file": None,
    }


def _fingerprint(run: dict[str, Any]) -> dict[str, Any]:
    """What two runs must share for their scores to belong together."""
    model = {k: v for k, v in run["model"].items() if k not in ("source", "revision")}
    return {
        **{f"model.{key}": value for key, value in model.items()},
        "heads": run["heads"]["heads"],
        **{key: run[key] for key in ("mode", "window", "max_tokens", "formula")},
        **{f"certificate.{key}": run["certificate"][key] for key in ("ok", "kernel")},
        **{name: run["software"][name] for name in ("workbench", "torch", "transformers")},
    }


def shard_name(number: int, run: dict[str, Any], documents: Sequence[Document]) -> str:
    """File name of a shard: its number, and a digest of the fingerprint and of its documents."""
    digest = hashlib.sha256(json.dumps(_fingerprint(run), sort_keys=True).encode())
    for one in documents:
        where = [one.doc_id, one.domain, one.source, one.row, text_sha256(one.text)]
        digest.update(json.dumps(where).encode())
    return f"part-{number:06d}-{digest.hexdigest()[:16]}.parquet"


def write_shard(path: Path, results: Sequence[dict[str, Any] | Skipped]) -> None:
    """Publish the scores of a shard whole: a row each, and what was skipped in the metadata."""
    skipped = json.dumps([asdict(one) for one in results if isinstance(one, Skipped)])
    rows = [one for one in results if isinstance(one, dict)]
    table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({"skipped": skipped}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    write_atomically(path, sink.getvalue().to_pybytes())


def skipped_in(path: Path) -> list[dict[str, Any]]:
    """What a shard skipped (see `write_shard`)."""
    return json.loads((pq.read_schema(path).metadata or {}).get(b"skipped", b"[]"))


def is_intact(path: Path) -> bool:
    """Whether a shard is there and can be read to the end with its checksums right."""
    try:
        pq.read_table(path, schema=SCHEMA, page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        return False
    return True


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make `folder` and hold it against other runs, in this process or another."""
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            yield
    except filelock.Timeout:
        raise RuntimeError(
            f"another run is writing to {folder}: wait for it, or give another folder as out="
        ) from None


def start(folder: Path, run: dict[str, Any], overwrite: bool) -> None:
    """Write the unfinished record, or refuse a folder whose scores have another fingerprint.

    A finished record of the same fingerprint stays until `finish` replaces it, so that a run that
    fails on the way leaves what was there before.
    """
    path = folder / "run.json"
    scored = any((folder / "scores").glob("part-*.parquet"))
    if path.exists() and scored and not overwrite:
        try:
            before = _fingerprint(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} cannot be read ({error!r}): give another folder, or overwrite=True"
            ) from error
        now = _fingerprint(run)
        changed = [key for key in now if before.get(key) != now[key]]
        if changed:
            differences = "; ".join(f"{k}: {before.get(k)!r} then, {now[k]!r} now" for k in changed)
            raise ValueError(
                f"{folder} holds scores made with other settings ({differences}). Scores of "
                "different settings are not mixed: give another folder, or overwrite=True"
            )
        return
    write_atomically(path, _json_bytes(run))


def finish(
    folder: Path, run: dict[str, Any], files: Sequence[Path], skipped: Sequence[dict[str, Any]]
) -> None:
    """List the shards and the skipped documents, complete run.json, remove what is not of it."""
    lines = "".join(json.dumps(one, ensure_ascii=True) + "\n" for one in skipped)
    write_atomically(folder / "skipped.jsonl", lines.encode())
    run["score_files"] = [_file(folder, path, pq.read_metadata(path).num_rows) for path in files]
    run["skipped_file"] = _file(folder, folder / "skipped.jsonl", len(skipped))
    scored = sum(file["rows"] for file in run["score_files"])
    run["documents"] = {
        "read": scored + len(skipped), "scored": scored, "skipped": len(skipped)
    }  # fmt: skip
    write_atomically(folder / "run.json", _json_bytes(run))
    # Shards of an earlier corpus or of overwritten settings: whoever reads all files of the folder
    # must not find a document twice.
    for path in set((folder / "scores").glob("part-*.parquet")) - set(files):
        path.unlink()


def _file(folder: Path, path: Path, rows: int) -> dict[str, Any]:
    return {
        "path": path.relative_to(folder).as_posix(),
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "rows": rows,
    }


def _json_bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
