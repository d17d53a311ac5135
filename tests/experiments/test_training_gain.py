"""The training experiment: what arms choose, what a gain is, and that no run is repeated."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import workbench as wb
from experiments import training_gain
from experiments.training_gain import chosen_by, gains, run_arms, selector_sizes
from workbench.training.decoder import Decoder

pytestmark = pytest.mark.slow  # of an experiment, not of the package

TABLE = pd.DataFrame({
    "kind": (["lookup"] + ["bigram"] * 9) * 4,
    "raw": [float(i % 7) for i in range(40)],
    "contrast": [None, 1.0, None, 3.0] + [None] * 36,
})  # fmt: skip


def test_what_each_arm_chooses():
    assert chosen_by("full", TABLE, 0).sum() == 0
    assert np.flatnonzero(chosen_by("oracle", TABLE, 0)).tolist() == [0, 10, 20, 30]
    assert np.flatnonzero(chosen_by("raw", TABLE, 0)).tolist() == [6, 13, 20, 27]
    assert np.flatnonzero(chosen_by("contrast", TABLE, 0)).tolist() == [1, 3]
    draws = [np.flatnonzero(chosen_by("random", TABLE, seed)).tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == 4


def runs_of(losses):
    rows = [
        ("3x64", arm, seed, loss, 0.1)
        for arm, values in losses.items()
        for seed, loss in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["size", "arm", "seed", "lookup", "lookups"])


def test_gains_are_paired_and_their_interval_is_that_of_two_arms():
    rng = np.random.default_rng(0)
    seeds = rng.normal(size=6)  # of the seed, in both arms: it must not count
    random, arm = 3.6 + seeds, 3.4 + seeds + rng.normal(scale=0.05, size=6)
    (row,) = gains(runs_of({"random": random, "raw": arm})).itertuples()
    interval = stats.ttest_rel(random, arm).confidence_interval(0.95)
    assert row.gain == pytest.approx((random - arm).mean())
    assert (row.low, row.high) == pytest.approx((interval.low, interval.high))
    assert (row.least, row.most) == pytest.approx(((random - arm).min(), (random - arm).max()))


def test_the_spread_is_pooled_over_arms_and_the_smallest_gain_is_found_four_times_in_five():
    rng = np.random.default_rng(1)

    def found(gain):
        table = gains(runs_of({
            name: 3.6 - lead + rng.normal(scale=0.05, size=2)
            for name, lead in {"random": 0, "full": 0, "oracle": 0.4, "raw": gain}.items()
        }))  # fmt: skip
        return table.set_index("arm").loc["raw"]

    none = [found(0.0) for _ in range(200)]
    assert np.mean([row.low > 0 for row in none]) < 0.06
    spread = np.sqrt(np.mean([row.spread**2 for row in none]))
    assert spread == pytest.approx(0.05, rel=0.1)
    smallest = (stats.t.ppf(0.975, 3) + stats.t.ppf(0.8, 3)) * 0.05
    assert np.mean([row.smallest**2 for row in none]) ** 0.5 == pytest.approx(smallest, rel=0.1)
    assert 0.7 < np.mean([found(smallest).low > 0 for _ in range(200)]) < 0.92


def test_a_seed_that_lacks_an_arm_is_left_out():
    runs = runs_of({"random": [3.6, 3.7, 3.5], "oracle": [3.2, 3.4, 3.3], "raw": [3.6]})
    table = gains(runs).set_index("arm")
    assert list(table.index) == ["oracle"]
    assert table["seeds"].tolist() == [3]
    assert table["share_of_oracle"].tolist() == [1.0]
    assert gains(runs_of({"random": [3.6], "oracle": [3.2]})).empty


def test_runs_under_other_settings_are_not_compared():
    often = runs_of({"random": [3.6, 3.7], "oracle": [3.2, 3.4]}).assign(times=10)
    seldom = runs_of({"random": [4.6, 4.7], "oracle": [4.5, 4.6]}).assign(times=4)
    table = gains(pd.concat([often, seldom]))
    assert table["times"].tolist() == [10, 4]
    assert table["gain"].tolist() == pytest.approx([0.35, 0.1])


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A selector of few steps, and decoders of one small size."""
    monkeypatch.setitem(training_gain.SIZES, "2x32", Decoder(2, 16, 2, context=32))
    selector = wb.planted_selector(decoder=Decoder(2, 16, 4, context=64), steps=8, documents=200)
    monkeypatch.setattr("experiments.score_columns.wb.planted_selector", lambda *_, **__: selector)
    return tmp_path


def test_runs_are_stored_and_not_repeated(tiny, monkeypatch):
    asked = (["2x32"], ["random", "oracle", "raw"], [0, 1], 200, 4, 6)
    first = run_arms(tiny, ["2x32"], ["random", "oracle"], [0, 1], 200, 4, 6)
    assert first["lookup"].between(2, 5).all()
    assert first["lookups"][first["arm"] == "oracle"].tolist() == [1.0, 1.0]
    assert first["chosen"].tolist() == [20] * 4
    trained, train = [], training_gain.train
    monkeypatch.setattr(
        training_gain, "train", lambda *who: trained.append(who[:3]) or train(*who)
    )  # fmt: skip
    second = run_arms(tiny, *asked)
    assert trained == [("raw", "2x32", 0), ("raw", "2x32", 1)]
    pd.testing.assert_frame_equal(second.iloc[:4], first)
    assert len(gains(second)) == 2


def test_arms_of_a_seed_share_their_first_weights_and_all_else(tiny):
    alike = pd.DataFrame({"kind": ["lookup"] * 200, "raw": 1.0, "nats": 1.0})
    world, held_out = wb.planted_world(200), wb.planted_world(40, seed=5)
    losses = [
        training_gain.train(arm, "2x32", 0, world, alike, held_out, 4, 4)["lookup"]
        for arm in ("raw", "nats")
    ]
    assert losses[0] == losses[1]


def test_selectors_are_stored_by_size(tiny):
    rows = selector_sizes(tiny, ["2x32"], documents=200)
    assert rows["size"].unique().tolist() == ["2x32"]
    assert {"raw", "far tokens, no model"} <= set(rows["column"])
    assert rows["value"].between(0, 1).all()
    pd.testing.assert_frame_equal(selector_sizes(tiny, ["2x32"], documents=200), rows)
