"""The forms of a law from shares to a loss: the least of all starts, and which roots rank best."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from sklearn.base import clone
from support.paths import ROOT

from workbench.scaling import surrogates

DATA = ROOT.parent / "shared" / "data" / "regmix"
regmix = pytest.mark.skipif(not DATA.is_dir(), reason="public measurements are not beside it")


def noisy(seed, runs=6):
    """So few runs of three domains that a fit may end beside the best one."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(3), size=runs)
    return shares, 2 + np.exp(shares @ rng.normal(0, 2, 3)) + 0.2 * rng.normal(size=runs)


def squares(law, shares, losses):
    return float(np.sum((law.predict(shares) - losses) ** 2))


def least_of_all(shares, losses):
    """Least squares from each of the eight floors, written out, without slopes."""
    costs = []
    for floor in losses.min() - np.geomspace(0.01, 30, 8) * np.ptp(losses):
        weights = np.linalg.lstsq(shares, np.log(losses - floor), rcond=None)[0]
        with np.errstate(over="ignore", invalid="ignore"):
            fit = optimize.least_squares(
                lambda values: values[0] + np.exp(shares @ values[1:]) - losses,
                [floor, *weights], x_scale="jac", method="lm", max_nfev=20_000,
            )  # fmt: skip
        costs.append(2 * fit.cost)
    return min(costs)


@pytest.mark.parametrize("seed", [0, 4])
def test_the_least_of_eight_starts_is_kept(seed):
    """With seed 4 the start that looks best ends at 1.8 times the least of all."""
    shares, losses = noisy(seed)
    law = surrogates.ExponentialLaw().fit(shares, losses)
    assert squares(law, shares, losses) <= least_of_all(shares, losses) * 1.001


def test_a_fit_to_another_draw_begins_at_the_fit_as_well():
    shares, losses = noisy(4)
    law = surrogates.surrogate("exponential", shares, losses)
    again = clone(law).fit(shares, losses)
    assert again.near == (law.floor_, *law.weights_)
    assert squares(again, shares, losses) == pytest.approx(squares(law, shares, losses), rel=1e-6)
    rows = [0, 1, 2, 3, 4, 4]
    other = clone(law).fit(shares[rows], losses[rows])
    least = surrogates.ExponentialLaw().fit(shares[rows], losses[rows])
    assert squares(other, shares[rows], losses[rows]) == pytest.approx(
        squares(least, shares[rows], losses[rows]), abs=1e-6
    )


@regmix
def test_square_roots_of_the_shares_rank_large_models_better_than_fourth_roots(monkeypatch):
    """.973 and .958 at 1 B, from 512 runs of 1 M."""

    def read(name):
        return pd.read_csv(DATA / f"{name}.csv", index_col="index")

    def shares(name):
        return read(name).pipe(lambda table: table.div(table.sum(axis=1), axis=0)).to_numpy()

    loss = "metric/the_pile_pile_cc_val_loss"
    measured = read("test_pile_loss_1B")[loss]
    ranks = {}
    for root in (0.5, 0.25):
        monkeypatch.setattr(surrogates, "ROOT", root)
        law = surrogates.surrogate(
            "kernel", shares("train_mixture_1m"), read("train_pile_loss_1m")[loss].to_numpy()
        )
        predicted = law.predict(shares("test_mixture_1B"))
        ranks[root] = stats.spearmanr(predicted, measured).statistic
    print(ranks)
    assert ranks[0.5] >= 0.97
    assert ranks[0.25] < 0.96
