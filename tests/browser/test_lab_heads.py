"""The table of heads in a real JupyterLab: checked by click, with hostile names of columns."""

from __future__ import annotations

import re

import pytest

from browser.lab import PATIENCE, Lab, button, fill, tab
from browser.table_page import HOSTILE
from browser.test_layout import boxes_of, in_view, into_view
from workbench.core.text import escape_control_characters

NOTEBOOK = f"""
import pandas as pd
import workbench as wb
from widgets import Explorer
names = {HOSTILE!r}
columns = pd.DataFrame({{"layer": [17, 0], "head": [3, 0], **dict.fromkeys(names, [2.0, 1.0])}})
explorer = Explorer(wb.load_model(), columns=columns)
explorer.session.detect(probes=4, max_tokens=560)
explorer
"""
PLAIN = "[float(x[0].sum()) for x in wb.token_losses(explorer.session.model, ['one two one two'])]"


@pytest.mark.slow
def test_the_heads_are_checked_by_click_and_the_verdict_stands_above(tmp_path, page):
    page.set_viewport_size({"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    lab = Lab(tmp_path)
    try:
        lab.notebook("heads.ipynb", NOTEBOOK)
        lab.show(page, "heads.ipynb")
        into_view(page)
        stock = lab.ask(PLAIN)
        tab(page, "Heads")
        page.locator(".aiw-doc-row:visible:not(.aiw-loading)").first.wait_for()
        before = boxes_of(
            page, ".aiw-status", ".aiw-cell", ".aiw-tabs", ".aiw-head-list .aiw-table"
        )

        button(page, "Check the heads").click()
        page.locator(".aiw-status-progress", has_text="left").wait_for()
        assert boxes_of(
            page, ".aiw-status", ".aiw-cell", ".aiw-tabs", ".aiw-head-list .aiw-table"
        ) == before  # fmt: skip
        button(page, "Cancel").click()
        lab.until("explorer.queues.long.busy", "False")
        assert lab.ask("explorer.session.report") == "None"
        assert not page.locator(".aiw-badge", has_text="checked").count()

        button(page, "Check the heads").click()
        badge = page.locator(".aiw-badge", has_text="checked: ")
        badge.wait_for()
        lab.settle()
        verdict = lab.ask("explorer.session.report.verdict")
        headline = lab.ask("explorer.session.report.headline")
        assert badge.text_content() == f"checked: {headline}"
        reasons = lab.ask("'\\n'.join(explorer.session.report.reasons)").splitlines()
        assert badge.get_attribute("title").splitlines() == [verdict, *reasons]
        in_view(page, ".aiw-title")
        note = page.locator(".aiw-head-list .aiw-note-line [role=status]")
        assert note.text_content() == verdict
        assert lab.ask(PLAIN) == stock  # nothing is left masked

        # Titles of columns are text, as wide a table as there is.
        page.locator(".aiw-column", has_text="retrieval").wait_for()
        titles = page.locator(".aiw-column").evaluate_all("(all) => all.map((one) => one.title)")
        hostile = [title for title in titles if title in map(escape_control_characters, HOSTILE)]
        assert hostile  # as many as there is room for
        assert page.evaluate("() => window.acted") is None
        assert page.locator(".aiw-head-list script, .aiw-head-list img").count() == 0
        options = page.locator(".aiw-heads select option").all_text_contents()
        shown = {option.replace("\xa0", " ") for option in options}
        assert {escape_control_characters(name) for name in HOSTILE} <= shown
    finally:
        lab.close()


@pytest.mark.slow
def test_a_row_points_at_its_cell_and_a_cancelled_curve_keeps_its_points(tmp_path, page):
    page.set_viewport_size({"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    lab = Lab(tmp_path)
    try:
        lab.notebook("rows.ipynb", "from widgets import Explorer\nexplorer = Explorer()\nexplorer")
        lab.show(page, "rows.ipynb")
        into_view(page)
        tab(page, "Heads")
        rows = page.locator(".aiw-doc-row:visible:not(.aiw-loading)")
        rows.first.wait_for()
        rows.nth(2).hover()
        points_at(page, rows.nth(2))
        rows.nth(4).click()
        page.keyboard.press("ArrowDown")
        points_at(page, page.locator(".aiw-doc-row:focus"))
        page.mouse.move(5, 5)
        points_at(page, page.locator(".aiw-doc-row:focus"))

        tab(page, "Curves")
        fill(page, "On how many lookup probes", "1")
        fill(page, "How many random orders", "100")  # no machine is through before the click
        fill(page, "Sizes", "0 1 4 14")
        button(page, "Draw the masking curve").click()
        points = page.locator(".js-plotly-plot .scatterlayer .point")
        points.first.wait_for()
        drawn = points.count()
        button(page, "Cancel").click()
        lab.until("explorer.queues.long.busy", "False")
        page.get_by_text("what was measured until then stays").wait_for()
        assert points.count() >= drawn > 0
        detected = "[int(size) for size in explorer.curves.figure.figure.data[2].x]"
        assert lab.ask(detected) == "[0, 1, 4, 14]"
    finally:
        lab.close()


def points_at(page, row):
    """The cell of the head that a row is of is outlined, and no other."""
    layer, head = re.findall(r"\d+", row.get_by_role("gridcell").first.text_content())
    page.locator(f'.aiw-pointed[data-index="{9 * int(layer) + int(head)}"]').wait_for()
    assert page.locator(".aiw-pointed").count() == 1
