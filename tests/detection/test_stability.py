"""How sure a head set is: membership, halves and the gap at the cut against slow loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from workbench.core.intervals import bootstrap_weights
from workbench.detection import stability


def shares_by_loop(scores, size):
    """Membership as the mean over every order in which ties could be broken."""
    total, orders = np.zeros(len(scores)), 0
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            total[list(order[:size])] += 1
            orders += 1
    return total / orders


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "scores",
    [[5, 4, 3, 2, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [3, 2, 2, 2, 1], [0.3, 0.3, 1, 0, 2]],
)
def test_tied_heads_share_the_places_that_are_left(scores, size):
    shares = stability.top_shares(np.array(scores, dtype=float), size)
    np.testing.assert_allclose(shares, shares_by_loop(scores, size))
    assert shares.sum() == pytest.approx(size)


def test_sums_in_another_order_still_tie():
    rising, falling = 0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1
    assert rising != falling
    assert stability.top_shares(np.array([rising, falling, 0.0]), 1).tolist() == [0.5, 0.5, 0.0]


def test_membership_equals_a_loop_over_the_same_draws():
    rng = np.random.default_rng(1)
    per_probe = rng.integers(0, 4, size=(9, 6)) / 4
    expected = np.zeros(6)
    for weights in bootstrap_weights(9, 300, seed=5):
        drawn = [i for i, w in enumerate(weights) for _ in range(round(w * 9))]
        assert len(drawn) == 9
        mean = [round(sum(per_probe[i, h] for i in drawn) / 9, 9) for h in range(6)]
        expected += shares_by_loop(mean, 2) / 300
    np.testing.assert_allclose(stability.membership(per_probe, 2, 300, seed=5), expected)


def test_agreement_is_the_jaccard_index_and_chance_when_nothing_is_known():
    sets = np.array([[1, 1, 0, 0.0], [1, 0, 1, 0.0], [0, 0, 1, 1.0]])
    assert stability.agreement(sets[0], sets[1]) == pytest.approx(1 / 3)
    assert stability.agreement(sets[0], sets[0]) == 1
    assert stability.agreement(sets[0], sets[2]) == 0
    unknown = stability.top_shares(np.zeros(100), 10)
    assert stability.agreement(unknown, unknown) == pytest.approx(1 / 19)  # 1 of 10 in common


def test_halves_and_counts_equal_all_splits_of_few_probes():
    rng = np.random.default_rng(0)
    per_probe = rng.integers(0, 5, size=(6, 5)) / 5 + np.array([1, 0.6, 0.4, 0.2, 0])
    values = []
    for half in itertools.combinations(range(6), 3):
        rest = [i for i in range(6) if i not in half]
        tops = [shares_by_loop(np.round(per_probe[list(s)].mean(0), 9), 2) for s in (half, rest)]
        both = (tops[0] * tops[1]).sum()
        values.append(both / (4 - both))
    halves = stability.halves(per_probe, 2, 4000)
    assert halves["jaccard"] == pytest.approx(np.mean(values), abs=0.02)
    whole = shares_by_loop(np.round(per_probe.mean(0), 9), 2)
    subset = []
    for chosen in itertools.combinations(range(6), 4):
        both = (shares_by_loop(np.round(per_probe[list(chosen)].mean(0), 9), 2) * whole).sum()
        subset.append(both / (4 - both))
    counts = stability.count_series(per_probe, 2, 4000)
    assert counts["probes"].tolist() == [4, 6]
    assert counts["jaccard"][0] == pytest.approx(np.mean(subset), abs=0.02)
    assert counts["jaccard"][1] == 1


def test_the_gap_is_set_against_its_standard_error():
    rng = np.random.default_rng(0)
    per_probe = np.stack([rng.normal(mean, 0.1, 400) for mean in (0.5, 0.3, 0.1)], axis=1)
    gap = stability.gap_at_cut(per_probe, 2, 2000)
    assert (gap["last"], gap["first"]) == (1, 2)
    assert gap["difference"] == pytest.approx(0.2, abs=0.02)
    assert gap["standard_error"] == pytest.approx(0.1 * np.sqrt(2 / 400), rel=0.15)
    assert gap["swapped"] == 0
    assert gap["probes_needed"] == pytest.approx(
        400 * (2 * gap["standard_error"] / 0.2) ** 2, abs=2
    )


def test_a_paired_change_has_the_interval_of_its_mean():
    rng = np.random.default_rng(2)
    before = rng.normal(1.0, 3.0, (400, 2))
    after = before - rng.normal([0.2, 0.0], 0.5, (400, 2))
    value, low, high = stability.paired_change(before, after, 2000)
    difference = before - after
    np.testing.assert_allclose(value, difference.mean(axis=0))
    error = stats.sem(difference)  # of pairs: what both hold takes no part
    np.testing.assert_allclose(low, value - 1.96 * error, atol=0.01)
    np.testing.assert_allclose(high, value + 1.96 * error, atol=0.01)
