"""The folder of a scoring run: its record, its shards, and how a later call takes it up again.

    run.json                 what was run on what, with counts once it is finished
    scores/part-*.parquet    one score file a shard
    receipts/part-*.json     one receipt a shard (see `workbench.scoring.receipts`)
    receipts.sha256          the receipts of a finished run (see `workbench.scoring.receipts`)
    skipped.jsonl            documents without a score, each with its reason
    failures.jsonl           shards that could not be scored, while there are any
    catalogue.jsonl          the shards, where several workers share them (see `scoring.shards`)
    superseded/              scores of earlier texts or settings

Scores belong to (weights, tokenizer, heads, mode, dtype, window, formula): that is the fingerprint,
and a folder takes scores of one fingerprint only. The certificate stands in the record but not in
the fingerprint, since what its checks measure may differ in the last digits.

Scores that a run no longer speaks of are set aside in `superseded/`, never deleted: those of a
document that was edited or went away, of another corpus, of other settings. Their score files and
receipts move to `superseded/scores` and `superseded/receipts`, and the record that spoke of them is
kept beside them. When a shard is asked for again as it was, under the settings of then, it is taken
back from there and not scored again. The folder may be removed by whoever needs the space.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import pyarrow as pa

from workbench.core.files import lines_of, read_json, resolve_inside, sha256_of, write_atomically
from workbench.core.parquet import read_table
from workbench.core.progress import progress_bar
from workbench.loading.certificate import Certificate
from workbench.models.model import Model
from workbench.scoring.receipts import (
    SHARD_NAME,
    Receipt,
    check_files,
    describe,
    finished,
    list_receipts,
    read_receipt,
    receipt_path,
    score_files,
    shard_number,
)
from workbench.scoring.schema import (
    FORMULA,
    RECORD_FORMAT,
    columns_in,
    completed,
    schema_with,
    stored_columns,
)
from workbench.scoring.score_table import ScoreTable
from workbench.scoring.settings import ScoringSettings
from workbench.scoring.shards import Shard

SUPERSEDED = "superseded"
Part = tuple[int, int]  # (i, n): the i-th of n calls that share the shards, from 1


def load_scores(folder: str | Path) -> ScoreTable:
    """The table that `score_corpus(out=folder)` returned, read again from its files.

    Args:
        folder: the run folder.

    Returns:
        The table of `score_corpus`: its rows, the record of its run and its skipped documents. Of a
        run of an older version, whose files have fewer columns, those that came later are null,
        but for the rise.

    Raises:
        FileNotFoundError: no run was written to the folder.
        ValueError: the run is not finished, or its files were changed since.
    """
    folder = Path(folder)
    where = folder / "run.json"
    if not where.exists():
        raise FileNotFoundError(
            f"{folder} holds no run.json: expected a folder written by score_corpus(out=...)"
        )
    try:
        run = read_json(resolve_inside(folder, "run.json"))
    except ValueError as error:
        raise ValueError(f"{where} is not the record of a run: {error!s:.300}") from error
    try:
        if run["documents"] is None:
            raise ValueError(
                f"the run in {folder} is not finished: call score_corpus again with the same "
                "settings and it goes on where it stopped"
            )
        of_user = columns_in(run)
        columns = [*stored_columns(run["format"]), *(column.name for column in of_user)]
        files, listed = score_files(folder, run), run["skipped_file"]
        paths, (skipped,) = check_files(folder, files), check_files(folder, [listed])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} is not the record of a run: {error!r:.300}") from error
    tables, schema = [], schema_with(of_user)
    for path in paths:
        stored = read_table(path)
        if lacking := set(columns) - set(stored.column_names):
            raise ValueError(f"{path} lacks the columns {sorted(lacking)} of scores")
        tables.append(completed(stored.select(columns), schema))
    rows = pa.concat_tables(tables) if tables else schema.empty_table()
    return ScoreTable(rows.to_pandas(), run, _json_lines(skipped))


def _json_lines(path: Path) -> list[Any]:
    rows = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines_of(lines), 1):
            try:
                rows.append(json.loads(line or b""))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} of {path} is not JSON: {error!s:.200}") from error
    return rows


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
        # One at a time looks who is there, so that no two look past each other.
        with filelock.FileLock(folder / ".door"):
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
        changed = [key for key in now if before.get(key) != now[key]]
        if not changed:
            return
        if not overwrite or not alone:
            differences = "; ".join(f"{k}: {before.get(k)!r} then, {now[k]!r} now" for k in changed)
            raise ValueError(
                f"{folder} holds scores made with other settings ({differences}). Scores of "
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


# ---- superseded scores --------------------------------------------------------------------------


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
