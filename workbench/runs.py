"""The folder of a scoring run: its record, its shards, and how a later call takes it up again.

    run.json                 what was run on what, with counts once it is finished
    scores/part-*.parquet    one score file a shard
    receipts/part-*.json     one receipt a shard (see `workbench.receipts`)
    skipped.jsonl            documents without a score, each with its reason
    failures.jsonl           shards that could not be scored, while there are any
    catalogue.jsonl          the shards, where several workers share them (see `workbench.shards`)

Scores belong to (weights, tokenizer, heads, mode, dtype, window, formula): that is the fingerprint,
and a folder takes scores of one fingerprint only. The certificate stands in the record but not in
the fingerprint, since what its checks measure may differ in the last digits.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
import pyarrow as pa

from workbench.certificate import Certificate
from workbench.files import lines_of, plain_file, read_json, sha256_of, write_atomically
from workbench.heads import HeadSet
from workbench.models import Model
from workbench.parquet import read_table
from workbench.receipts import SCHEMA, Receipt, describe

FORMULA = "(loss_ref - loss_base) / loss_base"
Part = tuple[int, int]  # (i, n): the i-th of n calls that share the shards, from 1


def load_scores(folder: str | Path) -> pd.DataFrame:
    """The table that `score_corpus(out=folder)` returned, read again from its files."""
    folder = Path(folder)
    try:
        if not (folder / "run.json").exists():
            raise FileNotFoundError(
                f"{folder} holds no run.json: expected a folder written by score_corpus(out=...)"
            )
        run = read_json(plain_file(folder, "run.json"))
        finished, files = run["documents"] is not None, run["score_files"]
        listed = [(file["path"], file["sha256"], file["bytes"]) for file in files]
        stated = run["skipped_file"]["bytes"] if finished else 0
    except (ValueError, KeyError, TypeError) as error:
        where = folder / "run.json"
        raise ValueError(f"{where} is not the record of a run: {error!r:.300}") from error
    if not finished:
        raise ValueError(
            f"the run in {folder} is not finished: call score_corpus again with the same settings "
            "and it goes on where it stopped"
        )
    tables = []
    for name, digest, size in listed:
        path = plain_file(folder, name)
        if path.stat().st_size != size or sha256_of(path) != digest:
            raise ValueError(f"{path} was changed since it was written: remove it and score again")
        stored = read_table(path)
        if lacking := set(SCHEMA.names) - set(stored.column_names):
            raise ValueError(f"{path} lacks the columns {sorted(lacking)} of scores")
        tables.append(stored.select(SCHEMA.names).cast(SCHEMA))
    table = pa.concat_tables(tables).to_pandas() if tables else SCHEMA.empty_table().to_pandas()
    table.attrs["run"] = run
    skipped = plain_file(folder, "skipped.jsonl")
    if skipped.stat().st_size != stated:
        raise ValueError(f"{skipped} was changed since it was written: score again")
    table.attrs["skipped"] = _json_lines(skipped)
    return table


def _json_lines(path: Path) -> list[Any]:
    found = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines_of(lines), 1):
            try:
                found.append(json.loads(line or b""))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} of {path} is not JSON: {error!s:.200}") from error
    return found


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


def fingerprint(run: dict[str, Any]) -> dict[str, Any]:
    """What two runs must share for their scores to belong together."""
    model = {k: v for k, v in run["model"].items() if k not in ("source", "revision")}
    return {
        **{f"model.{key}": value for key, value in model.items()},
        "heads": run["heads"]["heads"],
        **{key: run[key] for key in ("mode", "window", "max_tokens", "formula")},
        **{f"certificate.{key}": run["certificate"][key] for key in ("ok", "kernel")},
        **{name: run["software"][name] for name in ("workbench", "torch", "transformers")},
    }


@contextmanager
def alone_in(
    folder: Path,
    part: Part = (1, 1),
    run: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Iterator[None]:
    """Make `folder` and hold it against other runs, in this process or another.

    Calls that share the shards, each with a part of its own of the same division, get in together
    if their settings are the same. `run`, the record, is written on the way in (see `_start`).
    """
    for room in ("scores", "receipts"):
        (folder / room).mkdir(parents=True, exist_ok=True)
    index, count = part
    kin = f"-of-{count}"
    own = folder / (".lock" if count == 1 else f".lock-{index}{kin}")
    held = filelock.FileLock(own, timeout=0)
    try:
        # One at a time looks who is there, so that no two look past each other.
        with filelock.FileLock(folder / ".door"):
            held.acquire()
            alone = True
            for other in set(folder.glob(".lock*")) - {own}:
                try:
                    with filelock.FileLock(other, timeout=0):
                        pass
                except filelock.Timeout:
                    if count == 1 or not other.name.endswith(kin):
                        raise
                    alone = False
            _clear(folder, part, alone)
            if run is not None:
                _start(folder, run, overwrite, alone)
    except filelock.Timeout:
        held.release()
        raise RuntimeError(
            f"another run is writing to {folder}: wait for it, or give another folder as out="
        ) from None
    except BaseException:
        held.release()
        raise
    try:
        yield
    finally:
        held.release()


def _clear(folder: Path, part: Part, alone: bool) -> None:
    """Remove what processes that were killed had not finished writing.

    While other parts are at work, what is not of a shard of this part may be theirs.
    """
    index, count = part
    for left in folder.glob("*/.part-*.tmp"):
        if alone or int(left.name.split("-")[1]) % count == index - 1:
            left.unlink(missing_ok=True)
    if alone:
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
        for model in folder.glob(".model-*"):  # of a Ray run
            shutil.rmtree(model, ignore_errors=True)


def _start(folder: Path, run: dict[str, Any], overwrite: bool, alone: bool) -> None:
    """Write the unfinished record, or refuse a folder whose scores, or whose other parts that are
    at work, have another fingerprint.

    A finished record of the same fingerprint stays until `finish` replaces it, so that a run that
    fails on the way leaves what was there before.
    """
    path = folder / "run.json"
    scored = any((folder / "scores").glob("part-*.parquet"))
    if path.exists() and ((scored and not overwrite) or not alone):
        try:
            before = fingerprint(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} cannot be read ({error!r}): give another folder, or overwrite=True"
            ) from error
        now = fingerprint(run)
        changed = [key for key in now if before.get(key) != now[key]]
        if changed:
            differences = "; ".join(f"{k}: {before.get(k)!r} then, {now[k]!r} now" for k in changed)
            raise ValueError(
                f"{folder} holds scores made with other settings ({differences}). Scores of "
                "different settings are not mixed: give another folder, or overwrite=True"
            )
        return
    write_atomically(path, _json_bytes(run))


def finish(folder: Path, run: dict[str, Any], receipts: Sequence[Receipt]) -> None:
    """List the shards and the skipped documents, complete run.json, remove what is not of it."""
    skipped = [one for receipt in receipts for one in receipt.skipped]
    lines = "".join(json.dumps(one, ensure_ascii=True) + "\n" for one in skipped)
    write_atomically(folder / "skipped.jsonl", lines.encode())
    run["score_files"] = [dict(receipt.score_file) for receipt in receipts]
    run["skipped_file"] = describe(folder, folder / "skipped.jsonl", len(skipped))
    run["documents"] = {
        "read": sum(receipt.read for receipt in receipts),
        "scored": sum(receipt.scored for receipt in receipts),
        "skipped": len(skipped),
    }
    write_atomically(folder / "run.json", _json_bytes(run))
    # Shards of an earlier corpus or of overwritten settings: whoever reads all files of the folder
    # must not find a document twice.
    mine = {receipt.shard for receipt in receipts}
    for path in [*folder.glob("scores/part-*.parquet"), *folder.glob("receipts/part-*.json")]:
        if path.stem not in mine:
            path.unlink(missing_ok=True)  # another part may be finishing the same run
    for path in folder.glob("failures*.jsonl"):
        path.unlink(missing_ok=True)


def _json_bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
