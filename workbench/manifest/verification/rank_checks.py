"""The checks of the ranks that a manifest states: scored rows, ranks, thresholds, counts.

Like those of `workbench.manifest.verification.file_checks` they return or raise. Each asks about
the one ranking that `workbench.manifest.verification.ranking_again` made.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow.parquet as pq

from workbench.core.parquet import batches, read_table
from workbench.manifest.croissant import (
    BY_SCORE,
    EXCLUDED_FILE,
    FUNNEL,
    SELECTION_FILE,
    by_score_term,
    documents_term,
    ranked_by,
    selection_term,
)
from workbench.manifest.verification.ranking_again import Again, score_files
from workbench.manifest.verification.report import NotChecked, require
from workbench.manifest.verification.row_checks import Files
from workbench.selection.filter_funnel import STAGES, stages_of


def scored_rows(
    again: Again | Exception, manifest: dict[str, Any], record: dict[str, Any], files: Files
) -> tuple[bool, str]:
    """The ranked rows are the rows of the score files less the stated number of excluded ones.

    Args:
        again: of `ranked_again`.
        manifest: as it was parsed.
        record: of the run, which names the score files.
        files: listed files that passed their own checks, by listed path.

    Returns:
        True, and a detail.

    Raises:
        Failed: when they are not.
        NotChecked: when the score files are not there.
    """
    if not score_files(record, files):
        raise NotChecked("the score files are not in the folder, or failed their own check")
    if isinstance(again, Exception):
        raise again
    problems, excluded = list(again.unscored), manifest["aiw:documents"].get("excluded")
    if problems and again.first:
        problems[-1] += f"; the first row that differs is number {again.first}"
    left = again.scored - again.stored
    if left != excluded:
        problems.append(f"{left} scored rows are not ranked, the manifest says {excluded!r:.50}")
    require(not problems, "; ".join(problems))
    return True, f"all {again.stored} found among {again.scored} scored rows, {left} excluded"


def ranking(again: Again | Exception, manifest: dict[str, Any]) -> tuple[bool, str]:
    """Ranks, chosen rows and the domains' figures come out of the scores again.

    So they do from the clusters of near-duplicates, where the selection was given them.

    Args:
        again: of `ranked_again`.
        manifest: as it was parsed.

    Returns:
        True, and a detail.

    Raises:
        Failed: when they do not.
        NotChecked: when the file of clusters is not there.
    """
    if isinstance(again, Exception):
        raise again
    if again.refused is not None:
        raise again.refused
    problems = [
        f"{again.unequal[column]} rows have another {column} than comes out for their place"
        for column in ("source", "row", "rank", "selected", "repeat")
        if again.unequal[column]
    ]
    if again.ranked != again.stored:
        problems.append(f"there are {again.stored} rows, and {again.ranked} to be ranked")
    require(
        not problems, f"{'; '.join(problems)}; the first row that differs is number {again.first}"
    )
    wrong = [row["domain"] for row in again.domains if row not in manifest["aiw:domains"]]
    require(
        again.domains == manifest["aiw:domains"],
        f"the domains' thresholds, counts or shares are others: {wrong!r:.300}",
    )
    stated = manifest["aiw:selection"]
    asked = {name: stated.get(name) for name in ("fraction", "by", "duplicates", "cap")}
    by_score = None
    if manifest["aiw:format"] >= BY_SCORE:
        by_score = by_score_term(manifest["aiw:run"], ranked_by(manifest))
    clustered = stated.get("clusters") is not None
    require(
        stated == selection_term(**asked, clustered=clustered, by_score=by_score),
        "the tie rule, the duplicate policy or the formula ranked by is not the one in force",
    )
    return True, f"{len(again.domains)} domains ranked again, all as stated"


def funnel(manifest: dict[str, Any], files: Files) -> tuple[bool, str]:
    """The counts of the funnel add up and are those of its file, and nothing ranked is in that.

    Args:
        manifest: as it was parsed.
        files: listed files that passed their own checks, by listed path.

    Returns:
        True, and a detail.

    Raises:
        Failed: when they do not.
        NotChecked: when a file failed its own check.
    """
    if EXCLUDED_FILE not in files or SELECTION_FILE not in files:
        raise NotChecked(f"{EXCLUDED_FILE} or {SELECTION_FILE} failed its own check")
    stages = manifest[FUNNEL]["stages"]
    require([row["stage"] for row in stages] == list(STAGES), "it has other stages")
    for row, after in pairwise(stages):
        left = row["reached"] - row["kept"] - row["excluded"]
        require(after["reached"] == left, f"{left} documents are left after {row['stage']!r:.50}")
    last = stages[-1]
    require(last["reached"] == last["kept"] + last["excluded"], "the last stage decides not all")
    keys = ["source", "row"]
    rows = read_table(files[EXCLUDED_FILE], [*keys, "stage", "excluded"]).to_pandas()
    stated = {row["stage"]: row["excluded"] for row in stages if row["excluded"]}
    require(rows["excluded"].all(), "its file lists documents that are not excluded")
    require(stages_of(rows["stage"]) == stated, f"its file lists others than {stated!r:.200}")
    path, both = files[SELECTION_FILE], 0
    with open(path, "rb") as stream, pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in batches(file, stream, keys, most_rows=1 << 16):
            both += len(batch.to_pandas().merge(rows[keys], on=keys))
    require(not both, f"{both} of the documents that it excludes are ranked")
    return True, f"{len(rows)} of {stages[0]['reached']} documents excluded, none of them ranked"


def counts(
    again: Again | Exception, manifest: dict[str, Any], record: dict[str, Any]
) -> tuple[bool, str]:
    """Read, scored, skipped, excluded, ranked and selected add up, and the corpus digest holds.

    Args:
        again: of `ranked_again`.
        manifest: as it was parsed.
        record: of the run.

    Returns:
        True, and a detail.

    Raises:
        Failed: when the manifest states others.
    """
    if isinstance(again, Exception):
        raise again
    scored = record["documents"]["scored"]
    expected = documents_term(record, scored - again.stored, again.stored, again.selected)
    require(manifest["aiw:documents"] == expected, f"aiw:documents should be {expected}")
    require(expected["excluded"] >= 0, "more documents are ranked than were scored")
    rows = sum(file["rows"] for file in record["score_files"])
    require(not rows or rows == scored, f"the score files have {rows} rows by the record")
    same = all(manifest["aiw:corpus"].get(key) == value for key, value in again.corpus.items())
    require(same, f"aiw:corpus should say {again.corpus}")
    return True, ", ".join(f"{count} {key}" for key, count in expected.items())
