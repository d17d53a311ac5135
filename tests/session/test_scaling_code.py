"""What a desk leaves behind: the code that puts it together again, and a page that stands alone."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd
import pytest

import workbench as wb


@pytest.fixture
def runs():
    return wb.synthetic_runs(noise=0.002)


def test_runs_that_were_brought_stand_in_the_code(runs):
    """Nothing but the code is needed, whatever the names of the runs hold."""
    desk = wb.ScalingDesk(laws=["besiroglu"])
    given = wb.training_runs(runs.assign(run=[f'run {i} """\\n<b>\'' for i in range(48)]))
    desk.bring(given, "my 'runs'.csv")
    desk.hold_out([47])
    desk.refit(resamples=5)
    names: dict[str, object] = {}
    exec(desk.code(), names)
    again = names["desk"]
    pd.testing.assert_frame_equal(again.runs, desk.runs, check_dtype=False, check_exact=True)
    assert again.held_out == {47}
    assert again.fit.law.constants == desk.fit.law.constants
    desk.bring(given.head(10))
    assert (desk.held_out, desk.fit) == (frozenset(), None)
    with pytest.raises(ValueError, match="lacks tokens"):
        desk.bring(runs.drop(columns="tokens"))
    assert len(desk.runs) == 10


@pytest.fixture
def mixtures():
    plan = pd.DataFrame(
        np.random.default_rng(0).dirichlet([1, 1, 1], 30), columns=["a", "\"b'", "c"]
    )
    losses = pd.DataFrame({"web": 3 + np.exp(-2 * plan["a"]), "code": 2 + np.exp(-plan["c"])})
    return wb.fit_mixture(plan, losses)


def test_the_lock_the_draws_of_the_fit_and_the_mixture_are_in_the_code(runs, mixtures):
    desk = wb.ScalingDesk(runs, mixtures=mixtures, laws=["besiroglu"])
    desk.locked = "params"
    desk.change("compute", 3e20)
    fit = desk.refit(resamples=7)
    desk.find_mixture({"web": 2, "code": 1})
    said = desk.mix({"c": 0.25, "a": 0.125, "\"b'": 0.625}, {"web": 1.0, "code": 3.0})
    names = {"runs": runs, "mixtures": mixtures}
    exec(desk.code(), names)
    again = names["desk"]
    assert again.code() == desk.code()
    for name in ("params", "tokens", "compute"):
        assert again.inputs[name] == pytest.approx(desk.inputs[name], rel=1e-15)
    again.change("compute", 6e20)  # what is locked stays
    assert again.inputs["params"] == desk.inputs["params"]
    assert len(again.fit.drawn) == 7
    pd.testing.assert_frame_equal(again.fit.parameters, fit.parameters)
    pd.testing.assert_frame_equal(again.best.frame, desk.best.frame)
    assert again.predicted(again.shares, again.weights) == said
    assert again.shares.to_dict() == {"a": 0.125, "\"b'": 0.625, "c": 0.25}


def test_a_mixture_that_is_found_takes_the_place_of_the_one_looked_at(mixtures):
    desk, heard = wb.ScalingDesk(mixtures=mixtures), []
    desk.on_change(heard.append)
    desk.mix(mixtures.runs.iloc[0])
    assert "desk.mix(" in desk.code()
    desk.find_mixture()
    assert heard == ["shares", "mixture"]
    assert (desk.shares, desk.weights) == (None, None)
    assert "desk.mix(" not in desk.code()
    with pytest.raises(ValueError, match=r"a mixture has a share of each of \['a', .* got \['a'\]"):
        desk.mix({"a": 1.0})
    with pytest.raises(ValueError, match=r"weights of \['books'\]"):
        desk.mix(mixtures.runs.iloc[0], {"books": 1})
    assert desk.shares is None


def test_a_figure_is_kept_with_its_data_formulas_sources_and_code(runs, tmp_path):
    named = wb.training_runs(runs).assign(run="<img src=x onerror=hurt()>")
    desk = wb.ScalingDesk(named, laws=["besiroglu"])
    desk.hold_out([2])
    desk.refit(resamples=5)
    path = desk.write_html(tmp_path / "still.html")
    page = path.read_text("utf-8")
    assert "<script src=" not in page  # it loads nothing
    assert "Plotly.newPlot" in page
    after = page[page.rindex("</script>") :]
    for law in (wb.LAWS["besiroglu"],):
        for words in (law.text, law.source, law.output.unit, "tokens a parameter at 1e+21 FLOP"):
            assert words in after
    assert html.escape(desk.fit.describe()) in after
    assert html.escape(desk.fit.units) in after
    assert html.escape(desk.code()) in after
    assert f"{runs['loss'][7]:.6f}"[:8] in after
    assert after.count("held out") == 1
    assert "<img" not in page
    assert "&lt;img src=x" in after
    figure = wb.figures.law_curves(["step law"], "tokens", {"params": 1e9})
    other = desk.write_html(
        tmp_path / "b.html", figure, title="<b>", tables={"<i>": runs.head(1)}, laws=["step law"]
    ).read_text("utf-8")
    assert "<title>&lt;b&gt;</title>" in other
    assert "<h2>&lt;i&gt;</h2>" in other
    assert "arXiv 2503.04715" in other
