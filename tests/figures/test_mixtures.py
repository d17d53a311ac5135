"""Figures of mixtures: heat only where shares were run, the runs, the best; text as it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench import figures

DOMAINS = ["<b>web</b>", "code", "%{math}", "books"]


@pytest.fixture(scope="module", params=[3, 4])
def made(request):
    domains = DOMAINS[: request.param]
    rng = np.random.default_rng(0)
    shares = pd.DataFrame(rng.dirichlet(np.ones(len(domains)), 40), columns=domains)
    shares = shares[(shares["code"] < 0.6) & (shares["code"] > 0.1)]
    losses = 2 + np.exp(1 - 3 * shares["<b>web</b>"] - shares["code"])
    fit = wb.fit_mixture(shares, pd.DataFrame({"<i>one</i>": losses, "two": losses**2}))
    return fit, fit.best({"two": 1}, draws=20)


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_heat_is_the_prediction_inside_the_shares_that_were_run(made):
    fit, best = made
    three = DOMAINS[:3]
    drawn = traces(figures.mixture_simplex(fit, best, three))
    heat, grey = drawn["inside the shares run"], drawn["no such share was run"]
    assert len(heat.a) + len(grey.a) == 41 * 42 / 2
    assert len(heat.a) > 50
    left = best.shares[three].sum()
    points = pd.DataFrame([best.shares] * len(heat.a)).reset_index(drop=True)
    for name, side in zip(three, (heat.a, heat.b, heat.c), strict=True):
        points[name] = np.asarray(side) * left
    # The corners are rounded to four places, so that the notebook stays small.
    expected = fit.predict(points, {"two": 1})
    np.testing.assert_allclose(heat.marker.color, expected, atol=2e-3)
    low, high = fit.runs.min(), fit.runs.max()
    assert (points >= low - 1e-4).all(axis=None)
    assert (points <= high + 1e-4).all(axis=None)
    outside = np.c_[grey.a, grey.b, grey.c] * left
    beyond = (outside < low[three].to_numpy() + 1e-4) | (outside > high[three].to_numpy() - 1e-4)
    assert beyond.any(axis=1).all()


def test_runs_are_dots_and_the_best_is_a_star(made):
    fit, best = made
    drawn = traces(figures.mixture_simplex(fit, best, DOMAINS[:3]))
    among = fit.runs[DOMAINS[:3]].div(fit.runs[DOMAINS[:3]].sum(axis=1), axis=0)
    name = "runs" if len(fit.runs.columns) == 3 else "runs (small: mostly other domains)"
    np.testing.assert_allclose(drawn[name].b, among["code"], atol=1e-4)
    star = drawn["best"]
    assert star.marker.symbol == "star"
    assert star.b[0] == pytest.approx(
        best.shares["code"] / best.shares[DOMAINS[:3]].sum(), abs=1e-4
    )
    assert "best" not in traces(figures.mixture_simplex(fit))


def test_a_run_is_as_large_as_its_share_of_the_three_and_left_out_without_one():
    names = ["web", "code", "math", "books"]
    rng = np.random.default_rng(1)
    shares = pd.DataFrame(rng.dirichlet(np.ones(4), 12), columns=names)
    shares.loc[3] = [0.0, 0.0, 0.03, 0.97]
    shares.loc[5] = [0.0, 0.0, 0.0, 1.0]
    fit = wb.fit_mixture(shares, pd.DataFrame({"loss": 2 + np.exp(1 - shares["web"])}))
    figure = figures.mixture_simplex(fit, domains=names[:3])
    runs = traces(figure)["runs (small: mostly other domains)"]
    assert [text.split(": run ")[1].split(",")[0] for text in runs.text] == [
        str(label) for label in range(12) if label != 5
    ]
    expected = [1 - shares.loc[label, "books"] for label in range(12) if label != 5]
    np.testing.assert_allclose(runs.marker.size, expected, atol=1e-4)
    assert runs.marker.sizemode == "area"
    place = [text.split(": run ")[1].startswith("3,") for text in runs.text].index(True)
    assert (runs.a[place], runs.b[place], runs.c[place]) == (0, 0, 1)
    assert runs.marker.size[place] == pytest.approx(0.03)
    assert "3% of which is these" in runs.text[place]
    assert "; 11 of 12 runs;" in figure.layout.title.text


def test_a_cross_stands_at_the_shares_that_are_asked_for(made):
    fit, best = made
    three = DOMAINS[:3]
    at = pd.Series(1 / len(fit.runs.columns), index=fit.runs.columns)
    drawn = traces(figures.mixture_simplex(fit, best, three, weights={"two": 1}, at=at))
    cross = drawn["the sliders"]
    assert (cross.a[0], cross.b[0], cross.c[0]) == pytest.approx([1 / 3] * 3, abs=1e-4)
    loss = float(fit.predict(at.to_frame().T, {"two": 1}).iloc[0])
    assert f"{loss:.4f} nats predicted" in cross.text[0]
    # The heat is over what the three share there, the others as they are asked for.
    heat = drawn["inside the shares run"]
    points = pd.DataFrame([at] * len(heat.a)).reset_index(drop=True)
    for name, side in zip(three, (heat.a, heat.b, heat.c), strict=True):
        points[name] = np.asarray(side) * at[three].sum()
    np.testing.assert_allclose(heat.marker.color, fit.predict(points, {"two": 1}), atol=2e-3)
    nothing = at.mask(at.index.isin(three), 0.0)
    with pytest.raises(ValueError, match="have no share between them"):
        figures.mixture_simplex(fit, best, three, at=nothing)


def test_names_are_shown_as_they_are(made):
    fit, best = made
    for figure in (
        figures.mixture_simplex(fit, best, DOMAINS[:3]), figures.mixture_shares(best)
    ):  # fmt: skip
        text = figure.to_json()
        assert "<b>" not in text
        assert "\\u003cb\\u003e" not in text
        assert "&lt;b&gt;web&lt;" in text
        for trace in figure.data:  # a template would put values in the place of such a name
            assert "math" not in (trace.hovertemplate or "")


def test_shares_are_those_of_the_table(made):
    _, best = made
    drawn = traces(figures.mixture_shares(best))
    table = best.frame.iloc[::-1]
    np.testing.assert_allclose(drawn["best"].x, table["share"], atol=1e-4)
    bars = drawn["shares that were run"]
    np.testing.assert_allclose(bars.base, table["lowest_run"])
    np.testing.assert_allclose(np.add(bars.base, bars.x), table["highest_run"])


@pytest.mark.parametrize("three", [["code"], ["code"] * 3, ["code", "%{math}", "prose"]])
def test_what_is_no_triangle_is_refused(made, three):
    with pytest.raises(ValueError, match="make a triangle"):
        figures.mixture_simplex(made[0], domains=three)
