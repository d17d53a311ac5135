"""Choosing documents: rank by score inside each domain, then take the top share.

Scores of different domains are not comparable (`workbench/METHOD.md`), so there is no way here to
rank over all of them at once.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.frames import TableLike, as_html, frame_of
from workbench.scoring.columns.built_in import WHY_MISSING
from workbench.scoring.score_table import run_of
from workbench.selection.domain_quota import NO_GROUP, By, DomainQuota, check_by, share_of
from workbench.selection.duplicates import Clusters, Duplicates, limit_of, read_clusters
from workbench.selection.filter_funnel import Funnel, excluded_rows, without_excluded
from workbench.selection.residual import LEAST, RESIDUAL, residual
from workbench.selection.schema import (
    FLOAT_COLUMNS,
    INTEGER_COLUMNS,
    SCORE_COLUMNS,
    TEXT_COLUMNS,
    lacks_tokens,
    lacks_value,
)

SCORE = "score"  # the column that documents are ranked by unless another is asked for
TIE_RULE = (
    "inside a domain, rank 1 is the highest score; equal scores are ordered by text_sha256, "
    "then source, then row, each ascending"
)

_WHY_MISSING = WHY_MISSING | {RESIDUAL: f"no domain has {LEAST} documents"}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """A ranked corpus and what was chosen from it.

    Attributes:
        table: one row a document, sorted by domain and rank: the columns of the score table,
            `rank` (int, from 1 in each domain) and `selected` (bool).
        domains: one row a domain: domain, threshold (score of the last chosen document),
            documents_seen, documents_selected, tokens_seen, tokens_selected, documents_share,
            tokens_share, ties_at_threshold (documents with exactly the threshold's score, the
            last chosen one included), exact_duplicates_selected (chosen documents whose text
            hash another chosen document of the domain also has), near_duplicates_selected (chosen
            documents whose cluster another chosen document of the domain is in; None without
            clusters), duplicates_passed_over (documents not chosen on the way down the ranking
            only because duplicates of them were).
        fraction: the share that was asked for.
        by: whether the share is one of the documents or of the tokens.
        run: the run record of the scores (`ScoreTable.run`); None for a selection from a frame.
        duplicates: the duplicate policy that was asked for.
        cap: how many documents of a duplicate group may be chosen under the policy "cap", or None.
        clusters: the clusters of near-duplicates (source, row, cluster) in it, or None.
        by_score: the column that the documents were ranked by.
        without_value: how many documents were left out because they have no value in it.
        exclude: the funnel whose excluded documents were left out, or None.
    """

    table: pd.DataFrame
    domains: pd.DataFrame
    fraction: float
    by: By
    run: dict[str, Any] | None = None
    duplicates: Duplicates = "report"
    cap: int | None = None
    clusters: pd.DataFrame | None = None
    by_score: str = SCORE
    without_value: int = 0
    exclude: Funnel | None = None

    @property
    def chosen(self) -> pd.DataFrame:
        """The selected rows of `table`, in its order."""
        return self.table[self.table["selected"]].reset_index(drop=True)

    def __repr__(self) -> str:
        return f"{selection_heading(self)}\n{self.domains.to_string(index=False)}"

    def _repr_html_(self) -> str:
        return as_html(selection_heading(self), self.domains)


def selection_heading(selection: Any) -> str:
    """A selection in one line.

    Args:
        selection: with fraction, by, by_score and without_value, as `Selection` has them.

    Returns:
        What was asked for, and how many documents were left out for want of a value.
    """
    without = selection.without_value
    left_out = f"; {without:,} without a value left out" if without else ""
    column = "" if selection.by_score == SCORE else f", ranked by {selection.by_score}"
    heading = f"Selection: top {selection.fraction:g} of the {selection.by} of each domain"
    return f"{heading}{column}{left_out}"


def select(
    table: TableLike,
    fraction: float = 0.20,
    by: By = "documents",
    *,
    duplicates: Duplicates = "report",
    cap: int | None = None,
    clusters: Clusters | None = None,
    by_score: str = SCORE,
    exclude: Funnel | str | pathlib.Path | None = None,
) -> Selection:
    """Rank the documents of a score table inside each domain and choose the top share of each.

    The ranking follows TIE_RULE and does not depend on the order of the rows. At least one document
    of every domain is chosen.

    Args:
        table: what `score_corpus` or `load_scores` returned. To leave documents out, use its
            `keep`: the selection has its run, which a manifest needs. Or a frame with the columns
            SCORE_COLUMNS, which has no run. More columns are carried along.
        fraction: share to choose in every domain, in (0, 1]. The paper takes 0.20 of the documents
            (arXiv 2505.07293).
        by: "documents" takes the first ceil(fraction * n) of a domain; "tokens" takes the
            shortest prefix of its ranking that holds at least that share of its tokens.
        duplicates: "report" keeps and counts them. "keep one" and "cap" go down the ranking of a
            domain and pass over a document when one (or `cap`) of the same text, or of the same
            cluster, is chosen already; the next documents take the free places, and those passed
            over keep their ranks. The share is always that of all documents or tokens of the
            domain, duplicates among them: fewer are chosen when too few are left.
        cap: for "cap", how many documents of the same text or cluster may be chosen.
        clusters: near-duplicates: what `near_duplicates` gave, its table, or a Parquet file of it.
            Documents of a domain with the same cluster are near-duplicates; a document that is
            not listed has none. Exact duplicates (text_sha256) need no clusters.
        by_score: the column to rank by, highest first: "score", the paper's, or any other column of
            numbers. Documents without a value in it are left out, and counted. "residual" needs no
            column: it is computed of the documents that are ranked
            (`workbench.selection.residual`). A manifest can be written of it and of the columns of
            `score_corpus` alone, since others could not be verified.
        exclude: what `funnel` gave, or its file: the documents that it excludes are not ranked, and
            the manifest states how many at each stage.

    Returns:
        The ranked table with what was chosen, and the figures of each domain.

    Raises:
        ValueError: when a column is missing or of the wrong type, the table is empty, a score is
            not finite, no document has a value to rank by, a (source, row) occurs twice, or an
            argument is out of range, or the funnel saw other texts or leaves nothing.
        TypeError: `table` is neither a score table nor a frame.
    """
    frame, made = frame_of(table), None
    if exclude is not None:
        _check(frame)
        made, excluded = excluded_rows(exclude)
        frame = without_excluded(frame, excluded)
    ranked = rank(frame, by_score)
    chosen = cut(
        ranked, fraction, by, duplicates=duplicates, cap=cap, clusters=clusters, run=run_of(table),
        by_score=by_score, without_value=len(frame) - len(ranked),
    )  # fmt: skip
    return dataclasses.replace(chosen, exclude=made)


def rank(table: TableLike, by_score: str = SCORE) -> pd.DataFrame:
    """Rank a score table: the part of `select` that does not depend on the fraction.

    Args:
        table: as for `select`.
        by_score: the column to rank by, as in `select`.

    Returns:
        The rows that have a value to be ranked by, sorted by domain and rank, with the column
        `rank` (int64, from 1 in each domain).

    Raises:
        ValueError: for a table that `select` would refuse.
        TypeError: `table` is neither a score table nor a frame.
    """
    frame = frame_of(table)
    _check(frame)
    if by_score != SCORE:
        frame = with_values(frame, by_score)
    ranked = frame.sort_values(
        ["domain", by_score, "text_sha256", "source", "row"],
        ascending=[True, False, True, True, True],
        ignore_index=True,
    )
    ranked["rank"] = ranked.groupby("domain", sort=False).cumcount().astype("int64") + 1
    return ranked


def cut(
    ranked: pd.DataFrame,
    fraction: float = 0.20,
    by: By = "documents",
    *,
    duplicates: Duplicates = "report",
    cap: int | None = None,
    clusters: Clusters | None = None,
    run: dict[str, Any] | None = None,
    by_score: str = SCORE,
    without_value: int = 0,
) -> Selection:
    """Choose the top share of every domain of a ranked table: the other part of `select`.

    Args:
        ranked: a table that `rank` returned.
        fraction: share to choose in every domain, as in `select`.
        by: "documents" or "tokens", what the share is of, as in `select`.
        duplicates: the policy, as in `select`.
        cap: for the policy "cap", as in `select`.
        clusters: near-duplicates, as in `select`.
        run: the record of the run that made the scores, for `Selection.run`.
        by_score: the column that the table is ranked by.
        without_value: how many documents had no value in it, for `Selection.without_value`.

    Returns:
        The selection.

    Raises:
        ValueError: when an argument is out of range, or the clusters are not a table of them.
    """
    share, limit = share_of(fraction), limit_of(duplicates, cap)
    check_by(by)
    ranked = ranked.copy(deep=False)
    near = None if clusters is None else _near(ranked, read_clusters(clusters))
    selected = np.zeros(len(ranked), dtype=bool)
    rows = []
    for domain, group in ranked.groupby("domain", sort=False):
        tokens = group["tokens"].to_numpy("int64")
        text, texts = _codes(group["text_sha256"])
        cluster, held = (None, None) if near is None else _codes(near[group.index])
        quota = DomainQuota(
            str(domain), len(group), int(tokens.sum()), share, by, limit, texts, held
        )  # fmt: skip
        selected[group.index] = quota.take(
            group[by_score].to_numpy("float64"), tokens, text, cluster
        )
        rows.append(quota.row())
    ranked["selected"] = selected
    known = None
    if near is not None:
        known = ranked[["source", "row"]].assign(cluster=near)[near.notna()]
        known = known.astype({"row": "int64", "cluster": "int64"})
        known = known.sort_values(["source", "row"], ignore_index=True)
    return Selection(
        ranked, pd.DataFrame(rows), float(fraction), by, run, duplicates, cap, known, by_score,
        without_value,
    )  # fmt: skip


def _near(ranked: pd.DataFrame, clusters: pd.DataFrame) -> pd.Series:
    """The cluster of every ranked document, null for those without one."""
    keys = ranked[["source", "row"]].astype({"row": "int64"})
    clusters = clusters.astype({"cluster": "Int64"})
    return keys.merge(clusters, on=["source", "row"], how="left")["cluster"]


def _codes(groups: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Number the groups of two members or more; NO_GROUP elsewhere. Also an empty count of each."""
    codes = np.full(len(groups), NO_GROUP, dtype="int64")
    shared = (groups.duplicated(keep=False) & groups.notna()).to_numpy()
    codes[shared], names = pd.factorize(groups[shared])
    return codes, np.zeros(len(names), dtype="int32")


def with_values(frame: pd.DataFrame, by_score: str) -> pd.DataFrame:
    """The documents that can be ranked by a column.

    Args:
        frame: a score table.
        by_score: name of the column.

    Returns:
        The rows that have a value in it; those of "residual" are computed of the frame.

    Raises:
        ValueError: it is no column of numbers, has no value in any row, or an infinite one.
    """
    if by_score == RESIDUAL:
        frame = frame.assign(**{RESIDUAL: residual(frame)})
    if by_score not in frame or by_score in TEXT_COLUMNS:
        numbers = [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]
        raise ValueError(
            f"cannot rank by {by_score!r:.100}, which is no column of numbers in the table; it has "
            f"{', '.join(map(str, numbers))}. `scorers` adds those that need the whole table"
        )
    column = pd.to_numeric(frame[by_score])
    values = column.to_numpy("float64", na_value=np.nan)
    if np.isinf(values).any():
        raise ValueError(f"{int(np.isinf(values).sum())} values of {by_score!r} are infinite")
    there = ~np.isnan(values)
    if not there.any():
        raise ValueError(
            f"no document has a value of {by_score!r}{why_missing(by_score)}; so there is nothing "
            "to rank by"
        )
    return frame.assign(**{by_score: column})[there]


def why_missing(by_score: str) -> str:
    """Why no document may have a value in a column.

    Args:
        by_score: name of the column.

    Returns:
        A colon and the reason, to be put behind its name; nothing where none is known.
    """
    why = _WHY_MISSING.get(by_score, "")
    why += ", or the scores are older than the column (score again)" * (by_score in WHY_MISSING)
    return f": {why}" if why else ""


def _check_column(
    table: pd.DataFrame,
    column: str,
    kind: str,
    holds: Callable[[Any], bool],
    complete: bool = True,
) -> None:
    """Refuse a column of another type, or, unless `complete` is False, with a gap."""
    gaps = table[column].isna()
    if complete and gaps.any():
        raise ValueError(lacks_value(column, kind, *table.loc[gaps, ["source", "row"]].iloc[0]))
    if not holds(table[column]):
        (first,) = table[column].iloc[:1].tolist()
        raise ValueError(
            f"column {column!r} must hold {kind}, got {table[column].dtype} (first: {first!r:.90})"
            ": convert it, or give the table of score_corpus"
        )


def _check(table: pd.DataFrame) -> None:
    """Refuse a table that could not be ranked, or whose ranking would mean nothing."""
    missing = [column for column in SCORE_COLUMNS if column not in table.columns]
    if missing:
        raise ValueError(
            f"the score table lacks the columns {missing}; give the table of score_corpus, "
            f"with all of {list(SCORE_COLUMNS)}"
        )
    if table.empty:
        raise ValueError("the score table has no rows, so there is nothing to rank")
    for column in TEXT_COLUMNS:
        _check_column(table, column, "text", pd.api.types.is_string_dtype)
    for column in INTEGER_COLUMNS:
        _check_column(table, column, "integers", pd.api.types.is_integer_dtype)
    less = table["tokens"] < 1
    if less.any():
        raise ValueError(lacks_tokens(*table.loc[less, ["doc_id", "tokens"]].iloc[0]))
    for column in FLOAT_COLUMNS:
        _check_column(table, column, "floats", pd.api.types.is_float_dtype, complete=False)
    bad = ~np.isfinite(table["score"].to_numpy("float64", na_value=np.nan))
    if bad.any():
        example = table.loc[bad, "doc_id"].iloc[0]
        raise ValueError(
            f"{int(bad.sum())} scores are not finite (first: document {example!r:.100}); "
            "leave these documents out of the table, or score them again"
        )
    twice = table.duplicated(["source", "row"])
    if twice.any():
        source, row = table.loc[twice, ["source", "row"]].iloc[0]
        raise ValueError(
            f"{int(twice.sum())} rows repeat a (source, row), first ({source!r:.100}, {row}); "
            "each document may be ranked once: drop the repeats"
        )
