"""How far two rankings of the same documents agree: over all of them, and at the cut.

The selector's size, the number of probes behind its heads, and how much of a document it reads are
choices; a selection is worth trusting where it changes little with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from workbench.core.frames import TableLike, frame_of
from workbench.core.intervals import LEAST, spearman
from workbench.core.text import counted
from workbench.selection.ranking import By, select

KEY = ["domain", "source", "row"]


def agreement(
    one: TableLike,
    other: TableLike,
    fraction: float = 0.20,
    by: By = "documents",
    *,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Spearman correlation and overlap of the chosen documents of two score tables, by domain.

    Args:
        one: a score table, or a frame with its columns.
        other: another for the same corpus; documents that only one of them holds are left out of
            both, and counted.
        fraction: share to choose in every domain, as in `select`.
        by: "documents" or "tokens", what the share is of, as in `select`.
        draws: resamples of the bootstrap.
        seed: of the bootstrap.

    Returns:
        One row a domain: domain, documents (in both), left_out, spearman with low and high (95 %
        percentile bootstrap over documents; NaN below four documents or for a constant score),
        chosen (by `one`), overlap (the share of these that `other` chooses too; two rankings that
        know nothing of each other agree by `fraction` on average), and reason (why there is no
        correlation; else empty).

    Raises:
        ValueError: when the tables have no document in common or differ in the text of one.
        TypeError: one of them is neither a score table nor a frame.
    """
    one, other = frame_of(one), frame_of(other)
    both = in_common(one[[*KEY, "text_sha256"]], other)
    first, second = (
        select(table.merge(both[KEY], on=KEY), fraction, by).table.sort_values(KEY)
        for table in (one, other)
    )
    every = pd.concat([one[KEY], other[KEY]]).drop_duplicates()
    rng = np.random.default_rng(seed)
    rows = []
    for domain, first_part in first.groupby("domain", sort=True):
        second_part = second[second["domain"] == domain]
        a, b = first_part["score"].to_numpy(), second_part["score"].to_numpy()
        value, low, high = spearman(a, b, rng, draws)
        chosen = first_part["selected"].to_numpy()
        shared = float((chosen & second_part["selected"].to_numpy()).sum() / chosen.sum())
        left_out = int((every["domain"] == domain).sum()) - len(a)
        size = int(chosen.sum())
        rows.append((domain, len(a), left_out, value, low, high, size, shared, _why(a, b)))
    columns = [
        "domain", "documents", "left_out", "spearman", "low", "high", "chosen", "overlap", "reason",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _why(one: np.ndarray, other: np.ndarray) -> str:
    """Why two scores have no correlation; empty if they have one."""
    if len(one) < LEAST:
        return f"{counted(len(one), 'document')} in both; a correlation needs {LEAST}"
    return without_variation({"the first score": one, "the second score": other})


def without_variation(named: Mapping[str, np.ndarray]) -> str:
    """Which of some values of documents is the same in all of them, in words.

    Args:
        named: what the values are to their values, (documents,) each.

    Returns:
        Of the first that does not vary; empty if all vary.
    """
    level = (name for name, values in named.items() if not np.ptp(values) > 0)
    return next((f"{name} is the same in all documents" for name in level), "")


def in_common(
    one: pd.DataFrame,
    other: pd.DataFrame,
    name: str = "the other table",
    columns: Sequence[str] = (),
) -> pd.DataFrame:
    """The documents of a score table that another one holds, too.

    Args:
        one: rows with `KEY` and text_sha256.
        other: rows with the same columns.
        name: what `other` is called in an error.
        columns: columns of `other` that are wanted beside those of `one`.

    Returns:
        The rows of `one` whose document is in `other`, and these columns.

    Raises:
        ValueError: there is none, or one has another text in the other table.
    """
    theirs = other[[*KEY, "text_sha256", *columns]].rename(columns={"text_sha256": "text_there"})
    both = one.merge(theirs, on=KEY)
    if both.empty:
        here, there = (sorted(set(table["source"]))[:3] for table in (one, other))
        raise ValueError(
            f"{name} has no document (domain, source, row) in common with the first one: its "
            f"sources are {there!r:.200}, those of the first {here!r:.200}. Score the same corpus "
            "with both, given by the same paths"
        )
    differing = int((both["text_sha256"] != both.pop("text_there")).sum())
    if differing:
        raise ValueError(
            f"{differing} documents have another text in {name}: score the same corpus with both"
        )
    return both


def agreement_along(
    tables: Mapping[float, TableLike],
    setting: str,
    fraction: float = 0.20,
    by: By = "documents",
) -> pd.DataFrame:
    """Compare each score table with that of the largest setting, by `agreement`.

    Args:
        tables: setting (parameters of the selector, number of probes, tokens read of a document) ->
            score table.
        setting: name of the setting, and of its column.
        fraction: share to choose in every domain, as in `select`.
        by: "documents" or "tokens", what the share is of, as in `select`.

    Returns:
        The rows of `agreement` with the setting as first column, under its name; the largest itself
        is left out, since it agrees with itself.

    Raises:
        ValueError: for fewer than two tables, and where `agreement` would.
    """
    if len(tables) < 2:
        raise ValueError(f"agreement needs tables at two settings or more, got {len(tables)}")
    *smaller, largest = sorted(tables)
    parts = []
    for value in smaller:
        part = agreement(tables[value], tables[largest], fraction, by)
        part.insert(0, setting, value)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
