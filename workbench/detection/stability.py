"""How sure a top set is: statistics of scores (probes, heads), with ties dealt fairly.

Ranking alone would let the order of the rows decide among heads of equal score. Here heads that tie
at the cut share the places that are left: with two places for three heads each is a member by 2/3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.intervals import bootstrap_weights, mean_interval, percentile_interval

DECIMALS = 12  # sums of the same numbers in another order differ after this, and are equal scores


def top_shares(scores: np.ndarray, size: int) -> np.ndarray:
    """Membership of each head in the top set: 1, 0, or a share for those that tie at the cut.

    Args:
        scores: scores (..., heads).
        size: how many heads the top set holds.

    Returns:
        Shares (..., heads); each row sums to size.
    """
    scores = np.round(scores, DECIMALS)
    cut = -np.partition(-scores, size - 1, axis=-1)[..., size - 1 : size]
    above, tied = scores > cut, scores == cut
    left = size - above.sum(axis=-1, keepdims=True)
    return above + tied * (left / tied.sum(axis=-1, keepdims=True))


def agreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Jaccard index of two top sets of equal size.

    With ties it is that of the expected overlap when either side breaks its ties by lot, so two
    sides that know nothing (all scores 0) agree by chance only.

    Args:
        first: shares (..., heads) of one top set, from `top_shares`.
        second: shares (..., heads) of the other.

    Returns:
        The index, (...), in [0, 1].
    """
    both = (first * second).sum(axis=-1)
    return both / (first.sum(axis=-1) + second.sum(axis=-1) - both)


def membership(per_probe: np.ndarray, size: int, draws: int, seed: int = 0) -> np.ndarray:
    """Probability that each head is in the top set when the probes are drawn anew (bootstrap).

    Args:
        per_probe: scores (probes, heads).
        size: how many heads the top set holds.
        draws: bootstrap draws.
        seed: seed of the draws.

    Returns:
        Probabilities (heads,).
    """
    total = np.zeros(per_probe.shape[1])
    for weights in _chunks(bootstrap_weights(len(per_probe), draws, seed)):
        total += top_shares(weights @ per_probe, size).sum(axis=0)
    return total / draws


def halves(per_probe: np.ndarray, size: int, draws: int, seed: int = 0) -> dict[str, float]:
    """Agreement of the top sets of two random halves of the probes.

    An odd probe is left out. A half holds fewer probes than the whole, so the whole agrees with a
    fresh sample of its own size better than this.

    Args:
        per_probe: scores (probes, heads).
        size: how many heads the top set holds.
        draws: how many times the probes are halved.
        seed: seed of the draws.

    Returns:
        jaccard: the mean agreement; low, high: its 95 % range.
    """
    count = len(per_probe)
    order = _orders(count, draws, seed)
    first, second = order[:, : count // 2], order[:, count // 2 : 2 * (count // 2)]
    return _summary(agreement(_tops(per_probe, first, size), _tops(per_probe, second, size)))


def count_series(per_probe: np.ndarray, size: int, draws: int, seed: int = 0) -> pd.DataFrame:
    """Agreement with the set of all probes by number of probes: 4, 8, 16 ... and all.

    Subsets are parts of the whole, so the last steps are higher than fresh probes would give, and
    all is 1 by construction (if no heads tie at the cut).

    Args:
        per_probe: scores (probes, heads).
        size: how many heads the top set holds.
        draws: random subsets of each number of probes.
        seed: seed of the draws.

    Returns:
        One row a number of probes: probes, jaccard (mean over random subsets), low and high (95 %
        range).
    """
    count = len(per_probe)
    whole = top_shares(per_probe.mean(axis=0), size)
    order, rows = _orders(count, draws, seed), []
    steps = [4 * 2**i for i in range(32) if 4 * 2**i < count]
    for step in steps:
        summary = _summary(agreement(_tops(per_probe, order[:, :step], size), whole))
        rows.append({"probes": step, **summary})
    own = float(agreement(whole, whole))
    rows.append({"probes": count, "jaccard": own, "low": own, "high": own})
    return pd.DataFrame(rows)


def gap_at_cut(per_probe: np.ndarray, size: int, draws: int, seed: int = 0) -> dict[str, Any]:
    """The scores beside the cut and how sure their order is.

    Args:
        per_probe: scores (probes, heads).
        size: how many heads the top set holds.
        draws: bootstrap draws.
        seed: seed of the draws.

    Returns:
        at_cut, after_cut: the last score inside and the first outside (last and first: their
        columns); difference, and its standard_error over resampled probes; swapped: how often the
        order is turned round (a tie counts half); probes_needed: with how many probes the same
        difference would be two standard errors (None if there is no difference).
    """
    mean = np.round(per_probe.mean(axis=0), DECIMALS)
    ranked = np.argsort(-mean, kind="stable")
    last, first = int(ranked[size - 1]), int(ranked[size])
    drawn = bootstrap_weights(len(per_probe), draws, seed) @ (
        per_probe[:, last] - per_probe[:, first]
    )
    drawn = np.round(drawn, DECIMALS)
    difference, error = float(mean[last] - mean[first]), float(drawn.std(ddof=1))
    needed = None
    if difference > 0:
        needed = max(2, int(np.ceil(len(per_probe) * (2 * error / difference) ** 2)))
    return {
        "at_cut": float(mean[last]), "after_cut": float(mean[first]), "last": last, "first": first,
        "difference": difference, "standard_error": error,
        "swapped": float((drawn < 0).mean() + (drawn == 0).mean() / 2), "probes_needed": needed,
    }  # fmt: skip


def paired_change(
    before: np.ndarray, after: np.ndarray, draws: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of before - after over paired probes, and its 95 % bootstrap interval.

    Args:
        before: scores (probes, heads).
        after: scores (probes, heads) of the same probes in the same order.
        draws: bootstrap draws.
        seed: seed of the draws.

    Returns:
        The mean, and the low and high end of its interval, (heads,) each.
    """
    difference = before - after
    low, high = mean_interval(difference, draws, seed)
    return difference.mean(axis=0), np.round(low, DECIMALS), np.round(high, DECIMALS)


def _orders(count: int, draws: int, seed: int) -> np.ndarray:
    """Random orders of the probes, (draws, count)."""
    return np.random.default_rng(seed).permuted(np.tile(np.arange(count), (draws, 1)), axis=1)


def _tops(per_probe: np.ndarray, chosen: np.ndarray, size: int) -> np.ndarray:
    """Shares (draws, heads) of the top sets of the chosen probes (draws, n)."""
    weights = np.zeros((len(chosen), len(per_probe)))
    np.put_along_axis(weights, chosen, 1 / chosen.shape[1], axis=1)
    return np.concatenate([top_shares(part @ per_probe, size) for part in _chunks(weights)])


def _chunks(weights: np.ndarray, rows: int = 500) -> Iterator[np.ndarray]:
    """Parts of the draws: thousands of draws x heads of a large model do not fit in memory."""
    for start in range(0, len(weights), rows):
        yield weights[start : start + rows]


def _summary(values: np.ndarray) -> dict[str, float]:
    low, high = percentile_interval(values)
    return {"jaccard": float(values.mean()), "low": float(low), "high": float(high)}
