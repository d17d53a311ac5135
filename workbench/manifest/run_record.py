"""What a manifest says of the run whose scores were ranked, and the files of it that lie beside."""

from __future__ import annotations

import collections
import json
import os
import pathlib
from typing import Any, NamedTuple

from workbench.core.files import is_absolute, lines_of, read_json, redact_paths, resolve_inside
from workbench.scoring.folder.receipts import with_score_files
from workbench.scoring.schema import columns_in
from workbench.selection.ranking import Selection

RUN_FILE = "run.json"

# What a run record must hold before anything can be said about its scores.
RUN_SHAPE: dict[str, type | tuple[type, ...]] = {
    "software": dict, "model": dict, "certificate": dict, "heads": dict, "mode": str,
    "formula": str, "window": (int, type(None)), "max_tokens": (int, type(None)), "documents": dict,
    "skipped_file": (dict, type(None)),
}  # fmt: skip


class RunBeside(NamedTuple):
    """What a manifest says of the run whose scores were ranked.

    Attributes:
        record: aiw:run, the record as it may be published.
        listed: the paths of the run's files that lie beside the manifest, as `run_files`.
        reasons: aiw:skippedReasons, as `tally_skipped`; None when nothing says.
        score_files: path, sha256, bytes and rows of each score file, as far as these are beside it.
    """

    record: dict[str, Any]
    listed: list[str]
    reasons: list[dict[str, Any]] | None
    score_files: list[dict[str, Any]]


def run_beside(folder: pathlib.Path, run: Any) -> RunBeside:
    """Look at the files of a run before a manifest is made of them.

    Args:
        folder: of the manifest to be.
        run: the content of run.json.

    Returns:
        What the manifest says of the run.

    Raises:
        ValueError: when record and files disagree.
    """
    record = public_record(run)
    listed = run_files(folder, record)
    files = with_score_files(folder, record)["score_files"]
    beside = bool(files) and os.path.lexists(folder / files[0]["path"])
    return RunBeside(
        record, listed, _skipped_reasons(folder, record, listed), files if beside else []
    )  # fmt: skip


def run_of_selection(selection: Selection, folder: pathlib.Path) -> Any:
    """The run record of a selection or of a folder, which must be one and the same.

    Args:
        selection: what the manifest is of.
        folder: of the manifest to be.

    Returns:
        The content of run.json.

    Raises:
        ValueError: there is no record, or there are two.
    """
    beside = None
    if os.path.lexists(folder / RUN_FILE):
        beside = read_json(resolve_inside(folder, RUN_FILE))
    if selection.run is None:
        if beside is None:
            raise ValueError(
                "nothing says how these scores were made: the selection is one from a frame, which "
                f"has no run record, and {RUN_FILE} is not in the folder. Give select() the table "
                "of score_corpus or load_scores itself, whose keep(mask) leaves rows out, or write "
                "into the folder of its run"
            )
        return beside
    run = json.loads(json.dumps(selection.run))
    if beside is not None and beside != run:
        keys = sorted(key for key in {*run, *beside} if run.get(key) != beside.get(key))
        raise ValueError(
            f"{RUN_FILE} in the folder is of another run (it differs in {keys}); "
            "write into the folder of this run, or into an empty one"
        )
    return run


def public_record(run: Any) -> dict[str, Any]:
    """A copy of a run record that may be published.

    Strings that are absolute paths are cut to their last component, and `model.source_kind` says
    whether that happened to `model.source`.

    Args:
        run: the content of run.json.

    Returns:
        The copy.

    Raises:
        ValueError: when `run` is not a run record.
    """
    if not isinstance(run, dict):
        raise ValueError(f"a run record is a JSON object, got {type(run).__name__}")
    for key, kind in RUN_SHAPE.items():
        if key not in run or not isinstance(run[key], kind):
            raise ValueError(
                f"the run record lacks {key!r} or has it in another form; give the table of "
                "score_corpus or load_scores itself, or the folder of a run that was finished"
            )
    counts = [run["documents"].get(key) for key in ("read", "scored", "skipped")]
    if not all(isinstance(count, int) for count in counts) or counts[0] != counts[1] + counts[2]:
        raise ValueError(f"documents read must be scored + skipped, got {counts}")
    lists = [name for name in ("score_files", "receipts_file") if name in run]
    if len(lists) != 1:
        raise ValueError("a run record has either receipts_file or, of format 1, score_files")
    listed = run.get("score_files", [run.get("receipts_file")])
    for file in [] if listed is None else filter(None, [*listed, run["skipped_file"]]):
        if not (
            isinstance(file, dict)
            and isinstance(file.get("path"), str)
            and isinstance(file.get("rows"), int)
        ):
            raise ValueError("each file of the run record needs a path (text) and rows (integer)")
    columns_in(run)
    record = redact_paths(json.loads(json.dumps(run)))
    local = is_absolute(str(run["model"].get("source")))
    record["model"]["source_kind"] = "last component of a local path" if local else "as given"
    return record


def run_files(folder: pathlib.Path, record: dict[str, Any]) -> list[str]:
    """The run's files that lie in a folder.

    These are run.json, the skipped file, and the list of receipts (which leads to all others) or,
    of format 1, the score files.

    Args:
        folder: of the run.
        record: of the run.

    Returns:
        Their relative paths.

    Raises:
        ValueError: when only some of the score files are there, or a path is not a plain one.
    """
    scores = [file["path"] for file in record.get("score_files", [])]
    present = [path for path in scores if os.path.lexists(folder / path)]
    if present and present != scores:
        raise ValueError(
            f"{len(present)} of the run's {len(scores)} score files are in the folder; "
            "all or none of them must be"
        )
    lists = [record["skipped_file"], record.get("receipts_file")]
    beside = [RUN_FILE, *(file["path"] for file in lists if file)]
    beside = [path for path in beside if os.path.lexists(folder / path)]
    for path in beside + present:
        resolve_inside(folder, path)
    return beside + present


def _skipped_reasons(
    folder: pathlib.Path, record: dict[str, Any], listed: list[str]
) -> list[dict[str, Any]] | None:
    """The tally of the run's skipped file, as many rows as the run skipped; None if not listed."""
    if not record["skipped_file"] or record["skipped_file"]["path"] not in listed:
        return None
    reasons = tally_skipped(folder / record["skipped_file"]["path"])
    skipped = sum(reason["documents"] for reason in reasons)
    if skipped != record["documents"]["skipped"]:
        raise ValueError(
            f"the skipped file has {skipped} rows, but the run skipped "
            f"{record['documents']['skipped']}; the folder is not that of this run"
        )
    return reasons


def tally_skipped(path: pathlib.Path) -> list[dict[str, Any]]:
    """Count the reasons in a skipped.jsonl.

    Args:
        path: of the file.

    Returns:
        One dict a reason, with reason and documents, most frequent first.

    Raises:
        ValueError: for a line without a reason.
    """
    counts: collections.Counter[str] = collections.Counter()
    with path.open("rb") as lines:
        for number, line in enumerate(lines_of(lines), start=1):
            row = json.loads((line or b"").decode("utf-8"))
            if not isinstance(row, dict) or not isinstance(row.get("reason"), str):
                raise ValueError(f"line {number} of {path.name} has no reason")
            reason = row["reason"].encode("utf-8", "backslashreplace").decode()
            counts[redact_paths(reason)] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"reason": reason, "documents": count} for reason, count in ordered]
