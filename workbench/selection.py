"""Choosing documents: rank by score inside each domain, then take the top share.

Scores of different domains are not comparable (METHOD section 3), so there is no way here to
rank over all of them at once.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import numbers
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pandas as pd

TEXT_COLUMNS = ("doc_id", "domain", "source", "text_sha256")
INTEGER_COLUMNS = ("row", "tokens", "predicted")
FLOAT_COLUMNS = ("loss_base", "loss_ref", "score", "compression_ratio")
SCORE_COLUMNS = TEXT_COLUMNS + INTEGER_COLUMNS + FLOAT_COLUMNS

TIE_RULE = (
    "inside a domain, rank 1 is the highest score; equal scores are ordered by text_sha256, "
    "then source, then row, each ascending"
)

By = Literal["documents", "tokens"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """A ranked corpus and what was chosen from it.

    Fields:
        table: one row a document, sorted by domain and rank: the columns of the score table,
            `rank` (int, from 1 in each domain) and `selected` (bool).
        domains: one row a domain: domain, threshold (score of the last chosen document),
            documents_seen, documents_selected, tokens_seen, tokens_selected, documents_share,
            tokens_share, ties_at_threshold (documents with exactly the threshold's score, the
            last chosen one included), exact_duplicates_selected (chosen documents whose text
            hash another chosen document of the domain also has).
        fraction, by: what was asked for.
        run: the run record of the scores (`table.attrs["run"]`), or None.
    """

    table: pd.DataFrame
    domains: pd.DataFrame
    fraction: float
    by: By
    run: dict[str, Any] | None = None

    @property
    def chosen(self) -> pd.DataFrame:
        """The selected rows of `table`, in its order."""
        return self.table[self.table["selected"]].reset_index(drop=True)

    def _heading(self) -> str:
        return f"Selection: top {self.fraction:g} of the {self.by} of each domain"

    def __repr__(self) -> str:
        return f"{self._heading()}\n{self.domains.to_string(index=False)}"

    def _repr_html_(self) -> str:
        # Domain names are text from the web, so pandas' escaping is asked for by name.
        return f"<p>{self._heading()}</p>{self.domains.to_html(index=False, escape=True)}"


def select(table: pd.DataFrame, fraction: float = 0.20, by: By = "documents") -> Selection:
    """Rank the documents of a score table inside each domain and choose the top share of each.

    Args:
        table: one row a document with the columns SCORE_COLUMNS; more columns are carried along.
        fraction: share to choose in every domain, in (0, 1]. The paper takes 0.20 of the
            documents (arXiv 2505.07293, METHOD section 3).
        by: "documents" takes the first ceil(fraction * n) of a domain; "tokens" takes the
            shortest prefix of its ranking that holds at least that share of its tokens.

    The ranking follows TIE_RULE and does not depend on the order of the rows. At least one
    document of every domain is chosen.

    Raises ValueError when a column is missing or of the wrong type, the table is empty, a score
    is not finite, a (source, row) occurs twice, or `fraction` or `by` is out of range.
    """
    return cut(rank(table), fraction, by)


def rank(table: pd.DataFrame) -> pd.DataFrame:
    """A score table sorted by domain and rank, with the column `rank`: the part of `select` that
    does not depend on the fraction. Raises the same errors about the table."""
    _check(table)
    ranked = table.sort_values(
        ["domain", "score", "text_sha256", "source", "row"],
        ascending=[True, False, True, True, True],
        ignore_index=True,
    )
    ranked.attrs = {}  # pandas copies attrs in depth at every step, and they may be large
    ranked["rank"] = ranked.groupby("domain", sort=False).cumcount().astype("int64") + 1
    ranked.attrs = copy.deepcopy(table.attrs)
    return ranked


def cut(ranked: pd.DataFrame, fraction: float = 0.20, by: By = "documents") -> Selection:
    """The top share of every domain of a table that `rank` returned; the other part of `select`."""
    share = _share(fraction)
    if by not in ("documents", "tokens"):
        raise ValueError(f"by must be 'documents' or 'tokens', got {by!r}")
    attrs, ranked = ranked.attrs, ranked.copy(deep=False)
    ranked.attrs = {}
    selected = np.zeros(len(ranked), dtype=bool)
    rows = []
    for domain, group in ranked.groupby("domain", sort=False):
        count = _count(group["tokens"].to_numpy("int64"), share, by)
        selected[group.index[:count]] = True
        rows.append(_domain_row(str(domain), group, count))
    ranked["selected"] = selected
    ranked.attrs = copy.deepcopy(attrs)
    return Selection(ranked, pd.DataFrame(rows), float(fraction), by, ranked.attrs.get("run"))


def _share(fraction: float) -> Fraction:
    """Return the fraction that the user meant: 0.07 of 100 is 7, though the float is above it."""
    if not isinstance(fraction, numbers.Real) or not 0 < fraction <= 1:
        raise ValueError(f"fraction must be a number in (0, 1], got {fraction!r}; try 0.2")
    return Fraction(float(fraction)).limit_denominator(10**9)


def _count(tokens: np.ndarray, share: Fraction, by: By) -> int:
    """Return how many documents of a domain, in rank order with these token counts, to take."""
    if by == "documents":
        count = math.ceil(share * len(tokens))
    else:
        total = np.cumsum(tokens)
        # Integers on both sides: a float sum could stop one document early or late.
        count = int(np.searchsorted(total, math.ceil(share * int(total[-1])), side="left")) + 1
    return max(1, count)  # a share below one part in 10**9 was rounded to nothing


def _domain_row(domain: str, group: pd.DataFrame, count: int) -> dict[str, Any]:
    """Summarise one domain, given in rank order, of which the first `count` are chosen."""
    chosen = group.iloc[:count]
    threshold = float(chosen["score"].iloc[-1])
    tokens_seen, tokens_selected = int(group["tokens"].sum()), int(chosen["tokens"].sum())
    return {
        "domain": domain,
        "threshold": threshold,
        "documents_seen": len(group),
        "documents_selected": count,
        "tokens_seen": tokens_seen,
        "tokens_selected": tokens_selected,
        "documents_share": count / len(group),
        "tokens_share": tokens_selected / tokens_seen,
        "ties_at_threshold": int((group["score"] == threshold).sum()),
        "exact_duplicates_selected": int(chosen["text_sha256"].duplicated(keep=False).sum()),
    }


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
        if not pd.api.types.is_string_dtype(table[column]) or table[column].isna().any():
            raise ValueError(f"column {column!r} must hold text in every row")
    for column in INTEGER_COLUMNS:
        if not pd.api.types.is_integer_dtype(table[column]) or table[column].isna().any():
            raise ValueError(f"column {column!r} must hold integers, got {table[column].dtype}")
    if (table["tokens"] < 1).any():
        raise ValueError("a scored document has at least one token, but 'tokens' holds less")
    for column in FLOAT_COLUMNS:
        if not pd.api.types.is_float_dtype(table[column]):
            raise ValueError(f"column {column!r} must hold floats, got {table[column].dtype}")
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
