"""Selectors of different size on the same corpus: do they rank and choose alike?

The paper's 7 B selector picks longer text than its 1.3 B one, judged more reasoning-intensive.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from workbench.core.frames import TableLike, frame_of
from workbench.core.intervals import percentile_interval
from workbench.selection.rank_agreement import KEY, agreement, in_common
from workbench.selection.ranking import By, select


def merge_score_tables(tables: Mapping[str, TableLike]) -> pd.DataFrame:
    """Join the score tables of several selectors: a column a selector, of its scores.

    With the result, selectors are compared like other scorers: `compare_scorers`,
    `selected_only_by`, `largest_rank_changes`.

    Args:
        tables: name -> score table of the same corpus.

    Returns:
        The columns of the first table, so tokens are counted by its tokenizer, and one of the
        scores of each selector under its name. Documents that one of the tables lacks are left out.

    Raises:
        ValueError: for fewer than two tables, a name that is a column already, other texts, or no
            document in common.
    """
    if len(tables) < 2:
        raise ValueError(
            f"selectors are compared by twos: give two tables or more, got {len(tables)}"
        )
    frames = {name: frame_of(table) for name, table in tables.items()}
    first = next(iter(frames.values()))
    taken = [name for name in tables if name in first]
    if taken:
        raise ValueError(f"{taken} are columns of the score table: give the selectors other names")
    joined = first
    for name, frame in frames.items():
        scores = frame.assign(**{name: frame["score"]})
        joined = in_common(joined, scores, f"the table of {name!r:.100}", [name])
    return joined


def compare_selectors(
    tables: Mapping[str, TableLike],
    fraction: float = 0.20,
    by: By = "documents",
    *,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Agreement of every pair of selectors, and the length of what each chooses, by domain.

    Args:
        tables: name -> score table of the same corpus, the smallest selector first.
        fraction: share to choose in every domain, as in `select`.
        by: "documents" or "tokens", what the share is of, as in `select`.
        draws: resamples of the bootstrap of the lengths.
        seed: of this bootstrap.

    Returns:
        The columns one and other (the larger), then those of `agreement`, and: tokens_one,
        tokens_other (mean tokens of the documents that each chooses), tokens_alone (of those that
        the larger alone chooses; NaN for none), longer = tokens_other - tokens_one with longer_low
        and longer_high (95 % percentile bootstrap over the documents of the domain, the choices as
        they are). Tokens are those of the first table.

    Raises:
        ValueError: where `merge_score_tables` or `agreement` would.
    """
    joined = merge_score_tables(tables)
    rng = np.random.default_rng(seed)
    parts = []
    for one, other in combinations(tables, 2):
        part = agreement(tables[one], tables[other], fraction, by)
        first, second = (select(joined, fraction, by, by_score=name).table for name in (one, other))
        both = first[[*KEY, "tokens", "selected"]].merge(
            second[[*KEY, "selected"]], on=KEY, suffixes=("_one", "_other")
        )
        lengths = [
            _lengths(both[both["domain"] == domain], rng, draws) for domain in part["domain"]
        ]
        part = pd.concat([part, pd.DataFrame(lengths)], axis=1)
        part.insert(0, "one", one)
        part.insert(1, "other", other)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _lengths(part: pd.DataFrame, rng: np.random.Generator, draws: int) -> dict[str, float]:
    """Mean tokens of two choices of the documents of a domain, and the difference with interval."""
    tokens = part["tokens"].to_numpy(dtype=float)
    one, other = (part[f"selected_{name}"].to_numpy(dtype=bool) for name in ("one", "other"))

    def longer(picks: np.ndarray) -> np.ndarray:
        means = [
            (tokens[picks] * chosen[picks]).sum(axis=1) / chosen[picks].sum(axis=1)
            for chosen in (one, other)
        ]
        return means[1] - means[0]

    with np.errstate(invalid="ignore"):  # a resample may hold no chosen document
        drawn = longer(rng.integers(0, len(part), size=(draws, len(part))))
    low, high = percentile_interval(drawn, ignore_nan=True)
    alone = other & ~one
    return {
        "tokens_one": float(tokens[one].mean()),
        "tokens_other": float(tokens[other].mean()),
        "tokens_alone": float(tokens[alone].mean()) if alone.any() else float("nan"),
        "longer": float(longer(np.arange(len(part))[None])[0]),
        "longer_low": float(low),
        "longer_high": float(high),
    }
