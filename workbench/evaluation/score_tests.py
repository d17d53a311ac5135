"""Does a column of scores find what it is to find? Tests where the truth is known.

Each column of a table is tried on documents that are wanted and others that are not: how well it
tells them apart (the area under the ROC curve), whether it still does between documents that are
alike in base loss, repetition and length, and what it would choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from workbench.core.frames import TableLike, as_html, frame_of
from workbench.core.intervals import bootstrap_weights, percentile_interval

MATCHED_ON = ("loss_base", "repeated", "tokens")
EVERY = "all others"
AUC, MATCHED, CHOSEN = "AUC", "matched AUC", "share of the chosen"
COLUMNS = ["column", "measure", "against", "value", "low", "high", "wanted", "others", "missing",
           "tied"]  # fmt: skip


class _LeftOut(NamedTuple):
    column: str
    measure: str
    against: str
    reason: str


@dataclass(frozen=True, repr=False)
class ScoreTests:
    """How columns of scores did.

    Attributes:
        frame: one row a column and test: column; measure; against (the kind of other text);
            value with low and high (95 % percentile bootstrap over documents, or over pairs);
            wanted and others (documents with a value); missing (documents without one); tied (share
            of the compared pairs, or of the chosen documents, that a tie decides). Measures: "AUC":
            the chance that a wanted document lies above another one, ties half; "matched AUC": the
            same between the two sides of pairs of documents that are alike; "AUC less that of X":
            paired difference on the same documents; "share of the chosen": of a kind (`against`)
            among the documents that a cut by this column takes.
        matching: one row a property: property, pairs (that remain), before and after (difference
            of the means of wanted and other documents, in standard deviations).
        left_out: column, measure, against and reason of what has no row.
    """

    frame: pd.DataFrame
    matching: pd.DataFrame
    left_out: pd.DataFrame

    def rows(self, measure: str, against: str = EVERY) -> pd.DataFrame:
        """The rows of one test, one a column.

        Args:
            measure: as in `frame`.
            against: as in `frame`.

        Returns:
            The rows, in the order of the columns.

        Raises:
            ValueError: there are none.
        """
        frame = self.frame
        rows = frame[(frame["measure"] == measure) & (frame["against"] == against)]
        if rows.empty:
            tests = frame[["measure", "against"]].drop_duplicates().to_numpy()
            known = ", ".join(f"{name!r} against {other!r}" for name, other in tests)
            raise ValueError(
                f"no row is {measure!r} against {against!r}; there are {known or 'none'}"
            )
        return rows.reset_index(drop=True)

    def __repr__(self) -> str:
        gaps = "".join(
            f"\nleft out: {row.column}, {row.measure}, {row.against}: {row.reason}"
            for row in self.left_out.itertuples()
        )
        return f"{self._heading()}\n{self._wide().to_string()}{gaps}"

    def _repr_html_(self) -> str:
        gaps = as_html("left out:", self.left_out) if len(self.left_out) else ""
        return as_html(self._heading(), self._wide(), index=True) + gaps

    def _heading(self) -> str:
        columns = self.frame["column"].nunique()
        pairs = f"; {self.matching['pairs'].iloc[0]} matched pairs" if len(self.matching) else ""
        return f"Score tests: {columns} columns{pairs}"

    def _wide(self) -> pd.DataFrame:
        """A row a column and a column a test: value [low, high]."""
        frame = self.frame
        numbers = frame[["value", "low", "high"]].itertuples(index=False)
        cells = [f"{value:.2f} [{low:.2f}, {high:.2f}]" for value, low, high in numbers]
        tests = frame["measure"] + ", " + frame["against"]
        wide = pd.DataFrame({"column": frame["column"], "test": tests, "cell": cells})
        wide = wide.pivot(index="column", columns="test", values="cell").fillna("")
        return wide.loc[frame["column"].unique(), tests.unique()]


def judge_scores(
    table: TableLike,
    wanted: Sequence[str],
    columns: Sequence[str],
    *,
    kind: str = "kind",
    match: Sequence[str] = MATCHED_ON,
    caliper: float = 0.3,
    fraction: float | None = None,
    baselines: Sequence[str] = (),
    draws: int = 1000,
    seed: int = 0,
) -> ScoreTests:
    """Try columns of scores on documents of known kinds.

    Missing values are counted and never imputed: a document without a value takes no part in an
    AUC, and a cut does not choose it.

    Args:
        table: one row a document, with its kind, the columns, and what is matched on.
        wanted: the kinds that a score is to find; every other kind is to lie below.
        columns: numeric columns, higher is chosen first; a minus in front ("-loss_base") turns one
            around.
        kind: the column with the kinds.
        match: numeric columns in which the documents of a pair have to be alike; (): no matching.
            Pairs are formed once, for all columns of scores, one wanted document with one other, so
            that the sum of distances is least (Euclidean, in standard deviations).
        caliper: two documents are alike if they differ in no matched column by more than so many
            standard deviations.
        fraction: share of the documents that a cut takes (of all, those without a value included);
            None: no cut.
        baselines: columns (of `columns`) from which the AUC of each other column is taken off, on
            the documents and draws of both.
        draws: bootstrap draws.
        seed: of the draws, and of the order of ties at the cut.

    Returns:
        The tests. What cannot be formed (a column without values, or the same for all; no pair that
        is alike) is left out with a reason.

    Raises:
        ValueError: a column is missing or not numeric, or there are not two documents of a wanted
            kind and two others.
    """
    frame = frame_of(table).reset_index(drop=True)
    if isinstance(wanted, str) or isinstance(columns, str) or not columns:
        raise ValueError(
            f"wanted and columns are lists of names, got {wanted!r} and {columns!r}: put [] around"
        )
    values = {name: _numbers(frame, name) for name in dict.fromkeys((*columns, *baselines))}
    properties = {name: _numbers(frame, name) for name in match}
    if kind not in frame:
        raise ValueError(f"the table has no column {kind!r} with the kinds of its documents")
    if not caliper > 0 or (fraction is not None and not 0 < fraction < 1) or draws < 1:
        raise ValueError(
            f"caliper and draws are positive, and fraction between 0 and 1; got {caliper}, {draws} "
            f"and {fraction}"
        )
    kinds = frame[kind].astype(str).to_numpy()
    is_wanted = np.isin(kinds, list(wanted))
    if is_wanted.sum() < 2 or (~is_wanted).sum() < 2:
        raise ValueError(
            f"a test needs two documents of a wanted kind and two others, got {is_wanted.sum()} "
            f"of {', '.join(map(str, wanted)) or 'no kind'} and {(~is_wanted).sum()} others: the "
            f"kinds here are {', '.join(sorted(set(kinds)))}"
        )
    tests = _Tests(values, kinds, is_wanted, draws, seed)
    for name in columns:
        tests.auc(name, EVERY, np.ones(len(frame), bool))
        for other in sorted(set(kinds[~is_wanted])):
            tests.auc(name, other, is_wanted | (kinds == other))
        if len(set(kinds[is_wanted])) > 1:
            for part in sorted(set(kinds[is_wanted])):
                tests.auc(name, f"{part} against {EVERY}", ~is_wanted | (kinds == part))
    for baseline in baselines:
        for name in columns:
            if name != baseline:
                tests.difference(name, baseline)
    matching = pd.DataFrame(columns=["property", "pairs", "before", "after"])
    if match:
        pairs = _pairs(properties, is_wanted, caliper)
        matching = _balance(properties, is_wanted, pairs)
        for name in columns:
            tests.matched(name, pairs)
    if fraction is not None:
        for name in columns:
            tests.chosen(name, fraction)
    return ScoreTests(
        pd.DataFrame(tests.rows, columns=COLUMNS), matching,
        pd.DataFrame(tests.left_out, columns=list(_LeftOut._fields)),
    )  # fmt: skip


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """The values of a column as floats, NaN where missing or infinite; "-x" is x turned around."""
    column = name.removeprefix("-") if name not in frame else name
    if column not in frame:
        known = ", ".join(map(str, frame.columns))
        raise ValueError(f"the table has no column {column!r}; it has {known}")
    try:
        numbers = frame[column].to_numpy(float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the column {column!r} does not hold numbers: {error}") from error
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    return numbers if column == name else -numbers


class _Tests:
    """The tests of one table, whose rows and gaps are gathered as they come."""

    def __init__(
        self,
        values: dict[str, np.ndarray],
        kinds: np.ndarray,
        is_wanted: np.ndarray,
        draws: int,
        seed: int,
    ) -> None:
        self.values, self.kinds, self.is_wanted = values, kinds, is_wanted
        self.draws, self.seed = draws, seed
        self.rows: list[tuple] = []
        self.left_out: list[_LeftOut] = []

    def auc(self, name: str, against: str, among: np.ndarray) -> None:
        values = self.values[name]
        there = among & ~np.isnan(values)
        wanted, others = values[there & self.is_wanted], values[there & ~self.is_wanted]
        if not self._can(name, AUC, against, wanted, others):
            return
        above, tied = _above(wanted, others)
        low, high = percentile_interval(self._resampled(above))
        self._row(name, AUC, against, float(above.mean()), low, high, len(wanted), len(others),
                  int(among.sum() - there.sum()), tied)  # fmt: skip

    def difference(self, name: str, baseline: str) -> None:
        """Paired: the same documents, and the same resamples of them."""
        measure = f"{AUC} less that of {baseline}"
        first, second = self.values[name], self.values[baseline]
        there = ~np.isnan(first) & ~np.isnan(second)
        sides = there & self.is_wanted, there & ~self.is_wanted
        if not all(
            self._can(name, measure, EVERY, *(v[side] for side in sides)) for v in (first, second)
        ):
            return
        above, tied = _above(*(first[side] for side in sides))
        less = above - _above(*(second[side] for side in sides))[0]
        low, high = percentile_interval(self._resampled(less))
        self._row(name, measure, EVERY, float(less.mean()), low, high, int(sides[0].sum()),
                  int(sides[1].sum()), int((~there).sum()), tied)  # fmt: skip

    def matched(self, name: str, pairs: np.ndarray) -> None:
        values = self.values[name][pairs]
        there = ~np.isnan(values).any(axis=1)
        if not self._can(name, MATCHED, EVERY, *values[there].T):
            return
        above, tied = _above(*values[there].T)
        weights = bootstrap_weights(len(above), self.draws, self.seed)  # of pairs, on both sides
        low, high = percentile_interval(((weights @ above) * weights).sum(axis=1))
        self._row(name, MATCHED, EVERY, float(above.mean()), low, high, len(above), len(above),
                  int((~there).sum()), tied)  # fmt: skip

    def chosen(self, name: str, fraction: float) -> None:
        """What the highest documents are; ties in an order drawn from the seed."""
        values = self.values[name]
        there = np.flatnonzero(~np.isnan(values))
        wanted, others = (values[there[side[there]]] for side in (self.is_wanted, ~self.is_wanted))
        if not self._can(name, CHOSEN, EVERY, wanted, others, least=1):
            return
        shuffled = np.random.default_rng(self.seed).permutation(there)
        order = shuffled[np.argsort(-values[shuffled], kind="stable")]
        weights = bootstrap_weights(len(values), self.draws, self.seed)[:, order]
        # How much of each document's weight lies above the cut, in every resample.
        before = np.cumsum(weights, axis=1) - weights
        taken = np.clip(fraction - before, 0, weights)
        size = max(round(fraction * len(values)), 1)
        picked = order[:size]
        tied = float((values[picked] == values[picked[-1]]).mean())
        if size >= len(order) or values[order[size]] != values[picked[-1]]:
            tied = 0.0  # what ties is taken as a whole
        for part in sorted(set(self.kinds)):
            share = float((self.kinds[picked] == part).mean())
            draws = taken[:, self.kinds[order] == part].sum(axis=1) / taken.sum(axis=1)
            self._row(name, CHOSEN, part, share, *percentile_interval(draws), len(wanted),
                      len(others), len(values) - len(there), tied)  # fmt: skip

    def _resampled(self, above: np.ndarray) -> np.ndarray:
        """The mean of a (wanted, others) matrix in every resample of both."""
        wanted = bootstrap_weights(above.shape[0], self.draws, self.seed)
        others = bootstrap_weights(above.shape[1], self.draws, self.seed + 1)
        return ((wanted @ above) * others).sum(axis=1)

    def _row(self, *row: object) -> None:
        self.rows.append(row)

    def _can(
        self, name: str, measure: str, against: str, wanted: np.ndarray, others: np.ndarray,
        least: int = 2,
    ) -> bool:  # fmt: skip
        reason = None
        if min(len(wanted), len(others)) < least:
            reason = (
                f"{len(wanted)} wanted and {len(others)} other documents have a value, {least} of "
                "each are needed"
            )
        elif not np.ptp(np.concatenate([wanted, others])) > 0:
            reason = "the value is the same for all documents"
        if reason is not None:
            self.left_out.append(_LeftOut(name, measure, against, reason))
        return reason is None


def _above(wanted: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, float]:
    """1 where a wanted document lies above another, .5 where they tie; and the share of ties."""
    equal = wanted[:, None] == others
    return (wanted[:, None] > others) + equal / 2, float(equal.mean())


def _pairs(properties: dict[str, np.ndarray], is_wanted: np.ndarray, caliper: float) -> np.ndarray:
    """Rows of alike documents, (pairs, 2): a wanted one and another, each in one pair at most."""
    matrix = np.stack(list(properties.values()), axis=1)
    spread = np.nanstd(matrix, axis=0)
    scaled = matrix / np.where(spread > 0, spread, 1)
    there = ~np.isnan(scaled).any(axis=1)
    wanted, others = np.flatnonzero(is_wanted & there), np.flatnonzero(~is_wanted & there)
    apart = np.abs(scaled[wanted][:, None] - scaled[others])
    alike = apart.max(axis=2) <= caliper
    # One pair that is not alike costs more than all that are, so that as many as can be are.
    cost = np.where(alike, np.sqrt((apart**2).sum(axis=2)), 1e6)
    first, second = linear_sum_assignment(cost)
    kept = alike[first, second]
    return np.stack([wanted[first[kept]], others[second[kept]]], axis=1)


def _balance(
    properties: dict[str, np.ndarray], is_wanted: np.ndarray, pairs: np.ndarray
) -> pd.DataFrame:
    rows = []
    for name, values in properties.items():
        spread = np.nanstd(values) or 1.0
        before = (np.nanmean(values[is_wanted]) - np.nanmean(values[~is_wanted])) / spread
        after = (values[pairs[:, 0]] - values[pairs[:, 1]]).mean() / spread if len(pairs) else None
        rows.append((name, len(pairs), before, after))
    return pd.DataFrame(rows, columns=["property", "pairs", "before", "after"])
