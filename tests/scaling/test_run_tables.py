"""The best size, the best rate and the better recipe, with what the runs do not bracket."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.paths import ROOT

import workbench as wb

DATA = ROOT.parent / "shared" / "data"
MEASURED = pytest.mark.skipif(not DATA.is_dir(), reason="public measurements are not beside")
LAW = wb.LAWS["besiroglu"]


def valleys(noise=0.0, seed=0, computes=5, spread=(0.3, 3.0), sizes=7, exponent=0.5):
    """Runs on parabolas in log params, whose least lies at 1e8 (C/1e18)^exponent."""
    rng, rows = np.random.default_rng(seed), []
    for compute in np.geomspace(1e18, 1e22, computes):
        best = 1e8 * (compute / 1e18) ** exponent
        for params in best * np.geomspace(*spread, sizes):
            loss = 2 + 0.08 * np.log(params / best) ** 2 + noise * rng.normal()
            rows.append((params, compute / 6 / params, loss))
    return pd.DataFrame(rows, columns=["params", "tokens", "loss"])


# ---- the best size ----------------------------------------------------------------------------


def test_the_best_size_at_each_compute_comes_back():
    found = wb.isoflop(valleys())
    table = found.table
    assert table["compute"].tolist() == pytest.approx(np.geomspace(1e18, 1e22, 5).tolist())
    assert table["params_opt"].tolist() == pytest.approx(
        [1e8 * 10 ** (k / 2) for k in range(5)], rel=1e-6
    )
    np.testing.assert_allclose(table["tokens_opt"], table["compute"] / 6 / table["params_opt"])
    assert table["loss"].tolist() == pytest.approx([2] * 5)
    assert table["curvature"].tolist() == pytest.approx([0.08] * 5)
    assert table["bracketed"].all()
    assert found.exponent == pytest.approx((0.5, 0.5, 0.5))
    assert len(found.runs) == 35


def test_the_best_size_of_a_law_is_found_from_its_runs():
    rows = [
        (size, compute / 6 / size)
        for compute in (1e19, 1e20, 1e21)
        for size in LAW.optimum(compute)["params"] * np.geomspace(0.6, 1.6, 7)
    ]
    runs = pd.DataFrame(rows, columns=["params", "tokens"])
    runs["loss"] = LAW.evaluate(**{name: runs[name].to_numpy() for name in runs})
    found = wb.isoflop(runs)
    for row in found.table.itertuples():
        assert row.params_opt == pytest.approx(LAW.optimum(row.compute)["params"], rel=0.01)
    assert found.exponent[0] == pytest.approx(0.5126, abs=0.002)


@pytest.mark.parametrize(
    ("spread", "says"),
    [
        ((1.5, 10), "least at the smallest size: not bracketed"),
        ((0.1, 0.7), "least at the largest size: not bracketed"),
    ],
)
def test_a_best_size_at_the_edge_is_not_bracketed(spread, says):
    runs = valleys(spread=spread)
    found = wb.isoflop(runs)
    assert set(found.table["says"]) == {says}
    assert not found.table["bracketed"].any()
    assert found.table[["low", "high", "curvature"]].isna().all(axis=None)
    assert set(found.table["params_opt"]) <= set(runs["params"])
    assert np.isnan(found.exponent).all()


def test_scatter_larger_than_the_valley_is_said():
    """Four runs a compute, that scatter more than the loss differs: no draw tells a least."""
    says = {
        text
        for seed in range(20)
        for text in wb.isoflop(valleys(0.1, seed, sizes=4, spread=(0.7, 1.4))).table["says"]
    }
    assert "the scatter allows no least: any size may be the best" in says


@pytest.mark.slow
def test_95_percent_intervals_of_size_and_exponent_hold_in_about_95_percent():
    held = {"size": 0, "exponent": 0}
    for seed in range(200):
        found = wb.isoflop(valleys(0.005, seed))
        middle = found.table.iloc[2]
        held["size"] += middle["low"] <= 1e9 <= middle["high"]
        held["exponent"] += found.exponent[1] <= 0.5 <= found.exponent[2]
    print(held)
    assert all(186 <= count <= 194 for count in held.values()), held


@MEASURED
def test_points_read_off_the_chinchilla_paper():
    """Their exponent holds the .51 of the refitted law, and the size at 1e21 FLOP its 2.78e9."""
    runs = pd.read_csv(DATA / "kyo_chinchilla" / "df.csv")
    found = wb.isoflop(runs.rename(columns={"C": "compute", "N": "params", "D": "tokens"}))
    value, low, high = found.exponent
    print(value, low, high)
    assert low <= 0.5126 <= high
    row = found.table.iloc[(found.table["compute"] / 1e21 - 1).abs().argmin()]
    assert row["low"] <= 2.78e9 <= row["high"]
    assert (found.table["says"] != "").any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda runs: runs.drop(columns="tokens"), r"lacks the columns \['tokens'\]"),
        (lambda runs: runs.assign(params=-1), "not above 0"),
        (lambda runs: runs.head(2), "none of the computes of 2 runs has three sizes"),
        (lambda runs: runs.assign(compute=0), "not above 0"),
    ],
)
def test_runs_without_a_best_size(change, message):
    with pytest.raises(ValueError, match=message):
        wb.isoflop(change(valleys()))


# ---- the best rate ----------------------------------------------------------------------------

RATES = np.array([3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1])


def sweep(best, params=1e6, worst=20.0, rates=RATES):
    loss = np.minimum(3 + 0.1 * np.log(rates / best) ** 2, worst)
    return pd.DataFrame({"params": params, "learning_rate": rates, "loss": loss})


def test_sensitivity_is_the_mean_loss_over_the_least_and_never_above_an_untrained_model():
    runs = pd.concat([sweep(1e-2), sweep(4e-3, 1e7)])
    table = wb.rate_sensitivity(runs, initial=6.0).set_index("params")
    for params, best in ((1e6, 1e-2), (1e7, 4e-3)):
        losses = np.minimum(3 + 0.1 * np.log(RATES / best) ** 2, 6)
        row = table.loc[params]
        assert row["sensitivity"] == pytest.approx((losses - losses.min()).mean())
        assert row["best_rate"] == pytest.approx(best, rel=1e-6)
        assert row["low"] < best < row["high"]
        assert row["bracketed"]
        assert row["rates"] == 7
    assert table.loc[1e7, "low"] == pytest.approx(1e-3)
    assert table.loc[1e7, "high"] == pytest.approx(1e-2)


def test_a_run_that_diverged_counts_as_untrained_and_seeds_are_averaged():
    runs = sweep(1e-2)
    runs.loc[6, "loss"] = np.nan
    runs.loc[5, "loss"] = np.inf
    row = wb.rate_sensitivity(runs, initial=6.0).iloc[0]
    losses = np.minimum(3 + 0.1 * np.log(RATES / 1e-2) ** 2, 6)
    losses[5:] = 6
    assert row["sensitivity"] == pytest.approx((losses - losses.min()).mean())
    twice = pd.concat(
        [runs.assign(loss=runs["loss"] + 0.01), runs.assign(loss=runs["loss"] - 0.01)]
    )
    again = wb.rate_sensitivity(twice, initial=6.0).iloc[0]
    assert again["rates"] == 7
    assert again["sensitivity"] == pytest.approx(row["sensitivity"], abs=0.02)


@pytest.mark.parametrize(
    ("best", "says", "low", "high"),
    [
        (1e-5, "least at the smallest rate: not bracketed", 0, 1e-3),
        (3.0, "least at the largest rate: not bracketed", 1e-1, np.inf),
    ],
)
def test_a_best_rate_at_the_edge_is_not_bracketed(best, says, low, high):
    row = wb.rate_sensitivity(sweep(best), initial=20.0).iloc[0]
    assert row["says"] == says
    assert not row["bracketed"]
    assert row["best_rate"] == pytest.approx(RATES[0] if best < 1 else RATES[-1])
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))


def test_rates_that_tell_nothing():
    with pytest.raises(ValueError, match="initial is the loss of an untrained model"):
        wb.rate_sensitivity(sweep(1e-2), initial=0)
    with pytest.raises(ValueError, match=r"no run of params 1000000.0 ends below 2"):
        wb.rate_sensitivity(sweep(1e-2), initial=2.0)
    with pytest.raises(ValueError, match="not above 0"):
        wb.rate_sensitivity(sweep(1e-2).assign(learning_rate=0), initial=6)
    with pytest.raises(ValueError, match="lacks the column 'width'"):
        wb.rate_sensitivity(sweep(1e-2), initial=6, by="width")


# ---- the better recipe ------------------------------------------------------------------------


def test_decisions_are_pairs_in_the_same_order():
    scores = pd.DataFrame({"small": [1.0, 2, 3, 4], "large": [1.0, 3, 2, 4]})
    row = wb.decisions(scores, small="small", large="large").iloc[0]
    assert (row["recipes"], row["pairs"], row["right"]) == (4, 6, 5 / 6)
    assert row["spearman"] == pytest.approx(0.8)
    assert row["agree_on_least"]
    assert row["agree_on_most"]
    assert row["low"] <= 5 / 6 <= row["high"]
    tied = pd.DataFrame({"small": [1.0, 1, 2, 3], "large": [2.0, 1, 3, 4]})
    assert wb.decisions(tied, small="small", large="large")["pairs"][0] == 5


@MEASURED
def test_models_of_1m_rank_mixtures_as_models_of_60m():
    """256 mixtures of RegMix; fewer of them decide as well, with a wider interval."""
    scores = pd.DataFrame(
        {
            size: pd.read_csv(DATA / "regmix" / f"test_pile_loss_{size}.csv", index_col="index")[
                "metric/the_pile_pile_cc_val_loss"
            ]
            for size in ("1m", "60m")
        }
    )
    row = wb.decisions(scores, small="1m", large="60m").iloc[0]
    print(row)
    assert row["pairs"] == 256 * 255 / 2
    assert 0.9 < row["low"] < row["right"] < row["high"] < 1
    few = wb.decisions(scores.head(16), small=["1m"], large="60m").iloc[0]
    assert few["high"] - few["low"] > row["high"] - row["low"]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"small": [1.0, 2], "large": [1.0, 2]}, "2 recipes make 1 pairs"),
        ({"small": [1.0, 1, 1], "large": [1.0, 2, 3]}, "make 0 pairs"),
        ({"small": [1.0, 2, np.nan], "large": [1.0, 2, 3]}, "no score of small or large"),
        ({"small": [1.0, 2, 3]}, r"lacks the columns \['large'\]"),
    ],
)
def test_scores_that_decide_nothing(scores, message):
    with pytest.raises(ValueError, match=message):
        wb.decisions(pd.DataFrame(scores), small="small", large="large")
