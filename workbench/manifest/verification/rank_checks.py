"""The checks of the ranks that a manifest states, in memory: scores, ranks, thresholds, counts.

Like those of `workbench.manifest.verification.file_checks` they return or raise. Selections that no
memory holds are checked in `workbench.manifest.verification.on_disk_checks`.
"""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.parquet import read_table
from workbench.manifest.croissant import (
    CLUSTERS_FILE,
    SELECTION_FILE,
    documents_term,
    selection_term,
)
from workbench.manifest.verification.report import NotChecked, require
from workbench.manifest.writing import differences, read_scores, tally_skipped
from workbench.selection.ranking import SCORE_COLUMNS, select
from workbench.selection.schema import SELECTION_SCHEMA
from workbench.selection.text_digest import text_digest

FORMULA_TOLERANCE = 1e-9


def selection_rows(files: dict[str, pathlib.Path]) -> tuple[pd.DataFrame, str]:
    """selection.parquet has the columns and types of a selection and no nulls.

    Args:
        files: listed files that passed their own checks, by listed path.

    Returns:
        Its rows, and a detail.

    Raises:
        Failed: when it has not.
        NotChecked: when it is not among the files.
    """
    if SELECTION_FILE not in files:
        raise NotChecked(f"{SELECTION_FILE} failed its own check, or is not listed")
    stored = read_table(files[SELECTION_FILE])
    require_selection_schema(stored.schema)
    stored.validate(full=True)
    table = stored.to_pandas(ignore_metadata=True)
    require_no_nulls({name for name in SELECTION_SCHEMA.names if stored[name].null_count})
    return table, f"{len(table)} rows"


def require_selection_schema(schema: pa.Schema) -> None:
    """Refuse other columns or types than those of a selection.

    Args:
        schema: of selection.parquet.

    Raises:
        Failed: when it is not SELECTION_SCHEMA.
    """
    require(
        schema.equals(SELECTION_SCHEMA),
        f"its columns are {', '.join(schema.names):.300}; expected, with their types, "
        f"{', '.join(SELECTION_SCHEMA.names)}",
    )


def require_no_nulls(columns: set[str]) -> None:
    """Refuse nulls, except in compression_ratio: it may be unknown, nothing is computed from it.

    Args:
        columns: those with nulls in them.

    Raises:
        Failed: when there is another one.
    """
    columns = columns - {"compression_ratio"}  # it may be unknown, nothing is computed from it
    require(not columns, f"it holds nulls in {columns}")


def formula(table: pd.DataFrame) -> tuple[bool, str]:
    """Losses are finite and each score is (loss_ref - loss_base) / loss_base.

    This is equation 5 of arXiv 2505.07293.

    Args:
        table: with the columns loss_base, loss_ref and score.

    Returns:
        True, and a detail.

    Raises:
        Failed: when a row does not hold this, within FORMULA_TOLERANCE.
    """
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
    """The ranked rows are the rows of the score files less the stated number of excluded ones.

    Args:
        table: the rows of selection.parquet.
        manifest: as it was parsed.
        record: of the run.
        files: listed files that passed their own checks, by listed path.

    Returns:
        True, and a detail.

    Raises:
        Failed: when they are not.
        NotChecked: when the score files are not there.
    """
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
    """Ranks, chosen rows and the domains' figures come out of the scores again.

    So they do from the clusters of near-duplicates, where the selection was given them.

    Args:
        table: the rows of selection.parquet.
        manifest: as it was parsed.
        files: listed files that passed their own checks, by listed path.

    Returns:
        True, and a detail.

    Raises:
        Failed: when they do not.
        NotChecked: when the file of clusters is not there.
    """
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
    """Refuse figures of domains that do not come out again.

    Args:
        domains: the figures as they come out again.
        manifest: as it was parsed.

    Raises:
        Failed: when the manifest states others.
    """
    wrong = [row["domain"] for row in domains if row not in manifest["aiw:domains"]]
    require(
        domains == manifest["aiw:domains"],
        f"the domains' thresholds, counts or shares are others: {wrong!r:.300}",
    )


def require_rules(stated: dict[str, Any], clustered: bool) -> None:
    """Refuse a selection term whose rules in words are not those in force.

    Args:
        stated: the manifest's aiw:selection.
        clustered: whether it names a file of clusters.

    Raises:
        Failed: when they are not.
    """
    asked = {name: stated.get(name) for name in ("fraction", "by", "duplicates", "cap")}
    require(
        stated == selection_term(**asked, clustered=clustered),  # type: ignore[arg-type]
        "the tie rule or the duplicate policy is not the one in force",
    )


def counts(
    table: pd.DataFrame, manifest: dict[str, Any], record: dict[str, Any]
) -> tuple[bool, str]:
    """Read, scored, skipped, excluded, ranked and selected add up, and the corpus digest holds.

    Args:
        table: the rows of selection.parquet.
        manifest: as it was parsed.
        record: of the run.

    Returns:
        True, and a detail.

    Raises:
        Failed: when they do not.
    """
    corpus = {"sources": int(table["source"].nunique()), "text_digest": text_digest(table)}
    return require_counts(len(table), int(table["selected"].sum()), corpus, manifest, record)


def require_counts(
    ranked: int,
    selected: int,
    corpus: dict[str, Any],
    manifest: dict[str, Any],
    record: dict[str, Any],
) -> tuple[bool, str]:
    """Refuse counts of documents that do not add up, or a corpus term that does not come out again.

    Args:
        ranked: rows of selection.parquet.
        selected: those of them that are chosen.
        corpus: sources and text_digest as they come out again.
        manifest: as it was parsed.
        record: of the run.

    Returns:
        True, and a detail.

    Raises:
        Failed: when the manifest states others.
    """
    scored = record["documents"]["scored"]
    expected = documents_term(record, scored - ranked, ranked, selected)
    require(manifest["aiw:documents"] == expected, f"aiw:documents should be {expected}")
    require(expected["excluded"] >= 0, "more documents are ranked than were scored")
    rows = sum(file["rows"] for file in record["score_files"])
    require(not rows or rows == scored, f"the score files have {rows} rows by the record")
    same = all(manifest["aiw:corpus"].get(key) == value for key, value in corpus.items())
    require(same, f"aiw:corpus should say {corpus}")
    return True, ", ".join(f"{count} {key}" for key, count in expected.items())


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
