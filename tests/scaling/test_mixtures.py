"""Laws from a training mixture to losses, and the best mixture inside the shares that were run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.paths import ROOT

import workbench as wb
from workbench.scaling.surrogates import surrogate

DATA = ROOT.parent / "shared" / "data" / "regmix"
LOSS = "metric/the_pile_pile_cc_val_loss"


def made(count=60, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    shares = pd.DataFrame(rng.dirichlet(np.ones(4), size=count), columns=list("abcd"))
    weights = pd.Series({"a": 1.0, "b": -0.5, "c": 0.25, "d": 0.0})
    return shares, 3 + shares @ weights + noise * rng.normal(size=count)


def test_a_linear_truth_comes_back():
    shares, losses = made()
    fit = wb.fit_mixture(shares, losses, "linear")
    fresh, truth = made(seed=1)
    np.testing.assert_allclose(fit.predict(fresh), truth, atol=1e-9)
    assert fit.rank_correlation(fresh, truth) == pytest.approx(1)
    assert fit.weights.round(9).tolist() == [4, 2.5, 3.25, 3]
    np.testing.assert_allclose(fit.predict(fresh[list("dcba")]), truth, atol=1e-9)


def exponential(count=60, seed=0, noise=0.0):
    """Runs of two losses that follow exponential laws; the first is lowest at share .8 of a."""
    rng = np.random.default_rng(seed)
    shares = pd.DataFrame(rng.dirichlet(np.ones(3), size=count), columns=list("abc"))
    a, b, c = shares.to_numpy().T
    losses = {"one": 2 + np.exp(1 - 3 * a), "two": 1.5 + np.exp(0.5 - 2 * b - c)}
    table = pd.DataFrame(losses)
    return shares, table + noise * rng.normal(size=table.shape)


def test_an_exponential_truth_comes_back():
    shares, losses = exponential()
    fit = wb.fit_mixture(shares, losses)
    fresh, truth = exponential(seed=1)
    for name in ("one", "two"):
        predicted = fit.predict(fresh, {name: 5})
        np.testing.assert_allclose(predicted, truth[name], atol=1e-7)
    np.testing.assert_allclose(fit.predict(fresh), truth.mean(axis=1), atol=1e-7)
    np.testing.assert_allclose(
        fit.predict(fresh, {"one": 1, "two": 3}), truth["one"] / 4 + truth["two"] * 3 / 4, atol=1e-7
    )
    law = fit.laws["one"]
    assert law.floor_ == pytest.approx(2, abs=1e-6)
    assert law.weights_.tolist() == pytest.approx([-2, 1, 1], abs=1e-6)
    assert fit.validation() == pytest.approx(1)
    assert fit.rank_correlation(fresh, truth) == pytest.approx(1)
    assert "exponential: 3 domains, 60 runs" in repr(fit)


@pytest.mark.parametrize("form", ["exponential", "kernel", "linear"])
def test_the_best_mixture_is_the_lowest_of_a_grid_and_inside_the_runs(form):
    shares, losses = exponential(noise=0.02)
    fit = wb.fit_mixture(shares, losses, form)
    best = fit.best({"one": 2, "two": 1}, draws=20)
    low, high = shares.min(), shares.max()
    assert (best.shares >= low).all()
    assert (best.shares <= high).all()
    assert best.shares.sum() == pytest.approx(1, abs=1e-12)
    grid = pd.DataFrame(np.random.default_rng(3).dirichlet(np.ones(3), 5000), columns=list("abc"))
    inside = grid[((grid >= low) & (grid <= high)).all(axis=1)]
    assert len(inside) > 2000
    lowest = fit.predict(inside, {"one": 2, "two": 1}).min()
    assert best.predicted <= lowest + 1e-9
    assert best.predicted == pytest.approx(
        fit.predict(best.shares.to_frame().T, {"one": 2, "two": 1}).iloc[0], abs=1e-12
    )
    measured = (losses["one"] * 2 + losses["two"]) / 3
    assert best.share_of_runs == (measured > best.predicted).mean()
    distances = np.sqrt(1 - np.sqrt(shares * best.shares).sum(axis=1))
    assert best.nearest_run == distances.idxmin()
    assert best.distance == pytest.approx(distances.min())
    assert f"nearest run {best.nearest_run}" in repr(best)


@pytest.mark.parametrize("form", ["exponential", "linear"])
def test_the_interval_of_the_best_mixture_is_that_of_resampled_fits(form):
    """Against the same written out: Hesterberg's percentiles of fits to resampled runs."""
    shares, losses = exponential(count=15, seed=3, noise=0.05)
    fit = wb.fit_mixture(shares, losses[["one"]], form)
    best = fit.best(draws=59, seed=8)
    runs, drawn = shares.to_numpy(), []
    for rows in np.random.default_rng(8).integers(0, 15, (59, 15)):
        law = surrogate(form, runs[rows], losses["one"].to_numpy()[rows])
        drawn.append(law.predict(best.shares.to_numpy()[None])[0])
    parameters = 4 if form == "exponential" else 3
    free = 15 - parameters
    tail = stats.norm.cdf(-np.sqrt(15 / free) * stats.t.ppf(0.975, free))
    at = np.array([tail, 1 - tail]) * 60 - 1  # of the sorted draws, counted from 0
    ends = np.interp(at, range(59), np.sort(drawn))
    ends[1] = min(ends[1], losses["one"].max())
    assert [best.low, best.high] == pytest.approx(ends, abs=1e-5)
    assert np.isnan(fit.best(draws=0).low)


@pytest.mark.slow
def test_the_interval_of_the_best_mixture_holds_the_true_loss():
    """At its mixture, not of the lowest loss: 93 to 97 % of 200 draws of 40 noisy runs."""
    held = 0
    for seed in range(200):
        shares, losses = exponential(count=40, seed=seed, noise=0.05)
        best = wb.fit_mixture(shares, losses[["one"]]).best(draws=100, seed=seed)
        truth = 2 + np.exp(1 - 3 * best.shares["a"])
        held += best.low <= truth <= best.high
    print("held", held)
    assert 186 <= held <= 194


def test_weights_and_forms_that_make_no_sense_are_refused():
    fit = wb.fit_mixture(*exponential())
    with pytest.raises(ValueError, match=r"weights of \['three'\]: the losses are"):
        fit.best({"three": 1})
    for weights in ({"one": -1}, {"one": 0}, {"one": np.nan}):
        with pytest.raises(ValueError, match="0 or more, one of them above"):
            fit.best(weights)
    with pytest.raises(ValueError, match="form is one of exponential, kernel, linear; got 'cubic'"):
        wb.fit_mixture(*exponential(), "cubic")
    with pytest.raises(ValueError, match=r"3 domains need more runs than that \(and one more"):
        wb.fit_mixture(*exponential(count=4))
    with pytest.raises(ValueError, match="this fit is exponential"):
        _ = fit.weights
    shares, losses = exponential()
    with pytest.raises(ValueError, match=r"lack \['two'\]"):
        fit.rank_correlation(shares, losses[["one"]])


def test_the_digest_of_the_runs_changes_with_each_number():
    shares, losses = exponential()
    digest = wb.fit_mixture(shares, losses).runs_sha256
    assert digest == wb.fit_mixture(shares, losses, "linear").runs_sha256
    other = losses.copy()
    other.iloc[7, 1] += 1e-12
    assert digest != wb.fit_mixture(shares, other).runs_sha256
    assert digest != wb.fit_mixture(shares.rename(columns={"a": "z"}), losses).runs_sha256


regmix = pytest.mark.skipif(not DATA.is_dir(), reason="public measurements are not beside it")


def read(name):
    return pd.read_csv(DATA / f"{name}.csv", index_col="index")


@regmix
@pytest.mark.parametrize(("size", "printed"), [("1m", 90.2), ("60m", 89.3), ("1B", 88.1)])
def test_regmix(size, printed):
    """Fitted on 512 models of 1M parameters, it ranks mixtures for larger ones as published."""
    fit = wb.fit_mixture(read("train_mixture_1m"), read("train_pile_loss_1m")[LOSS], "linear")
    correlation = fit.rank_correlation(
        read(f"test_mixture_{size}"), read(f"test_pile_loss_{size}")[LOSS]
    )
    print(size, correlation)
    assert 100 * correlation == pytest.approx(printed, abs=0.3)


def regret(fit, mixtures, measured):
    """What the first choice among large runs loses against the best of them, in nats."""
    return measured.iloc[int(fit.predict(mixtures).to_numpy().argmin())] - measured.min()


@pytest.mark.slow
@regmix
def test_regmix_512_proxies_choose_the_best_run_of_a_thousand_times_their_size():
    fit = wb.fit_mixture(read("train_mixture_1m"), read("train_pile_loss_1m")[LOSS])
    mixtures, measured = read("test_mixture_1B"), read("test_pile_loss_1B")[LOSS]
    correlation = fit.rank_correlation(mixtures, measured)
    best = fit.best()
    print(correlation, fit.validation(), best)
    assert correlation >= 0.98
    assert regret(fit, mixtures, measured) == 0
    assert (best.shares <= fit.runs.max()).all()
    assert best.shares.sum() == pytest.approx(1, abs=1e-12)
    assert not best.shares.between(0, 1e-6, inclusive="neither").any()  # nothing, or something
    assert best.low < best.predicted < best.high


@pytest.mark.slow
@regmix
def test_regmix_64_proxies_choose_it_as_well():
    """Fifteen of twenty draws rank at .97 or above, and all choose the best run.

    A single draw may miss .97 (the least of these is .891): where it holds hardly any of a small
    domain, the weight of that domain is anybody's guess, and the ranks with it. That is no matter
    of the fit: all eight starts end at the same solution, draw by draw.
    """
    mixtures, measured = read("test_mixture_1B"), read("test_pile_loss_1B")[LOSS]
    shares, losses = read("train_mixture_1m"), read("train_pile_loss_1m")[LOSS]
    correlations = []
    for draw in range(20):
        chosen = np.random.default_rng(draw).choice(512, 64, replace=False)
        fit = wb.fit_mixture(shares.iloc[chosen], losses.iloc[chosen])
        correlations.append(fit.rank_correlation(mixtures, measured))
        assert regret(fit, mixtures, measured) == 0
        assert (fit.best(draws=2).shares <= fit.runs.max()).all()
    print(np.sort(correlations).round(3))
    assert np.median(correlations) >= 0.98
    assert sum(rho >= 0.97 for rho in correlations) >= 15
    assert min(correlations) >= 0.89


@regmix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "least", "most"), [("exponential", 0, 0), ("kernel", 0, 0.01), ("linear", 0.1, 0.2)]
)
def test_regmix_the_mean_of_all_losses(form, least, most):
    """The harder target: each loss has its own law, and the linear form chooses no better than
    a random pick."""
    fit = wb.fit_mixture(read("train_mixture_1m"), read("train_pile_loss_1m"), form)
    mixtures, losses = read("test_mixture_1B"), read("test_pile_loss_1B")
    loss = regret(fit, mixtures, losses.mean(axis=1))
    best = fit.best(draws=2)
    print(form, fit.rank_correlation(mixtures, losses), loss, best)
    assert least <= loss <= most
    assert (best.shares <= fit.runs.max()).all()
    assert (best.shares >= fit.runs.min()).all()


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


@pytest.mark.parametrize("seed", range(8))
def test_a_domain_that_does_not_help_gets_no_rounding_error_of_a_share(seed):
    rng = np.random.default_rng(seed)
    drawn = np.vstack([rng.dirichlet(np.ones(4), size=24), np.eye(4)])
    shares = pd.DataFrame(drawn, columns=list("abcd"))
    one, two = rng.permutation(4)[:2]  # the others help with neither loss
    losses = pd.DataFrame({
        "one": 2 + np.exp(1 - 3 * drawn[:, one]), "two": 2 + np.exp(1 - 2 * drawn[:, two])
    })  # fmt: skip
    best = wb.fit_mixture(shares, losses).best(draws=1)
    found = np.array([best.shares[name] for name in shares])
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert ((found == 0) | (found > 1e-6)).all(), found
