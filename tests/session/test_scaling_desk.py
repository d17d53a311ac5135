"""The desk: linked inputs, what laws say, own runs held out, and the code that does it again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import workbench as wb


@pytest.fixture
def runs():
    return wb.synthetic_runs(noise=0.002)


def test_compute_follows_what_is_not_locked():
    desk = wb.ScalingDesk()
    desk.locked = "tokens"
    desk.change("params", 2e9)
    assert desk.inputs["compute"] == 6 * 2e9 * desk.inputs["tokens"]
    desk.locked = "compute"
    compute = desk.inputs["compute"]
    desk.change("params", 4e9)
    assert desk.inputs["tokens"] == pytest.approx(compute / (6 * 4e9))
    assert desk.inputs["compute"] == compute
    desk.locked = "params"
    desk.change("compute", 1e21)
    assert desk.inputs["tokens"] == pytest.approx(1e21 / (6 * 4e9))
    for locked in ("params", "tokens", "compute"):  # moving the locked one frees another
        desk.locked = locked
        desk.change(locked, 3e10)
        linked = 6 * desk.inputs["params"] * desk.inputs["tokens"]
        assert desk.inputs["compute"] == pytest.approx(linked)
    for name, value in (("params", 0), ("tokens", np.inf), ("width", 8)):
        with pytest.raises(ValueError, match="an input is one of params, tokens"):
            desk.change(name, value)


def test_it_says_what_the_laws_say():
    desk = wb.ScalingDesk(laws=["step law", "deepseek", "ling"])
    desk.change("params", 1e9)
    desk.change("tokens", 2e10)
    said = desk.says().set_index("law")["value"]
    assert said["step law"] == wb.LAWS["step law"].evaluate(params=1e9, tokens=2e10)
    assert said["deepseek"] == wb.LAWS["deepseek"].evaluate(compute=1.2e20)
    assert said.max() / said.min() == pytest.approx(1.03, abs=0.01)
    assert desk.rates() == pytest.approx(said.to_dict())
    with pytest.raises(ValueError, match="compared in one unit only"):
        desk.choose(["step law", "besiroglu"])
    with pytest.raises(KeyError, match="no law is called"):
        desk.choose(["chinchila"])
    desk.choose(["moe leverage"])  # takes what the desk has not
    assert desk.says().empty
    with pytest.raises(ValueError, match="inputs that the desk has not"):
        desk.drawn("compute")


def test_runs_are_held_out_and_predicted(runs):
    desk = wb.ScalingDesk(runs)
    largest = runs.nlargest(3, "params").index
    with pytest.raises(ValueError, match="no law is fitted"):
        desk.held()
    desk.hold_out(largest)
    fit = desk.refit("besiroglu", resamples=50)
    assert len(fit.runs) == len(runs) - 3
    held = desk.held()
    assert held["params"].tolist() == runs.loc[sorted(largest), "params"].tolist()
    assert held["inside"].sum() >= 2
    laws, _, rest = desk.drawn("tokens")
    assert laws[-1] is fit
    assert len(rest) == 3
    assert desk.optima()["law"].tolist() == ["besiroglu", "hoffmann", "besiroglu, refitted"]
    desk.hold_out([])
    assert desk.fit is None  # it was of other runs
    desk.refit("besiroglu", resamples=5)
    assert desk.held().empty
    with pytest.raises(ValueError, match="48 runs, counted from 0, and no run 48"):
        desk.hold_out([48])
    with pytest.raises(ValueError, match="no runs are on the desk"):
        wb.ScalingDesk().refit()


def test_the_code_rebuilds_the_desk(runs):
    desk = wb.ScalingDesk(runs, laws=["besiroglu"])
    desk.locked = "compute"
    desk.change("params", 3e8)
    desk.hold_out([1, 2])
    desk.refit("besiroglu", resamples=20)
    names = {"runs": runs}
    exec(desk.code(), names)
    again = names["desk"]
    assert again.inputs == pytest.approx(desk.inputs)
    assert (again.laws, again.held_out) == (desk.laws, desk.held_out)
    assert again.fit.law.constants == desk.fit.law.constants
    pd.testing.assert_frame_equal(again.says(), desk.says())


def test_a_fit_of_runs_that_are_gone_is_not_put_on_the_desk(runs, monkeypatch):
    desk = wb.ScalingDesk(runs)
    really = wb.refit

    def meanwhile(*args, **options):
        desk.hold_out([0])
        return really(*args, **options)

    monkeypatch.setattr("workbench.session.scaling_desk.refit", meanwhile)
    assert len(desk.refit(resamples=5).runs) == 48
    assert desk.fit is None


def test_runs_without_a_value_of_the_axis_are_not_drawn(runs):
    runs = runs.assign(loss=runs["loss"].where(runs.index != 3))
    desk = wb.ScalingDesk(runs)
    _, _, rest = desk.drawn("params")
    assert list(rest.index) == [row for row in range(48) if row != 3]


def test_a_mixture_needs_what_is_not_there():
    desk = wb.ScalingDesk()
    for ask, words in ((desk.find_mixture, "no mixtures are on the desk"),
                       (desk.export, "no mixture was searched for yet")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            ask()


def test_whoever_listens_hears_what_changed(runs):
    desk, heard = wb.ScalingDesk(runs), []
    leave = desk.on_change(heard.append)
    desk.choose(["hoffmann"])
    desk.change("tokens", 1e10)
    desk.hold_out([0])
    desk.refit(resamples=5)
    assert heard == ["laws", "inputs", "runs", "runs"]
    leave()
    desk.choose(["besiroglu"])
    assert len(heard) == 4


def test_what_is_no_table_of_runs_is_refused_in_words():
    with pytest.raises(TypeError, match=r"one row a run, got str: wb\.training_runs makes one"):
        wb.ScalingDesk("arms/")
    with pytest.raises(ValueError, match="lacks tokens: it has params, loss"):
        wb.ScalingDesk(pd.DataFrame({"params": [1e6], "loss": [3.0]}))
