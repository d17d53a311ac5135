"""What a desk leaves behind: the code that puts it together again, and a page that stands alone."""

from __future__ import annotations

import html

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
