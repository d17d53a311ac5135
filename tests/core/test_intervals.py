"""The one percentile bootstrap: its numbers, and that it holds the truth as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.core.intervals import (
    bootstrap_weights,
    expanded_percentiles,
    mean_interval,
    percentile_interval,
    spearman,
    spearman_interval,
    student_draws,
)


def test_the_ends_are_the_percentiles_along_the_axis_of_the_draws():
    draws = np.stack([np.arange(201.0), np.arange(201.0) * 10], axis=1)  # (draws, columns)
    low, high = percentile_interval(draws, axis=0)
    assert low.tolist() == [5, 50]
    assert high.tolist() == [195, 1950]
    assert percentile_interval(draws[:, 0]).tolist() == [5, 195]


def test_a_missing_draw_spoils_the_interval_unless_it_is_left_out():
    draws = np.append(np.arange(201.0), np.nan)
    assert np.isnan(percentile_interval(draws)).all()
    assert percentile_interval(draws, ignore_nan=True).tolist() == [5, 195]


def test_weights_are_shares_of_the_draws_and_come_from_the_seed_alone():
    weights = bootstrap_weights(7, 400, seed=3)
    assert weights.shape == (400, 7)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    counts = weights * 7
    np.testing.assert_allclose(counts, counts.round())
    np.testing.assert_allclose(weights.mean(axis=0), 1 / 7, atol=0.03)
    assert (weights == bootstrap_weights(7, 400, seed=3)).all()
    assert (weights != bootstrap_weights(7, 400, seed=4)).any()


def test_the_interval_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(0).gamma(2, size=60)
    ours = mean_interval(values[:, None], 20_000, seed=0)[:, 0]
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=0
    ).confidence_interval
    np.testing.assert_allclose(ours, expected, atol=0.02)  # a width of about 0.7


def test_the_columns_of_a_mean_stay_paired():
    values = np.random.default_rng(1).normal(size=(40, 1)) * np.array([1.0, 2.0])
    low, high = mean_interval(values, 500, seed=0)
    np.testing.assert_allclose([low[1], high[1]], [2 * low[0], 2 * high[0]])


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(400):
        low, high = mean_interval(rng.normal(5, 2, size=(100, 1)), 300, seed)[:, 0]
        held += low <= 5 <= high
    assert 0.91 <= held / 400 <= 0.98


def test_spearman_is_scipys_with_the_interval_of_its_resamples():
    rng = np.random.default_rng(3)
    first = rng.normal(size=50)
    second = first + rng.normal(size=50)
    value, low, high = spearman(first, second, np.random.default_rng(0), 200)
    assert value == stats.spearmanr(first, second).statistic
    picks = np.random.default_rng(0).integers(0, 50, size=(200, 50))
    each = [stats.spearmanr(first[pick], second[pick]).statistic for pick in picks]
    np.testing.assert_allclose([low, high], np.percentile(each, [2.5, 97.5]))
    assert low < value < high


@pytest.mark.parametrize(
    ("first", "second"),
    [([1.0, 2, 3], [3.0, 1, 2]), ([1.0, 1, 1, 1, 1], [1.0, 2, 3, 4, 5])],
    ids=["three observations", "one that does not vary"],
)
def test_without_a_correlation_all_three_are_nan(first, second):
    values = spearman(np.array(first), np.array(second), np.random.default_rng(0), 100)
    assert np.isnan(values).all()


def test_a_resample_that_does_not_vary_is_left_out():
    first = np.array([[1.0, 2, 3, 4], [2, 2, 2, 2]])
    assert spearman_interval(first, first) == (1.0, 1.0)


def test_expanded_percentiles_widen_as_observations_get_few():
    low, high = expanded_percentiles(10**6, 1)
    assert (low, high) == (pytest.approx(2.5, abs=1e-3), pytest.approx(97.5, abs=1e-3))
    low, high = expanded_percentiles(10, 2)
    assert low == pytest.approx(100 * stats.norm.cdf(-np.sqrt(10 / 8) * stats.t.ppf(0.975, 8)))
    assert low + high == 100


def test_draws_of_a_line_are_students_interval():
    """The oracle: scipy's line with its standard error."""
    rng = np.random.default_rng(0)
    x, noise = np.arange(12.0), rng.normal(size=12)
    line = stats.linregress(x, 3 + 0.5 * x + noise)
    design = np.column_stack([np.ones(12), x])
    values, drawn, spread = student_draws(design, 3 + 0.5 * x + noise, 40_000, 0)
    assert values == pytest.approx([line.intercept, line.slope])
    reach = stats.t.ppf(0.975, 10) * line.stderr
    np.testing.assert_allclose(
        percentile_interval(drawn[:, 1]),
        [line.slope - reach, line.slope + reach],
        atol=0.03 * reach,
    )
    residuals = 3 + 0.5 * x + noise - design @ values
    assert np.median(spread**2) == pytest.approx(
        (residuals**2).sum() / stats.chi2.ppf(0.5, 10), rel=0.03
    )


def test_draws_do_not_move_along_what_the_design_does_not_vary_in():
    x = np.arange(8.0)
    design = np.column_stack([np.ones(8), x, 2 * x])  # the last two are one direction
    _, drawn, _ = student_draws(design, x + np.sin(x), 50, 0)
    across = drawn[:, 1] * 2 - drawn[:, 2]
    np.testing.assert_allclose(across, across[0], atol=1e-9)
