"""95 % intervals by resampling: the percentile bootstrap, and what it is put around."""

from __future__ import annotations

import numpy as np
from scipy import stats

TWO_SIDED_95 = (2.5, 97.5)  # percentiles between which 95 % of the draws lie
LEAST = 4  # observations, below which a correlation says nothing


def percentile_interval(
    draws: np.ndarray, axis: int | None = None, *, ignore_nan: bool = False
) -> np.ndarray:
    """The 2.5 and 97.5 percentiles of draws, the ends of a 95 % interval.

    Args:
        draws: values of a statistic, one a draw along `axis`; any shape.
        axis: along which the draws lie; None: all values are draws of one statistic.
        ignore_nan: leave out draws that are NaN; otherwise one NaN makes both ends NaN.

    Returns:
        The low and the high end, shape (2, *the shape of `draws` without `axis`), in its unit.
    """
    percentile = np.nanpercentile if ignore_nan else np.percentile
    return percentile(draws, TWO_SIDED_95, axis=axis)


def expanded_percentiles(observations: int, parameters: int) -> tuple[float, float]:
    """Percentiles of resampled fits that make a 95 % interval.

    Plain ones (2.5, 97.5) are too narrow for few observations: a resample scatters less by the
    factor sqrt((n - p) / n), and the scatter is itself an estimate. Hesterberg's expanded
    percentiles (arXiv 1411.5279, section 5.3) make up for both, here with p parameters for his one.

    Args:
        observations: n, more than `parameters`.
        parameters: p, how many were fitted.

    Returns:
        The lower and the upper percentile, from 0 to 100. Draws of fewer than 200 fits give
        intervals that are narrower by about one percent.
    """
    free = observations - parameters
    reach = np.sqrt(observations / free) * stats.t.ppf(1 - TWO_SIDED_95[0] / 100, free)
    tail = 100 * float(stats.norm.cdf(-reach))
    return tail, 100 - tail


def student_draws(
    design: np.ndarray, target: np.ndarray, draws: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares, with draws whose percentiles are Student's intervals.

    Draws in place of a formula give the interval of whatever is worked out from the coefficients.

    Args:
        design: one column a coefficient, shape (observations, coefficients).
        target: shape (observations,), more of them than coefficients.
        draws: number of draws.
        seed: of the random generator.

    Returns:
        The coefficients, shape (coefficients,); their draws, shape (draws, coefficients), which do
        not move along directions in which the design does not vary; and the standard deviation of
        an observation in each draw, shape (draws,).
    """
    values, _, _, sizes = np.linalg.lstsq(design, target, rcond=None)
    rng = np.random.default_rng(seed)
    residuals = target - design @ values
    free = len(target) - design.shape[1]
    spread = np.sqrt((residuals**2).sum() / rng.chisquare(free, draws))
    _, lengths, axes = np.linalg.svd(design, full_matrices=False)
    steps = axes.T / np.where(lengths > 1e-12 * sizes.max(), lengths, np.inf)
    normal = rng.normal(size=(draws, design.shape[1]))
    return values, values + spread[:, None] * (normal @ steps.T), spread


def bootstrap_weights(count: int, draws: int, seed: int) -> np.ndarray:
    """Weights of observations in resamples of their own number, drawn with replacement.

    Weights in place of indices make the means of all resamples one matrix product.

    Args:
        count: number of observations.
        draws: number of resamples.
        seed: of the random generator.

    Returns:
        Shape (draws, count): how often each observation is drawn, divided by `count`; each row
        sums to 1.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, [1 / count] * count, size=draws) / count


def mean_interval(values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """95 % percentile bootstrap interval of the mean over observations.

    Args:
        values: one row an observation, shape (observations, columns); the columns are resampled
            together, so that they stay paired.
        draws: number of resamples.
        seed: of the random generator.

    Returns:
        The low and the high end of each column's mean, shape (2, columns), in the unit of `values`.
    """
    return percentile_interval(bootstrap_weights(len(values), draws, seed) @ values, axis=0)


def spearman(
    first: np.ndarray, second: np.ndarray, rng: np.random.Generator, draws: int
) -> tuple[float, float, float]:
    """Spearman's correlation with its 95 % percentile bootstrap interval.

    Args:
        first: one value an observation, shape (observations,).
        second: the other value of each, in the same order.
        rng: from which the resamples are drawn.
        draws: number of resamples.

    Returns:
        The correlation, the low and the high end of its interval; all three NaN below LEAST
        observations, or where one of the two does not vary.
    """
    if len(first) < LEAST or not np.ptp(first) > 0 or not np.ptp(second) > 0:
        return (float("nan"),) * 3
    picks = rng.integers(0, len(first), size=(draws, len(first)))
    return float(stats.spearmanr(first, second).statistic), *spearman_interval(
        first[picks], second[picks]
    )


def spearman_interval(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """95 % interval of Spearman's correlation from resamples that are drawn already.

    Args:
        first: values of one variable, shape (resamples, observations).
        second: values of the other, of the same observations in the same order.

    Returns:
        The low and the high end. A resample in which one of the two does not vary has no
        correlation and is left out.
    """
    a, b = stats.rankdata(first, axis=1), stats.rankdata(second, axis=1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a resample may hold one document only
        values = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    low, high = percentile_interval(values, ignore_nan=True)
    return float(low), float(high)
