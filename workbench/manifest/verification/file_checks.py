"""The checks of a manifest against the files beside it: what it lists, and what these say.

A check returns (what later checks need of it, a detail for the report), or raises: Failed when a
statement does not hold, NotChecked when there is nothing to hold it against. Garbage may make it
raise anything else, which `workbench.manifest.verification.report` takes for a failure too. So do
the checks of the other levels: `corpus_checks`, `row_checks`, `rank_checks` and `model_checks`.

In all of them `files` are the listed files that passed their own checks, by listed path, `manifest`
is manifest.json as it was parsed, and `record` its record of the run.
"""

from __future__ import annotations

import datetime
import hashlib
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from workbench.core.files import read_json, resolve_inside
from workbench.core.progress import progress_bar
from workbench.manifest.croissant import (
    BY_SCORE,
    CLUSTERS_FILE,
    CONFORMS_TO,
    EXCLUDED_FILE,
    FUNNEL,
    READ,
    SELECTION_FILE,
    dataset,
    same_statement,
)
from workbench.manifest.mixture import MIXTURE, check_mixture
from workbench.manifest.run_record import RUN_FILE, public_record, run_files, tally_skipped
from workbench.manifest.verification.report import Failed, NotChecked, require
from workbench.manifest.writing import MANIFEST_FILE
from workbench.scoring.folder.receipts import check_files, receipts_of

_PIECE = 1 << 22  # bytes
_QUIET = 1 << 30  # fewer bytes than this are hashed without a bar
_TERMS: dict[str, type | tuple[type, ...]] = {
    "aiw:run": dict, "aiw:documents": dict, "aiw:skippedReasons": (list, type(None)),
    "aiw:corpus": dict, "aiw:selection": dict, "aiw:domains": list, "distribution": list,
}  # fmt: skip


def manifest_terms(folder: pathlib.Path) -> tuple[dict[str, Any], str]:
    """manifest.json is Croissant that holds our terms.

    Args:
        folder: of the manifest.

    Returns:
        The parsed manifest, and a detail.

    Raises:
        Failed: when it is not there, of another format, or lacks a term.
    """
    require(
        folder.is_dir(),
        f"{str(folder)!r:.300} is {'a file' if folder.exists() else 'not there'}; give the folder "
        f"that holds {MANIFEST_FILE}",
    )
    require(
        (folder / MANIFEST_FILE).exists(),
        f"{str(folder)!r:.300} holds no {MANIFEST_FILE}; `workbench select` and write_manifest "
        "write it into the folder of a run",
    )
    stated = read_json(resolve_inside(folder, MANIFEST_FILE))
    require(isinstance(stated, dict), "manifest.json is not a JSON object")
    require(stated.get("conformsTo") == CONFORMS_TO, f"it does not conform to {CONFORMS_TO}")
    format = stated.get("aiw:format")
    require(
        format in READ,
        f"aiw:format is {format!r:.50}, this version reads {READ}; "
        "select again from the scores, or install the version that wrote it",
    )
    wrong = [term for term, kind in _TERMS.items() if not isinstance(stated.get(term, 0), kind)]
    require(not wrong, f"missing, or in another form: {wrong}")
    return stated, f"Croissant with the aiw terms, format {format}"


def run_record(manifest: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The run record is complete, holds no absolute path, and PROV says the same.

    Args:
        manifest: as it was parsed.

    Returns:
        The record, and a detail.

    Raises:
        Failed: when the rest of the manifest does not follow from its terms.
        ValueError: when the record is none.
    """
    record = manifest["aiw:run"]
    published = public_record(record)
    # source_kind describes the source before it was cut, so it cannot be computed again.
    published["model"]["source_kind"] = record["model"].get("source_kind")
    require(published == record, "it holds an absolute path, which a manifest must not")
    # Everything but name, licence and date follows from our terms and the list of files.
    terms = {key: value for key, value in manifest.items() if key.startswith("aiw:")}
    date = datetime.date.fromisoformat(manifest["datePublished"])
    files, license = manifest["distribution"], manifest.get("license")
    whole = dataset(manifest["name"], terms, files, license, date)
    differing = sorted(
        k for k in {*whole, *manifest} if not same_statement(whole.get(k), manifest.get(k))
    )
    require(not differing, f"{differing!r:.200} say something else than the aiw terms")
    return record, "complete, and the rest of the manifest repeats it"


def mixture(manifest: dict[str, Any]) -> tuple[bool, str]:
    """The mixture has one share for each domain, inside the shares that were run.

    Args:
        manifest: as it was parsed.

    Returns:
        True, and a detail.

    Raises:
        Failed: when it has not, contradicts itself, or the format is one without a mixture.
    """
    format, term = manifest["aiw:format"], manifest[MIXTURE]
    require(format >= BY_SCORE, f"a manifest of format {format} has no mixture")
    try:
        check_mixture(term, [row["domain"] for row in manifest["aiw:domains"]])
    except ValueError as error:
        raise Failed(str(error)) from None
    return True, f"{len(term['shares'])} domains, inside the shares of {term['runs']} runs"


def listed_file(
    folder: pathlib.Path, entry: dict[str, Any], done: Callable[[int], object]
) -> tuple[pathlib.Path, str]:
    """One file of the distribution is in the folder as stated.

    Args:
        folder: of the manifest.
        entry: the FileObject.
        done: called with the bytes that were hashed, as they are.

    Returns:
        Its path, and a detail.

    Raises:
        Failed: when its size or SHA-256 is another.
        ValueError: when it is not a plain file of the folder.
    """
    path = resolve_inside(folder, entry.get("contentUrl"))
    size = path.stat().st_size
    stated = entry.get("contentSize")
    require(stated == f"{size} B", f"it has {size} B, the manifest says {stated!r:.50}")
    digest = hashed(path, done)
    require(digest == entry.get("sha256"), f"its sha256 is {digest}, the manifest says otherwise")
    return path, f"{size} B, sha256 as stated"


def hashed(path: pathlib.Path, done: Callable[[int], object]) -> str:
    """SHA-256 of a file, piece by piece so that it can be stopped.

    Args:
        path: of the file.
        done: called with the bytes that were hashed, as they are.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            done(len(piece))
    return digest.hexdigest()


@contextmanager
def hashing(folder: pathlib.Path, distribution: Iterable[Any]) -> Iterator[Callable[[int], object]]:
    """Show progress in MB over the listed files that are there.

    Args:
        folder: of the manifest.
        distribution: FileObjects, or what may stand in their place.

    Returns:
        Inside the block, what is called with the bytes that were hashed.
    """
    total = sum(_sizes(folder, distribution))
    with progress_bar("hashing files", "MB", round(total / 1e6), bar=total > _QUIET) as done:
        shown = finished = 0

        def add(size: int) -> None:
            nonlocal shown, finished
            finished += size
            done(round(finished / 1e6) - shown)
            shown = round(finished / 1e6)

        yield add


def _sizes(folder: pathlib.Path, distribution: Iterable[Any]) -> Iterator[int]:
    """Bytes of the listed files that are there, as they are, not as stated."""
    for entry in distribution:
        try:
            yield resolve_inside(folder, entry.get("contentUrl")).stat().st_size
        except (ValueError, OSError, AttributeError):
            continue  # the check of this file says what is wrong with its entry


def listing(
    folder: pathlib.Path, manifest: dict[str, Any], record: dict[str, Any]
) -> tuple[bool, str]:
    """The list holds the files of the run, all and no others, and the run record names the same.

    Args:
        folder: of the manifest.
        manifest: as it was parsed.
        record: of the run.

    Returns:
        True, and a detail.

    Raises:
        Failed: when it is not so.
    """
    stated = {entry["contentUrl"]: entry["sha256"] for entry in manifest["distribution"]}
    require(len(stated) == len(manifest["distribution"]), "a file is listed twice")
    expected = {SELECTION_FILE, *run_files(folder, record)}
    if manifest["aiw:selection"].get("clusters") is not None:
        expected.add(CLUSTERS_FILE)
    if FUNNEL in manifest:
        expected.add(EXCLUDED_FILE)
    unexpected = sorted(expected ^ set(stated))
    require(
        not unexpected,
        f"listed but not of this run, or in the folder but not listed: {unexpected!r:.300}",
    )
    receipts = record.get("receipts_file")
    if not receipts or receipts["path"] not in stated:  # else `receipts` looks for them
        extra = {f"scores/{path.name}" for path in (folder / "scores").glob("*")} - set(stated)
        require(not extra, f"score files that belong to no run: {sorted(extra)!r:.300}")
    for file in filter(None, [*record.get("score_files", []), record["skipped_file"], receipts]):
        if file["path"] in stated:
            same = stated[file["path"]] == file.get("sha256")
            require(same, f"{file['path']!r:.120} is not the file of the run record (sha256)")
    return True, f"{len(stated)} files, those of the run"


def run_file(manifest: dict[str, Any], files: dict[str, pathlib.Path]) -> tuple[bool, str]:
    """run.json says of model, heads, mode and the rest what the manifest says.

    Args:
        manifest: as it was parsed.
        files: listed files that passed their own checks, by listed path.

    Returns:
        True, and a detail.

    Raises:
        Failed: when they differ.
        NotChecked: when run.json is not there.
    """
    if RUN_FILE not in files:
        raise NotChecked(f"{RUN_FILE} is not in the folder, or failed its own check")
    stated, actual = manifest["aiw:run"], public_record(read_json(files[RUN_FILE]))
    keys = sorted(key for key in {*stated, *actual} if stated.get(key) != actual.get(key))
    require(not keys, f"manifest and {RUN_FILE} differ in {keys!r:.300}")
    return True, "the manifest says the same of model, heads, mode and all the rest"


def receipts(
    folder: pathlib.Path, record: dict[str, Any], files: dict[str, pathlib.Path]
) -> tuple[list[dict[str, Any]], str]:
    """The receipts are those of the list, all of them, and add up to the counts of the record.

    Args:
        folder: of the manifest.
        record: of the run.
        files: listed files that passed their own checks, by listed path.

    Returns:
        The score files that the receipts state (path, sha256, bytes, rows), and a detail.

    Raises:
        Failed: when they do not hold what is stated.
        NotChecked: when their list is not there.
    """
    stated = record["receipts_file"]
    if stated is None or stated["path"] not in files:
        raise NotChecked("the list of receipts is not in the folder, or failed its own check")
    listed, names, counts = [], set(), Counter[str](read=0, scored=0, skipped=0)
    for receipt in receipts_of(folder, stated):
        listed.append(dict(receipt.score_file))
        names.add(f"{receipt.shard}.json")
        counts.update(read=receipt.read, scored=receipt.scored, skipped=len(receipt.skipped))
    require(len(names) == stated["rows"] == len(listed), "the list has another number of receipts")
    _no_strays(folder, "receipts", names)
    documents = {key: record["documents"][key] for key in counts}
    require(dict(counts) == documents, f"they add up to {dict(counts)}, the record says otherwise")
    return listed, f"{len(listed)} receipts, those of the run"


def score_files(
    folder: pathlib.Path, stated: list[dict[str, Any]], done: Callable[[int], object]
) -> tuple[dict[str, pathlib.Path], str]:
    """The score files have the sizes and digests that their receipts state.

    Args:
        folder: of the manifest.
        stated: the score files that the receipts state.
        done: called with the bytes that were hashed, as they are.

    Returns:
        Their paths, by stated path, and a detail.

    Raises:
        Failed: when a file is in the folder that no receipt states.
        ValueError: when a file is not as stated.
    """
    paths = check_files(folder, stated, lambda path: hashed(path, done))
    _no_strays(folder, "scores", {path.name for path in paths})
    by_path = {file["path"]: path for file, path in zip(stated, paths, strict=True)}
    return by_path, f"{len(by_path)} score files, sha256 as their receipts say"


def _no_strays(folder: pathlib.Path, subfolder: str, known: set[str]) -> None:
    extra = {path.name for path in (folder / subfolder).glob("*")} - known
    require(not extra, f"files in {subfolder} that belong to no run: {sorted(extra)!r:.300}")


def skipped(
    manifest: dict[str, Any], record: dict[str, Any], files: dict[str, pathlib.Path]
) -> tuple[bool, str]:
    """The skipped file has the stated rows and reasons.

    Args:
        manifest: as it was parsed.
        record: of the run.
        files: listed files that passed their own checks, by listed path.

    Returns:
        True, and a detail.

    Raises:
        Failed: when it has not.
        NotChecked: when it is not there.
    """
    stated = record["skipped_file"]
    if stated is None or stated["path"] not in files:
        raise NotChecked("the skipped file is not in the folder, or failed its own check")
    reasons = tally_skipped(files[stated["path"]])
    rows = sum(reason["documents"] for reason in reasons)
    same = rows == stated["rows"] == record["documents"]["skipped"]
    require(same, f"it has {rows} rows, the run record says otherwise")
    require(reasons == manifest["aiw:skippedReasons"], "the reasons are tallied otherwise")
    return True, f"{rows} rows, {len(reasons)} reasons"
