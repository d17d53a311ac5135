"""The linear fit from a training mixture to a loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.paths import ROOT

import workbench as wb

DATA = ROOT.parent / "shared" / "data" / "regmix"
LOSS = "metric/the_pile_pile_cc_val_loss"


def made(count=60, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    shares = pd.DataFrame(rng.dirichlet(np.ones(4), size=count), columns=list("abcd"))
    weights = pd.Series({"a": 1.0, "b": -0.5, "c": 0.25, "d": 0.0})
    return shares, 3 + shares @ weights + noise * rng.normal(size=count)


def test_a_linear_truth_comes_back():
    shares, losses = made()
    fit = wb.fit_mixture(shares, losses)
    fresh, truth = made(seed=1)
    np.testing.assert_allclose(fit.predict(fresh), truth, atol=1e-9)
    assert fit.rank_correlation(fresh, truth) == pytest.approx(1)
    assert fit.weights.round(9).tolist() == [4, 2.5, 3.25, 3]
    np.testing.assert_allclose(fit.predict(fresh[list("dcba")]), truth, atol=1e-9)


@pytest.mark.skipif(not DATA.is_dir(), reason="public measurements are not beside the project")
@pytest.mark.parametrize(("size", "printed"), [("1m", 90.2), ("60m", 89.3), ("1B", 88.1)])
def test_regmix(size, printed):
    """Fitted on 512 models of 1M parameters, it ranks mixtures for larger ones as published."""

    def read(name):
        return pd.read_csv(DATA / f"{name}.csv", index_col="index")

    fit = wb.fit_mixture(read("train_mixture_1m"), read("train_pile_loss_1m")[LOSS])
    correlation = fit.rank_correlation(
        read(f"test_mixture_{size}"), read(f"test_pile_loss_{size}")[LOSS]
    )
    print(size, correlation)
    assert 100 * correlation == pytest.approx(printed, abs=0.3)


def test_what_cannot_be_fitted():
    shares, losses = made()
    with pytest.raises(ValueError, match="4 domains need more runs than that"):
        wb.fit_mixture(shares.head(4), losses.head(4))
    with pytest.raises(ValueError, match="60 mixtures, 59 losses"):
        wb.fit_mixture(shares, losses.head(59))
    for wrong in (-shares, 2 * shares, shares.replace(shares.iloc[3, 0], np.nan)):
        with pytest.raises(ValueError, match="at least 0, none missing, and sum to 1"):
            wb.fit_mixture(wrong, losses)
    with pytest.raises(ValueError, match=r"lack the domains \['d'\]"):
        wb.fit_mixture(shares, losses).predict(shares[list("abc")])


def test_mixtures_that_do_not_tell_domains_apart_are_refused():
    shares, losses = made()
    never = shares.assign(d=0.0).pipe(lambda table: table.div(table.sum(axis=1), axis=0))
    with pytest.raises(ValueError, match="vary in 3 of 4 directions only"):
        wb.fit_mixture(never, losses)
    tied = shares.assign(d=shares["c"]).pipe(lambda table: table.div(table.sum(axis=1), axis=0))
    with pytest.raises(ValueError, match="add mixtures in which each domain's share changes"):
        wb.fit_mixture(tied, losses)
    with pytest.raises(ValueError, match="vary in 1 of 4 directions only"):
        wb.fit_mixture(pd.concat([shares.head(1)] * 9), losses.head(9))
    with pytest.raises(ValueError, match="loss of mixture 3 is missing"):
        wb.fit_mixture(shares, losses.where(losses.index != 3))


def test_ranks_that_do_not_exist_are_refused():
    shares, losses = made()
    fit = wb.fit_mixture(shares, losses)
    for mixtures, seen in ((shares, losses * 0 + 3), (shares.head(1), losses.head(1))):
        with pytest.raises(ValueError, match="fewer than two different values"):
            fit.rank_correlation(mixtures, seen)
    with pytest.raises(ValueError, match="60 mixtures, 59 losses"):
        fit.rank_correlation(shares, losses.head(59))
