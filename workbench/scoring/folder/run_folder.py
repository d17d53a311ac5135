"""The folder of a scoring run: its record, its shards, and how a later call takes it up again.

    run.json                 what was run on what, with counts once it is finished
    scores/part-*.parquet    one score file a shard
    receipts/part-*.json     one receipt a shard (see `folder.receipts`)
    receipts.sha256          the receipts of a finished run (see `folder.receipts`)
    skipped.jsonl            documents without a score, each with its reason
    failures.jsonl           shards that could not be scored, while there are any
    catalogue.jsonl          the shards, where several workers share them (see `shard_index`)
    superseded/              scores of earlier texts or settings (see `folder.superseded`)

Scores belong to (weights, tokenizer, heads, mode, dtype, window, formula): that is the fingerprint,
and a folder takes scores of one fingerprint only. What torch rounds float32 products to is part of
it where it rounds them at all (`workbench.models.identity.float32_matmul`). The certificate stands
in the record but not in the fingerprint, since what its checks measure may differ in the last
digits.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filelock

from workbench.core.files import write_atomically
from workbench.core.progress import progress_bar
from workbench.loading.certificate import Certificate
from workbench.models.model import Model
from workbench.scoring.folder.receipts import (
    SHARD_NAME,
    describe,
    list_receipts,
    read_receipt,
    receipt_path,
    shard_number,
)
from workbench.scoring.folder.superseded import SUPERSEDED, SetAside, keep_record, set_aside
from workbench.scoring.schema import FORMULA, RECORD_FORMAT
from workbench.scoring.settings import ScoringSettings

Part = tuple[int, int]  # (i, n): the i-th of n calls that share the shards, from 1


def run_record(model: Model, settings: ScoringSettings, certificate: Certificate) -> dict[str, Any]:
    """The record of a run before it starts; `finish` adds the counts.

    Args:
        model: the selector.
        settings: how it scores, resolved for the model.
        certificate: of the model.

    Returns:
        The content of `run.json`, with `documents` and the lists of files None.
    """
    packages = ("attention-influence-workbench", "torch", "transformers")
    names = ("workbench", "torch", "transformers")
    software = {name: version(package) for name, package in zip(names, packages, strict=True)}
    return {
        "format": RECORD_FORMAT,
        "software": software | {"python": platform.python_version()},
        "model": model.identity,
        "certificate": certificate.to_json(),
        **settings.to_json(),
        "formula": FORMULA,
        "documents": None,
        "receipts_file": None,
        "skipped_file": None,
    }


def fingerprint(run: dict[str, Any]) -> dict[str, Any]:
    """What two runs must share for their scores to belong together.

    Args:
        run: the record of a run.

    Returns:
        A flat dict of plain JSON values.
    """
    model = {k: v for k, v in run["model"].items() if k not in ("source", "revision")}
    return {
        **{f"model.{key}": value for key, value in model.items()},
        "heads": run["heads"]["heads"],
        "format": run["format"],  # scores of fewer columns are not mixed in
        **{key: run[key] for key in ("mode", "window", "max_tokens", "formula")},
        **({"reference": run["reference"]} if "reference" in run else {}),
        "read": run.get("read", "start"),
        "controls": [entry["heads"] for entry in run.get("controls", [])],
        "controls_share": run.get("controls_share", 1.0),
        "columns": run.get("columns", []),
        **{f"certificate.{key}": run["certificate"][key] for key in ("ok", "kernel")},
        **{name: run["software"][name] for name in ("workbench", "torch", "transformers")},
    }


@contextlib.contextmanager
def acquire_run_folder(
    folder: Path,
    part: Part = (1, 1),
    run: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Iterator[None]:
    """Make a run folder and hold it against other runs, in this process or another, for the block.

    Calls that share the shards, each with a part of its own of the same division, get in together
    if their settings are the same.

    Args:
        folder: the run folder.
        part: of this call.
        run: the record, which is written on the way in (see `_start`); None: it stays.
        overwrite: take a folder that holds scores of other settings.

    Raises:
        RuntimeError: another run writes to the folder.
        ValueError: the folder holds scores of other settings.
    """
    for name in ("scores", "receipts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    index, count = part
    same_division = f"-of-{count}"
    own = folder / (".lock" if count == 1 else f".lock-{index}{same_division}")
    held = filelock.FileLock(own, timeout=0)
    try:
        # One at a time looks who is there, so that no two look past each other. (The file's name is
        # older than the variable's: versions side by side must mean the same file.)
        lock_of_locks = filelock.FileLock(folder / ".door")
        with lock_of_locks:
            held.acquire()
            alone = True
            for other in set(folder.glob(".lock*")) - {own}:
                try:
                    with filelock.FileLock(other, timeout=0):
                        pass
                except filelock.Timeout:
                    if count == 1 or not other.name.endswith(same_division):
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
        for left in [*folder.glob(".*.tmp"), *folder.glob(f"{SUPERSEDED}/.*.tmp")]:
            left.unlink(missing_ok=True)
        for model in folder.glob(".model-*"):  # of a Ray run
            shutil.rmtree(model, ignore_errors=True)


def _start(folder: Path, run: dict[str, Any], overwrite: bool, alone: bool) -> None:
    """Write the unfinished record, or refuse the folder.

    It is refused if its scores, or its other parts that are at work, have another fingerprint.
    A finished record of the same fingerprint stays until `finish` replaces it, so that a run that
    fails on the way leaves what was there before.
    """
    path = folder / "run.json"
    scored = any((folder / "scores").glob("part-*.parquet"))
    if path.exists() and (scored or not alone):
        try:
            before = fingerprint(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if not overwrite or not alone:
                raise ValueError(
                    f"{path} cannot be read ({error!r}): give another folder, or overwrite=True"
                ) from error
            before = {}
        now = fingerprint(run)
        changed = [key for key in {**now, **before} if before.get(key) != now.get(key)]
        if not changed:
            return
        if not overwrite or not alone:
            differences = "; ".join(
                f"{k}: {before.get(k)!r} then, {now.get(k)!r} now" for k in changed
            )
            rounded = (
                " float32_matmul is what torch rounds float32 products to: None after "
                "torch.set_float32_matmul_precision('highest'), its default, 'tf32' after 'high'."
            )
            raise ValueError(
                f"{folder} holds scores made with other settings ({differences})."
                f"{rounded if 'model.float32_matmul' in changed else ''} Scores of "
                "different settings are not mixed: give another folder, or overwrite=True, which "
                f"sets them aside in {folder / SUPERSEDED}"
            )
        keep_record(folder)
    write_atomically(path, _json_bytes(run))


def numbers_in(folder: Path) -> set[int]:
    """Which shards have a score file or a receipt.

    Args:
        folder: the run folder.

    Returns:
        The numbers of those shards.
    """
    paths = [*folder.glob("scores/part-*.parquet"), *folder.glob("receipts/part-*.json")]
    return {shard_number(path.stem) for path in paths if SHARD_NAME.fullmatch(path.stem)}


def finish(folder: Path, run: dict[str, Any], names: Sequence[str]) -> SetAside:
    """Complete the record of a run from the receipts of its shards.

    Shards of an earlier corpus or of other settings are set aside, since whoever reads all files of
    the folder must not find a document twice.

    Args:
        folder: the run folder.
        run: the record, to which counts and lists of files are added.
        names: of the shards, in the order of the corpus.

    Returns:
        How much was set aside.
    """
    read = scored = 0
    skipped: list[Mapping[str, Any]] = []
    with progress_bar("completing the record", "shard", len(names), bar=len(names) > 2_000) as done:
        for name in names:
            receipt = read_receipt(receipt_path(folder, name))
            read, scored = read + receipt.read, scored + receipt.scored
            skipped += receipt.skipped
            done(1)
    lines = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in skipped)
    write_atomically(folder / "skipped.jsonl", lines.encode())
    run["receipts_file"] = list_receipts(folder, names)
    run["skipped_file"] = describe(folder, folder / "skipped.jsonl", len(skipped))
    run["documents"] = {"read": read, "scored": scored, "skipped": len(skipped)}
    record, path = _json_bytes(run), folder / "run.json"
    if _is_finished(path) and path.read_bytes() != record:
        keep_record(folder)
    write_atomically(path, record)
    aside = set_aside(folder, set(names))
    for path in folder.glob("failures*.jsonl"):
        path.unlink(missing_ok=True)
    return aside


def _is_finished(path: Path) -> bool:
    """Whether this is the record of a finished run."""
    try:
        return json.loads(path.read_bytes())["documents"] is not None
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _json_bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
