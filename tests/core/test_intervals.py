"""The one percentile bootstrap: its numbers, and that it holds the truth as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.core.intervals import (
    bootstrap_weights,
    mean_interval,
    percentile_interval,
    spearman,
    spearman_interval,
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
