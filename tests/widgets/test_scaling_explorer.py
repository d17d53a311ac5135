"""The scaling panel without a browser: every control, what it does, and what is shown then."""

from __future__ import annotations

import datetime
import functools

import numpy as np
import pandas as pd
import pytest
from support.hostile import TEXTS

import workbench as wb
from widgets import ScalingExplorer
from widgets.inside import inside
from widgets.scaling.explorer import TABS
from workbench.scaling.run_text import runs_as_text


@pytest.fixture
def explorer():
    rng = np.random.default_rng(0)
    plan = pd.DataFrame(rng.dirichlet([1, 1, 1], 30), columns=["a", "<b>b</b>", "c"])
    losses = pd.DataFrame({"web": 3 + 0.3 * np.exp(-2 * plan["a"]) + 0.01 * rng.normal(size=30)})
    runs = wb.synthetic_runs(noise=0.002, models=4, multiples=(1, 4, 16))
    made = ScalingExplorer(runs, mixtures=wb.fit_mixture(plan, losses))
    yield made
    made.close()
    made.close()  # as ipywidgets does when the object goes


def test_all_that_it_holds_closes_with_it():
    made = ScalingExplorer()
    held = [made.tabs, made.laws, made.loss, made.runs.table, made.code, made.save, made.book]
    within = [*map(id, inside(made))]
    assert all(id(widget) in within and widget.comm is not None for widget in held)
    made.close()
    assert all(widget.comm is None for widget in (made, *inside(made)))


@pytest.fixture
def quick(explorer):
    """The explorer with 20 resampled fits in place of 200."""
    explorer.desk.refit = functools.partial(explorer.desk.refit, resamples=20)
    return explorer


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


def test_the_panel_says_in_which_units_the_laws_count(explorer):
    said = explorer.laws.table.value
    assert "Counted in: L = loss: nats a token of MassiveText; N = params: parameters, all;" in said
    assert "D = tokens: tokens of training." in said
    explorer.desk.choose(["step law", "deepseek"])  # which take different inputs
    said = explorer.laws.table.value
    assert "N = params: parameters, without embeddings (step law)" in said
    assert "C = compute: FLOP of training, without embeddings (deepseek)" in said


def test_runs_are_held_out_and_the_fit_says_whether_they_lie_inside(explorer):
    explorer.runs.held.value = (11,)
    explorer.runs.refit.click()
    settled(explorer)
    assert len(explorer.desk.fit.runs) == 11
    assert "1 of 1 held out lie inside" in explorer.runs.found.value
    names = [trace.name for trace in explorer.loss.figure.data]
    assert any("refitted" in str(name) for name in names)
    explorer.runs.held.value = ()  # once fitted, the fit follows
    settled(explorer)
    assert len(explorer.desk.fit.runs) == 12
    assert "held out" not in explorer.runs.found.value
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


def test_the_sliders_of_the_mixture_come_back_from_the_code(explorer):
    explorer.mixture.find.click()
    settled(explorer)
    explorer.mixture.shares["a"].value = 0.3
    explorer.mixture.weights["web"].value = 4.0
    front(explorer, "Code")
    again: dict[str, object] = {"runs": explorer.desk.runs, "mixtures": explorer.desk.mixtures}
    exec(explorer.code.code, again)
    rebuilt = ScalingExplorer(again["desk"])
    assert rebuilt.mixture.mix.to_dict() == pytest.approx(explorer.mixture.mix.to_dict())
    for kind in ("shares", "weights"):
        for name, slider in getattr(explorer.mixture, kind).items():
            assert getattr(rebuilt.mixture, kind)[name].value == slider.value
    assert rebuilt.mixture.predicted.value == explorer.mixture.predicted.value
    rebuilt.desk.mix({"a": 0.2, "<b>b</b>": 0.5, "c": 0.3})  # in a cell
    assert rebuilt.mixture.shares["<b>b</b>"].value == 0.5
    assert rebuilt.mixture.weights["web"].value == 1.0
    rebuilt.close()


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
    assert explorer.mixture.mix.to_dict() == {"a": 1, "<b>b</b>": 0, "c": 0}
    assert "outside the shares that were run" in explorer.mixture.predicted.value


def test_without_runs_and_mixtures_it_says_how_to_bring_them():
    made = ScalingExplorer()
    try:
        assert made.status.error is None
        assert repr(made).startswith("<ScalingExplorer of 0 runs")
        runs = made.runs
        assert "training_runs" in runs.empty.value
        assert shown(runs.empty, runs.table)
        assert hidden(runs.law, runs.refit, runs.held, runs.found)
        assert "fit_mixture" in made.mixture.children[0].value
        front(made, "IsoFLOP")
        assert "No runs are on the desk" in made.sizes_note.value
        # What is drawn anew gets no click that began on it: nothing is made when runs come.
        parts = (*runs.children, *runs.children[0].children)
        cells = runs_as_text(wb.synthetic_runs(models=4, multiples=(1, 4, 16)), "\t")
        runs.table.cells.value = cells
        runs.table.take.click()
        assert made.desk.brought == "pasted cells"
        assert (*runs.children, *runs.children[0].children) == parts
        assert shown(runs.law, runs.refit, runs.held, runs.found, runs.table)
        assert hidden(runs.empty)
        runs.bring.value = False
        assert hidden(runs.table)
    finally:
        made.close()


def shown(*parts):
    return all(part.layout.display == "" for part in parts)


def hidden(*parts):
    return all(part.layout.display == "none" for part in parts)


def test_shares_sum_to_1_wherever_a_slider_is_moved(explorer):
    panel, fit = explorer.mixture, explorer.desk.mixtures
    before = panel.mix.copy()
    panel.shares["a"].value = 0.6
    others = ["<b>b</b>", "c"]
    assert panel.mix["a"] == 0.6
    assert panel.mix.sum() == pytest.approx(1, abs=1e-12)
    ratio = before[others[0]] / before[others[1]]
    assert panel.mix[others[0]] / panel.mix[others[1]] == pytest.approx(ratio)
    # In the browser a slider answers a value between its steps with the step next to it.
    assert [panel.shares[name].value for name in panel.mix.index] == panel.mix.round(2).tolist()
    said = float(fit.predict(panel.mix.to_frame().T).iloc[0])
    assert f"predicted {said:.3f} nats" in panel.predicted.value
    cross = panel.figure.figure.data[-1]
    assert cross.name == "the sliders"
    drawn = [float(axis[0]) for axis in (cross.a, cross.b, cross.c)]
    assert sum(drawn) == pytest.approx(1, abs=2e-4)
    assert max(drawn) == pytest.approx(0.6, abs=1e-4)
    panel.shares["a"].value = 1.0
    panel.shares["a"].value = 0.5  # the others have nothing, and so no ratio: they share it
    assert panel.mix[others].tolist() == [0.25, 0.25]
    for name in panel.mix.index:
        panel.shares[name].value = 0.0
        assert panel.mix.sum() == pytest.approx(1)


def test_a_loss_may_count_ten_times_another():
    rng = np.random.default_rng(0)
    plan = pd.DataFrame(rng.dirichlet([1, 1, 1], 40), columns=["a", "b", "c"])
    losses = pd.DataFrame({
        name: 3 - plan[name] + 0.01 * rng.normal(size=40) for name in ("a", "b")
    })  # fmt: skip
    made = ScalingExplorer(mixtures=wb.fit_mixture(plan, losses))
    try:
        panel = made.mixture
        even = panel.figure.figure.data[1].marker.color
        panel.weights["a"].value = 10.0
        assert panel.weights["a"].value == 10.0
        weighed = panel.figure.figure.data[1].marker.color
        assert not np.array_equal(even, weighed)  # the heat follows the weights
        expected = made.desk.mixtures.predict(panel.mix.to_frame().T, {"a": 10, "b": 1}).iloc[0]
        assert f"predicted {expected:.3f}" in panel.predicted.value
        panel.weights["a"].value = panel.weights["b"].value = 0.0
        assert "weights of losses are 0 or more, one of them above" in str(made.status.error)
    finally:
        made.close()


CELLS = "Params\ttokens\tloss\tlearning rate\n" + "".join(
    f"{1e7 * 2**i}\t{2e8 * 3**j}\t{1.7 + 400 / (1e7 * 2**i) ** 0.34 + 400 / (2e8 * 3**j) ** 0.28}"
    "\t1e-3\n"
    for i in range(4)
    for j in range(3)
)


def test_runs_come_from_pasted_cells_and_the_code_holds_them():
    made = ScalingExplorer()
    try:
        table = made.runs.table
        table.cells.value = CELLS
        table.take.click()
        assert made.status.error is None
        assert "12 runs from pasted cells" in table.note.value
        assert made.loss.figure.data[-1].name == "runs"
        made.runs.refit.click()
        assert made.wait(120)
        assert "loss is taken to be in nats a token of MassiveText" in made.runs.found.value
        assert "N = params: parameters, all" in made.runs.found.value
        front(made, "Code")
        again: dict[str, object] = {}
        exec(made.code.code, again)  # nothing of this process is needed
        pd.testing.assert_frame_equal(again["desk"].runs, made.desk.runs, check_dtype=False)
        assert again["desk"].fit.law.constants == made.desk.fit.law.constants
    finally:
        made.close()


def test_runs_come_from_a_file_of_the_page(explorer):
    table = explorer.runs.table
    table.file.value = [_chosen("mine <b>.csv", CELLS.replace("\t", ",").encode())]
    assert explorer.status.error is None
    assert explorer.desk.brought == "mine <b>.csv"
    assert "mine &lt;b&gt;.csv" in table.note.value
    assert table.cells.value.startswith("run\tparams\ttokens\tlearning_rate\tloss")
    assert table.file.value == ()
    before = explorer.desk.runs
    for content, words in (
        (b"PK\x03\x04", "save it as CSV, or copy its cells"),
        (b"N,D,L\n1,2,3", "lacks the columns params, tokens, loss"),
        (b"x" * 2_000_001, "2,000,001 bytes, and a page takes 2,000,000"),
    ):
        table.file.value = [_chosen("other.csv", content)]
        assert words in str(explorer.status.error)
        assert words in table.note.value
        assert explorer.desk.runs is before


def _chosen(name, content):
    return {
        "name": name, "type": "text/csv", "size": len(content), "content": memoryview(content),
        "last_modified": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    }  # fmt: skip


def test_an_edited_number_moves_the_fit(quick):
    explorer = quick
    table = explorer.runs.table
    explorer.runs.refit.click()
    settled(explorer)
    first = explorer.desk.fit
    table.edit.click()
    names, *rows = table.cells.value.splitlines()
    at = names.split("\t").index("loss")
    cells = rows[0].split("\t")
    cells[at] = str(float(cells[at]) * 1.2)
    table.cells.value = "\n".join([names, "\t".join(cells), *rows[1:]])
    table.take.click()
    settled(explorer)
    assert explorer.desk.runs["loss"][0] == pytest.approx(first.runs["loss"][0] * 1.2)
    assert explorer.desk.fit is not first
    assert explorer.desk.fit.law.key == first.law.key
    assert explorer.desk.fit.residual > first.residual


def test_a_clicked_point_is_held_out_and_the_interval_moves(quick):
    explorer = quick

    def click(trace, point):
        """What plotly's half in the browser sends."""
        figure = explorer.loss.figure
        at = next(i for i, one in enumerate(figure.data) if one is trace)
        figure._js2py_pointsCallback = {
            "event_type": "plotly_click", "device_state": None, "selector": None,
            "points": {"trace_indexes": [at], "point_indexes": [point], "xs": [1.0], "ys": [1.0]},
        }  # fmt: skip

    def trace(name):
        return next(one for one in explorer.loss.figure.data if str(one.name).startswith(name))

    click(trace("runs"), 5)  # no law is fitted: only held out
    assert explorer.desk.held_out == {5}
    explorer.runs.refit.click()
    settled(explorer)
    wide = explorer.desk.fit.predict(explorer.desk.runs)
    assert trace("runs of").x[5] == explorer.desk.runs["params"][6]
    click(trace("runs of"), 5)  # the sixth of those that are left is run 6
    assert explorer.desk.held_out == {5, 6}
    settled(explorer)
    moved = explorer.desk.fit.predict(explorer.desk.runs)
    assert not np.allclose(wide["low"], moved["low"])
    assert [one.name for one in explorer.loss.figure.data if one.name == "runs"] == ["runs"]
    click(next(one for one in explorer.loss.figure.data if one.name == "runs"), 0)
    assert explorer.desk.held_out == {6}
    settled(explorer)
    click(explorer.loss.figure.data[0], 3)  # a curve is no run
    assert explorer.desk.held_out == {6}


def test_a_still_of_each_figure_is_written_beside_the_notebook(quick, tmp_path, monkeypatch):
    explorer = quick
    monkeypatch.chdir(tmp_path)
    explorer.runs.refit.click()
    settled(explorer)
    explorer.save.click()
    explorer.save.click()
    assert "scaling-loss-1.html is written" in explorer.status.words.value
    page = (tmp_path / "scaling-loss.html").read_text("utf-8")
    assert "arXiv 2404.10102" in page
    assert "L = E + A/N^a + B/D^b" in page
    assert "is taken to be in nats a token of MassiveText" in page
    assert f"{explorer.desk.runs['loss'][3]:.6f}" in page
    front(explorer, "Mixture")
    explorer.save.click()
    page = (tmp_path / "scaling-mixture.html").read_text("utf-8")
    assert "<b>b</b>" not in page.split("</script>")[-1]
    assert "&lt;b&gt;b&lt;/b&gt;" in page
    front(explorer, "IsoFLOP")
    explorer.save.click()
    assert "three sizes" in str(explorer.status.error)
    front(explorer, "Masks")
    explorer.save.click()
    assert "no figure in Masks yet" in str(explorer.status.error)
    front(explorer, "Book")
    explorer.save.click()
    assert "there is no figure in Book: open one of Loss" in str(explorer.status.error)


def test_figures_have_the_camera_of_plotly(explorer):
    config = explorer.loss.figure._config
    assert config["modeBarButtons"] == [["toImage"]]
    assert config["toImageButtonOptions"]["format"] == "png"
    assert config["toImageButtonOptions"]["filename"] == "scaling-loss"


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
