"""Intervals by resampling, and what they are put around."""

from __future__ import annotations

import numpy as np
from scipy import stats


def spearman(
    one: np.ndarray, other: np.ndarray, rng: np.random.Generator, draws: int
) -> tuple[float, float, float]:
    """Spearman's correlation with its 95 % percentile bootstrap interval over documents.

    NaN below four documents, or where one of the two does not vary.
    """
    if len(one) < 4 or not np.ptp(one) > 0 or not np.ptp(other) > 0:
        return (float("nan"),) * 3
    picks = rng.integers(0, len(one), size=(draws, len(one)))
    return float(stats.spearmanr(one, other).statistic), *spearman_interval(
        one[picks], other[picks]
    )


def spearman_interval(score: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 percentiles of Spearman's correlation over resamples, (resamples, documents)."""
    a, b = stats.rankdata(score, axis=1), stats.rankdata(other, axis=1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a resample may hold one document only
        values = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
