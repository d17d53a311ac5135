"""Figures of scaling laws: what is solid, what is dashed, what is hollow, and hostile names."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench import figures

HOSTILE = "<b>bold</b>"
RATES = ["step law", "deepseek", "ling"]


def traces(figure, **wanted):
    return [
        trace for trace in figure.data if all(trace[key] == value for key, value in wanted.items())
    ]


def drawn(trace):
    """The x at which a line has a value."""
    return np.asarray(trace.x)[np.isfinite(np.asarray(trace.y, dtype=float))]


# ---- laws -------------------------------------------------------------------------------------


def test_a_law_is_solid_where_it_was_measured_and_dashed_beyond():
    figure = figures.law_curves(["step law"], "params", {"tokens": 2e10})
    solid, dashed = figure.data
    assert (solid.line.dash, dashed.line.dash) == ("solid", "dash")
    assert solid.showlegend
    assert not dashed.showlegend
    step = (1.07e9 / 5.9e7 * 100) ** (1 / 59)  # of the axis; lines reach one point further
    assert drawn(solid).min() >= 5.9e7 / step
    assert drawn(solid).max() <= 1.07e9 * step
    assert drawn(dashed).min() == pytest.approx(5.9e6)
    assert drawn(dashed).max() == pytest.approx(1.07e10)
    every = np.union1d(drawn(solid), drawn(dashed))
    assert len(every) == 60
    at = int(np.isfinite(np.asarray(solid.y, dtype=float)).argmax())
    assert solid.y[at] == wb.LAWS["step law"].evaluate(params=solid.x[at], tokens=2e10)


def test_a_law_asked_outside_in_another_input_is_dashed_all_along():
    figure = figures.law_curves(["step law"], "params", {"tokens": 1e13})
    solid, dashed = figure.data
    assert not len(drawn(solid))
    assert len(drawn(dashed)) == 60


def test_inputs_may_be_tied_and_each_law_takes_its_own():
    tied = {"tokens": lambda params: 20 * params, "compute": lambda params: 120 * params**2}
    figure = figures.law_curves(["step law"], "params", tied)
    solid = figure.data[0]
    at = int(np.isfinite(np.asarray(solid.y, dtype=float)).argmax())
    size = solid.x[at]
    assert solid.y[at] == wb.LAWS["step law"].evaluate(params=size, tokens=20 * size)
    pair = figures.law_curves(["deepseek", "ling"], "compute")
    assert [trace.name for trace in traces(pair, showlegend=True)] == ["deepseek", "ling"]


def test_a_fit_brings_its_bands_and_its_runs():
    runs = wb.synthetic_runs(0.003)
    fit = wb.refit("besiroglu", runs, resamples=20)
    figure = figures.law_curves(["hoffmann", fit], "params", {"tokens": 2e10}, runs.head(3))
    names = [trace.name for trace in figure.data]
    assert "95 % of a run (besiroglu, refitted)" in names
    assert "95 % of the law (besiroglu, refitted)" in names
    (own,) = traces(figure, name="runs of besiroglu, refitted")
    (further,) = traces(figure, name="runs")
    assert (len(own.x), len(further.x)) == (48, 3)
    assert list(own.y) == pytest.approx(runs["loss"].tolist(), abs=1e-6)
    run, law = traces(figure, fill="toself")
    assert max(run.y) > max(law.y)
    quiet = figures.law_curves(
        [wb.refit("besiroglu", runs, resamples=0)], "params", {"tokens": 1e10}
    )
    assert traces(quiet, fill="toself") == []  # no intervals, no bands


@pytest.mark.parametrize(
    ("laws", "across", "inputs", "message"),
    [
        (["hoffmann", "minicpm"], "params", {"tokens": 1e10}, "in one unit only"),
        ([], "params", {}, "in one unit only, and these give nothing"),
        (RATES, "params", {}, "deepseek does not take params"),
        (["hoffmann"], "params", {}, "hoffmann needs params .*, tokens"),
        (["henighan math"], "params", {}, "no law states a range of params"),
    ],
)
def test_laws_that_are_not_drawn(laws, across, inputs, message):
    with pytest.raises(ValueError, match=message):
        figures.law_curves(laws, across, inputs)


# ---- runs -------------------------------------------------------------------------------------


def valleys(spread):
    rows = [
        (size, compute / 6 / size, 2 + 0.08 * np.log(size / best) ** 2)
        for compute, best in ((1e18, 1e8), (1e19, 3e8), (1e20, 1e9))
        for size in best * np.geomspace(*spread, 7)
    ]
    return pd.DataFrame(rows, columns=["params", "tokens", "loss"])


def test_isoflop_parabolas_stars_and_the_sizes_of_laws():
    found = wb.isoflop(valleys((0.3, 3)))
    figure = figures.isoflop_curves(found, ["besiroglu"])
    stars = [trace for trace in figure.data if trace.marker.symbol == "star"]
    assert [star.x[0] for star in stars] == pytest.approx([1e8, 3e8, 1e9])
    lines = [trace for trace in figure.data if trace.mode == "lines" and trace.line.dash is None]
    assert len(lines) == 3
    assert min(lines[0].y) == pytest.approx(2, abs=1e-3)
    (law,) = [trace for trace in figure.data if trace.line.dash == "dot"]
    assert law.x[0] == law.x[1] == wb.LAWS["besiroglu"].optimum(found.table["compute"][0])["params"]
    assert "compute^0.500" in figure.layout.title.text


def test_a_best_size_at_the_edge_is_hollow_and_says_so():
    figure = figures.isoflop_curves(wb.isoflop(valleys((1.5, 10))))
    hollow = [trace for trace in figure.data if trace.marker.symbol == "star-open"]
    assert len(hollow) == 3
    assert hollow[0].text[0] == "least at the smallest size: not bracketed"
    assert not [trace for trace in figure.data if trace.mode == "lines"]
    assert figure.layout.title.text == "IsoFLOP curves"


def test_sensitivity_curves_hold_their_groups_to_an_untrained_model():
    rates = np.array([1e-4, 1e-3, 1e-2, 1e-1])
    runs = pd.DataFrame(
        {
            "size": [HOSTILE] * 4 + ["small"] * 4,
            "learning_rate": [*rates, *rates],
            "loss": [4, 3, 3.5, np.nan, 5, 4, 3, 2],
        }
    )
    table = wb.rate_sensitivity(runs, 6.0, by="size")
    figure = figures.sensitivity_curves(runs, table, 6.0, {HOSTILE: 2e-3, "band": (1e-3, 3e-3)})
    first, best, second, edge, line, band = figure.data
    assert first.name.startswith("size &lt;b&gt;bold&lt;/b&gt;: sensitivity")
    assert list(first.y) == [4, 3, 3.5, 6]
    assert second.name.endswith("; not bracketed")
    assert (best.marker.symbol, edge.marker.symbol) == ("star", "star-open")
    assert best.x[0] - best.error_x.arrayminus[0] == pytest.approx(1e-4, rel=1e-4)
    assert edge.x[0] == pytest.approx(1e-1)
    assert (line.name, band.name) == ("&lt;b&gt;bold&lt;/b&gt;", "band")
    assert (set(line.x), set(band.x)) == ({2e-3}, {1e-3, 3e-3})


def test_retention_its_half_and_an_order_without_one():
    sizes = np.array([0, 1, 2, 4, 8, 16])
    rows = [("detected", 0, k, 1 / (1 + (k / 100 / 0.03) ** 2)) for k in sizes]
    rows += [(HOSTILE, 0, k, 1 - k / 100) for k in sizes]
    table = pd.DataFrame(rows, columns=["order", "draw", "heads", "retention"])
    figure = figures.retention_curve(wb.fit_retention(table, 100))
    names = [trace.name for trace in figure.data if trace.showlegend is None]
    assert names == ["&lt;b&gt;bold&lt;/b&gt;: no half", "detected: half at 0.03"]
    (half,) = [trace for trace in figure.data if list(trace.y) == [0.5]]
    assert half.x[0] == pytest.approx(0.03)
    (line,) = [trace for trace in figure.data if trace.mode == "lines"]
    assert (max(line.x), line.y[-1]) == (pytest.approx(0.16), pytest.approx(rows[5][3], abs=1e-3))
    assert figure.layout.xaxis.minorloglabels == "complete"  # .02 and not a small 2


def test_hostile_names_of_own_laws_stay_text():
    law = dataclasses.replace(wb.LAWS["step law"], key=HOSTILE)
    figure = figures.law_curves([law], "params", {"tokens": 2e10})
    assert "<b>" not in figure.to_json().replace("\\u003c", "<")
