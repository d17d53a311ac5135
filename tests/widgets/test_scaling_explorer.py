"""The scaling panel without a browser: every control, what it does, and what is shown then."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.hostile import TEXTS

import workbench as wb
from widgets import ScalingExplorer
from widgets.scaling.explorer import TABS


@pytest.fixture
def explorer():
    rng = np.random.default_rng(0)
    plan = pd.DataFrame(rng.dirichlet([1, 1, 1], 30), columns=["a", "<b>b</b>", "c"])
    losses = pd.DataFrame({"web": 3 + 0.3 * np.exp(-2 * plan["a"]) + 0.01 * rng.normal(size=30)})
    runs = wb.synthetic_runs(noise=0.002, models=4, multiples=(1, 4, 16))
    made = ScalingExplorer(runs, mixtures=wb.fit_mixture(plan, losses))
    yield made
    made.close()


def settled(explorer):
    assert explorer.wait(120)
    assert explorer.status.error is None


def front(explorer, title):
    explorer.tabs.selected_index = TABS.index(title)


def test_a_slider_moves_the_curves_and_what_the_laws_say(explorer):
    before = np.array(explorer.loss.figure.data[0].y, dtype=float)
    figure = explorer.loss.figure
    explorer.laws.sliders["tokens"].value = 1e10
    assert explorer.desk.inputs["tokens"] == 1e10
    linked = 6 * explorer.desk.inputs["params"] * 1e10
    assert explorer.desk.inputs["compute"] == pytest.approx(linked)
    assert explorer.laws.sliders["compute"].value == pytest.approx(linked)
    assert explorer.loss.figure is figure  # changed in place
    after = np.array(figure.data[0].y, dtype=float)
    known = np.isfinite(before) & np.isfinite(after)
    assert (after[known] > before[known]).all()  # fewer tokens
    value = wb.LAWS["besiroglu"].evaluate(params=explorer.desk.inputs["params"], tokens=1e10)
    assert f"<td>{value:.4g}</td>" in explorer.laws.table.value


def test_the_panel_follows_what_a_cell_does_with_the_desk(explorer):
    desk = explorer.desk
    desk.change("params", 1e9)
    assert explorer.laws.sliders["params"].value == pytest.approx(1e9)
    desk.hold_out([10, 11])
    assert explorer.runs.held.value == (10, 11)
    desk.refit(resamples=10)
    assert "of 2 held out lie inside" in explorer.runs.found.value
    assert any("refitted" in str(trace.name) for trace in explorer.loss.figure.data)
    desk.find_mixture()
    assert "nearest run" in explorer.mixture.predicted.value
    assert explorer.status.error is None


def test_another_quantity_brings_its_laws(explorer):
    explorer.laws.unit.value = wb.LAWS["step law"].output.unit
    assert explorer.desk.laws == ("step law", "deepseek", "ling")
    assert set(explorer.laws.laws.options) == {"step law", "deepseek", "ling"}
    explorer.laws.laws.value = ("step law",)
    assert explorer.desk.laws == ("step law",)
    assert explorer.status.error is None
    explorer.laws.unit.value = wb.LAWS["moe leverage"].output.unit
    assert "take more than" in explorer.laws.table.value


def test_runs_are_held_out_and_the_fit_says_whether_they_lie_inside(explorer):
    explorer.runs.held.value = (11,)
    explorer.runs.refit.click()
    settled(explorer)
    assert len(explorer.desk.fit.runs) == 11
    assert "1 of 1 held out lie inside" in explorer.runs.found.value
    names = [trace.name for trace in explorer.loss.figure.data]
    assert any("refitted" in str(name) for name in names)
    explorer.runs.held.value = ()
    assert explorer.desk.fit is None
    assert explorer.runs.found.value == ""
    front(explorer, "Code")
    exec(explorer.code.code, {"runs": explorer.desk.runs, "mixtures": explorer.desk.mixtures})


def test_a_notebook_drives_it_by_its_desk(explorer):
    assert repr(explorer) == "<ScalingExplorer of 12 runs and the laws besiroglu, hoffmann>"
    desk = explorer.desk
    desk.hold_out([11])
    fit = desk.refit()
    settled(explorer)
    assert desk.held().inside.tolist() == [True]
    again: dict[str, object] = {"runs": desk.runs, "mixtures": desk.mixtures}
    exec(desk.code(), again)
    assert again["desk"].fit.law.constants == fit.law.constants
    pd.testing.assert_frame_equal(again["desk"].says(), desk.says())


def test_every_tab_shows_something_or_says_why_not(explorer):
    front(explorer, "IsoFLOP")
    assert "besiroglu" in explorer.optima.value
    assert "three sizes" in explorer.sizes_note.value  # of these runs
    front(explorer, "Rate and batch")
    assert "No runs with a learning_rate" in explorer.rates_note.value
    runs = explorer.desk.runs.loc[[0, 0, 0]].assign(learning_rate=[1e-4, 1e-3, 1e-2])
    explorer.desk.runs = runs.assign(loss=[3.0, 2.5, 2.9])
    explorer.initial.value = 11
    assert explorer.rates.figure is not None
    explorer.entry.value = "vocabulary 3"
    assert "unsound" in explorer.book.value
    front(explorer, "Masks")
    explorer.masking.click()
    assert "no session whose heads" in str(explorer.status.error)


def test_the_best_mixture_is_found_and_goes_into_the_manifest(explorer, monkeypatch):
    explorer.mixture.find.click()
    settled(explorer)
    best = explorer.desk.best
    assert "nearest run" in explorer.mixture.predicted.value
    for domain, share in best.shares.items():
        assert explorer.mixture.shares[domain].value == pytest.approx(share, abs=0.006)
    explorer.mixture.export.click()
    assert "goes into the manifest of a selection" in str(explorer.status.error)
    explorer.mixture.shares["a"].value = 1.0
    assert "outside the shares that were run" in explorer.mixture.predicted.value


def test_without_runs_and_mixtures_it_says_how_to_bring_them():
    made = ScalingExplorer()
    try:
        assert made.status.error is None
        assert repr(made).startswith("<ScalingExplorer of 0 runs")
        assert "training_runs" in made.runs.children[0].value
        assert "fit_mixture" in made.mixture.children[0].value
        front(made, "IsoFLOP")
        assert "No runs are on the desk" in made.sizes_note.value
    finally:
        made.close()


def test_hostile_names_of_domains_stay_text():
    rng = np.random.default_rng(1)
    names = list(dict.fromkeys(text[:40] for text in TEXTS if text.strip()))[:4]
    plan = pd.DataFrame(rng.dirichlet([1] * len(names), 30), columns=names)
    losses = pd.DataFrame({"<img src=x>": 3 + plan.iloc[:, 0] + 0.01 * rng.normal(size=30)})
    made = ScalingExplorer(mixtures=wb.fit_mixture(plan, losses))
    try:
        made.mixture.shares[names[0]].value = 1.0
        assert "<img" not in made.mixture.predicted.value
        assert not any(slider.description_allow_html for slider in made.mixture.weights.values())
    finally:
        made.close()
