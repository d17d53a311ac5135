"""The single checks of a manifest, each a function that a verification calls.

A check returns (what later checks need of it, a detail for the report), or raises: Failed when a
statement does not hold, NotChecked when there is nothing to hold it against. Garbage may make it
raise anything else, which `workbench.manifest.verification.verify` reports as a failure too. What
is said of the corpus is checked in `workbench.manifest.verification.corpus_checks`, of the model in
`workbench.manifest.verification.model_checks`.
"""

from __future__ import annotations

import datetime
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.files import plain_file, read_json
from workbench.core.parquet import read_table
from workbench.core.progress import counted
from workbench.manifest.croissant import (
    CLUSTERS_FILE,
    CONFORMS_TO,
    READ,
    SELECTION_FILE,
    dataset,
    same_statement,
    selection_term,
)
from workbench.manifest.verification.report import NotChecked, require
from workbench.manifest.writing import (
    MANIFEST_FILE,
    RUN_FILE,
    differences,
    public_record,
    read_scores,
    run_files,
    tally_skipped,
    text_digest,
)
from workbench.selection.ranking import SCORE_COLUMNS, select
from workbench.selection.schema import SELECTION_SCHEMA

FORMULA_TOLERANCE = 1e-9
_PIECE = 1 << 22  # bytes
_QUIET = 1 << 30  # fewer bytes than this are hashed without a bar
_TERMS: dict[str, type | tuple[type, ...]] = {
    "aiw:run": dict, "aiw:documents": dict, "aiw:skippedReasons": (list, type(None)),
    "aiw:corpus": dict, "aiw:selection": dict, "aiw:domains": list, "distribution": list,
}  # fmt: skip


def manifest_terms(folder: pathlib.Path) -> tuple[dict[str, Any], str]:
    """manifest.json is Croissant that holds our terms; gives the parsed manifest."""
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
    stated = read_json(plain_file(folder, MANIFEST_FILE))
    require(isinstance(stated, dict), "manifest.json is not a JSON object")
    require(stated.get("conformsTo") == CONFORMS_TO, f"it does not conform to {CONFORMS_TO}")
    found = stated.get("aiw:format")
    require(
        found in READ,
        f"aiw:format is {found!r:.50}, this version reads {READ}; "
        "select again from the scores, or install the version that wrote it",
    )
    wrong = [term for term, kind in _TERMS.items() if not isinstance(stated.get(term, 0), kind)]
    require(not wrong, f"missing, or in another form: {wrong}")
    return stated, f"Croissant with the aiw terms, format {found}"


def run_record(manifest: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The run record is complete, tells no absolute path, and PROV says the same; gives it."""
    record = manifest["aiw:run"]
    published = public_record(record)
    # source_kind speaks of the source before it was cut, so it cannot be computed again.
    published["model"]["source_kind"] = record["model"].get("source_kind")
    require(published == record, "it holds an absolute path, which a manifest must not")
    # Everything but name, licence and date follows from our terms and the list of files.
    terms = {key: value for key, value in manifest.items() if key.startswith("aiw:")}
    date = datetime.date.fromisoformat(manifest["datePublished"])
    files, license = manifest["distribution"], manifest.get("license")
    whole = dataset(manifest["name"], terms, files, license, date)
    odd = sorted(
        k for k in {*whole, *manifest} if not same_statement(whole.get(k), manifest.get(k))
    )
    require(not odd, f"{odd!r:.200} say something else than the aiw terms")
    return record, "complete, and the rest of the manifest repeats it"


def listed_file(
    folder: pathlib.Path, entry: dict[str, Any], done: Callable[[int], object]
) -> tuple[pathlib.Path, str]:
    """One file of the distribution is in the folder as stated; gives its path.

    done: told of the bytes that were hashed, as they are.
    """
    path = plain_file(folder, entry.get("contentUrl"))
    size = path.stat().st_size
    stated = entry.get("contentSize")
    require(stated == f"{size} B", f"it has {size} B, the manifest says {stated!r:.50}")
    digest = hashed(path, done)
    require(digest == entry.get("sha256"), f"its sha256 is {digest}, the manifest says otherwise")
    return path, f"{size} B, sha256 as stated"


def hashed(path: pathlib.Path, done: Callable[[int], object]) -> str:
    """SHA-256 of a file, piece by piece so that it can be stopped; done is told of the bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            done(len(piece))
    return digest.hexdigest()


@contextmanager
def hashing(folder: pathlib.Path, distribution: Iterable[Any]) -> Iterator[Callable[[int], object]]:
    """Progress in MB over the listed files that are there; gives what is called with bytes."""
    total = sum(_sizes(folder, distribution))
    with counted("hashing files", "MB", round(total / 1e6), bar=total > _QUIET) as done:
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
            yield plain_file(folder, entry.get("contentUrl")).stat().st_size
        except (ValueError, OSError, AttributeError):
            continue  # the check of this file says what is wrong with its entry


def listing(
    folder: pathlib.Path, manifest: dict[str, Any], record: dict[str, Any]
) -> tuple[bool, str]:
    """The list of files is complete, without strangers, and the run record names the same files."""
    stated = {entry["contentUrl"]: entry["sha256"] for entry in manifest["distribution"]}
    require(len(stated) == len(manifest["distribution"]), "a file is listed twice")
    expected = {SELECTION_FILE, *run_files(folder, record)}
    if manifest["aiw:selection"].get("clusters") is not None:
        expected.add(CLUSTERS_FILE)
    odd = sorted(expected ^ set(stated))
    require(not odd, f"listed but not of this run, or in the folder but not listed: {odd!r:.300}")
    receipts = record.get("receipts_file")
    if not receipts or receipts["path"] not in stated:  # else `manifest_receipts` looks for them
        strays = {f"scores/{path.name}" for path in (folder / "scores").glob("*")} - set(stated)
        require(not strays, f"score files that belong to no run: {sorted(strays)!r:.300}")
    for file in filter(None, [*record.get("score_files", []), record["skipped_file"], receipts]):
        if file["path"] in stated:
            same = stated[file["path"]] == file.get("sha256")
            require(same, f"{file['path']!r:.120} is not the file of the run record (sha256)")
    return True, f"{len(stated)} files, those of the run"


def run_file(manifest: dict[str, Any], files: dict[str, pathlib.Path]) -> tuple[bool, str]:
    """run.json says of model, heads, mode and the rest what the manifest says."""
    if RUN_FILE not in files:
        raise NotChecked(f"{RUN_FILE} is not in the folder, or failed its own check")
    stated, found = manifest["aiw:run"], public_record(read_json(files[RUN_FILE]))
    keys = sorted(key for key in {*stated, *found} if stated.get(key) != found.get(key))
    require(not keys, f"manifest and {RUN_FILE} differ in {keys!r:.300}")
    return True, "the manifest says the same of model, heads, mode and all the rest"


def selection_rows(files: dict[str, pathlib.Path]) -> tuple[pd.DataFrame, str]:
    """selection.parquet has the columns and types of a selection and no nulls; gives the frame."""
    if SELECTION_FILE not in files:
        raise NotChecked(f"{SELECTION_FILE} failed its own check, or is not listed")
    stored = read_table(files[SELECTION_FILE])
    require_selection_schema(stored.schema)
    stored.validate(full=True)
    table = stored.to_pandas(ignore_metadata=True)
    require_no_nulls({name for name in SELECTION_SCHEMA.names if stored[name].null_count})
    return table, f"{len(table)} rows"


def require_selection_schema(schema: pa.Schema) -> None:
    require(
        schema.equals(SELECTION_SCHEMA),
        f"its columns are {', '.join(schema.names):.300}; expected, with their types, "
        f"{', '.join(SELECTION_SCHEMA.names)}",
    )


def require_no_nulls(columns: set[str]) -> None:
    """columns: those with nulls in them."""
    columns = columns - {"compression_ratio"}  # it may be unknown, nothing is computed from it
    require(not columns, f"it holds nulls in {columns}")


def formula(table: pd.DataFrame) -> tuple[bool, str]:
    """Losses are finite and each score is (loss_ref - loss_base) / loss_base (METHOD section 3)."""
    base, ref, score = (table[name].to_numpy() for name in ("loss_base", "loss_ref", "score"))
    require(bool(np.isfinite([base, ref, score]).all()), "a loss or score is not finite")
    require(bool((base > 0).all()), "a base loss is not above zero")
    # Relative to the quotient that the subtraction starts from: a score near 0 has no digits left.
    error = np.abs(score - (ref - base) / base) / np.maximum(np.abs(ref / base), 1)
    bad = error > FORMULA_TOLERANCE
    require(not bad.any(), f"{int(bad.sum())} scores are not (loss_ref - loss_base) / loss_base")
    return True, f"all {len(table)} within {FORMULA_TOLERANCE:g}"


def scored_rows(
    table: pd.DataFrame,
    manifest: dict[str, Any],
    record: dict[str, Any],
    files: dict[str, pathlib.Path],
) -> tuple[bool, str]:
    """The ranked rows are the rows of the score files less the stated number of excluded ones."""
    paths = [file["path"] for file in record["score_files"]]
    if not paths or any(path not in files for path in paths):
        raise NotChecked("the score files are not in the folder, or failed their own check")
    scores = read_scores(files[path] for path in paths)
    problems = differences(table, scores)
    left, excluded = len(scores) - len(table), manifest["aiw:documents"].get("excluded")
    if left != excluded:
        problems.append(f"{left} scored rows are not ranked, the manifest says {excluded!r:.50}")
    require(not problems, "; ".join(problems))
    return True, f"all {len(table)} found among {len(scores)} scored rows, {left} excluded"


def ranking(
    table: pd.DataFrame, manifest: dict[str, Any], files: dict[str, pathlib.Path]
) -> tuple[bool, str]:
    """Ranks, chosen rows and the domains' figures come out again from the scores alone, and from
    the clusters of near-duplicates where the selection was told of them."""
    stated = manifest["aiw:selection"]
    clusters = None
    if stated.get("clusters") is not None:
        if CLUSTERS_FILE not in files:
            raise NotChecked(f"{CLUSTERS_FILE} failed its own check, or is not listed")
        clusters = files[CLUSTERS_FILE]
    asked = {name: stated.get(name) for name in ("fraction", "by", "duplicates", "cap")}
    again = select(table[list(SCORE_COLUMNS)], **asked, clusters=clusters)
    problems = []
    for column in ("source", "row", "rank", "selected"):
        unequal = int((again.table[column] != table[column]).sum())
        if unequal:
            problems.append(f"{unequal} rows differ in {column} (or in their order)")
    if not (table["repeat"] == table["selected"].astype("int64")).all():
        problems.append("repeat is not 1 for the selected rows and 0 for the others")
    require(not problems, "; ".join(problems))
    require_domains(again.domains.to_dict("records"), manifest)
    require_rules(stated, clusters is not None)
    return True, f"{len(again.domains)} domains ranked again, all as stated"


def require_domains(domains: list[Any], manifest: dict[str, Any]) -> None:
    """domains: their figures as they come out again."""
    wrong = [row["domain"] for row in domains if row not in manifest["aiw:domains"]]
    require(
        domains == manifest["aiw:domains"],
        f"the domains' thresholds, counts or shares are others: {wrong!r:.300}",
    )


def require_rules(stated: dict[str, Any], clustered: bool) -> None:
    asked = {name: stated.get(name) for name in ("fraction", "by", "duplicates", "cap")}
    require(
        stated == selection_term(**asked, clustered=clustered),  # type: ignore[arg-type]
        "the tie rule or the duplicate policy is not the one in force",
    )


def counts(
    table: pd.DataFrame, manifest: dict[str, Any], record: dict[str, Any]
) -> tuple[bool, str]:
    """Read, scored, skipped, excluded, ranked and selected add up, and the corpus digest holds."""
    corpus = {"sources": int(table["source"].nunique()), "text_digest": text_digest(table)}
    return require_counts(len(table), int(table["selected"].sum()), corpus, manifest, record)


def require_counts(
    ranked: int,
    selected: int,
    corpus: dict[str, Any],
    manifest: dict[str, Any],
    record: dict[str, Any],
) -> tuple[bool, str]:
    """corpus: sources and text_digest as they come out again."""
    run = record["documents"]
    expected = {
        **{key: run[key] for key in ("read", "scored", "skipped")},
        "excluded": run["scored"] - ranked,
        "ranked": ranked,
        "selected": selected,
    }
    require(manifest["aiw:documents"] == expected, f"aiw:documents should be {expected}")
    require(expected["excluded"] >= 0, "more documents are ranked than were scored")
    rows = sum(file["rows"] for file in record["score_files"])
    require(not rows or rows == run["scored"], f"the score files have {rows} rows by the record")
    same = all(manifest["aiw:corpus"].get(key) == value for key, value in corpus.items())
    require(same, f"aiw:corpus should say {corpus}")
    return True, ", ".join(f"{count} {key}" for key, count in expected.items())


def skipped(
    manifest: dict[str, Any], record: dict[str, Any], files: dict[str, pathlib.Path]
) -> tuple[bool, str]:
    """The skipped file has the stated rows and reasons."""
    stated = record["skipped_file"]
    if stated is None or stated["path"] not in files:
        raise NotChecked("the skipped file is not in the folder, or failed its own check")
    reasons = tally_skipped(files[stated["path"]])
    rows = sum(reason["documents"] for reason in reasons)
    same = rows == stated["rows"] == record["documents"]["skipped"]
    require(same, f"it has {rows} rows, the run record says otherwise")
    require(reasons == manifest["aiw:skippedReasons"], "the reasons are tallied otherwise")
    return True, f"{rows} rows, {len(reasons)} reasons"
