"""What the head grid shows and says, and what Python's changes do to it."""

from __future__ import annotations

import pytest

from browser.grid_page import LEGEND, cell, centre, drawn, floats, mask_of, masked, show
from browser.mounting import contrast, receive, saved, style

# ---- what is said --------------------------------------------------------------------------------


def test_says_what_it_is(page):
    values = [0.0] * 24
    values[17] = 0.756
    show(page, masked=[17], values=values)
    grid = page.get_by_role("grid")
    assert grid.get_attribute("aria-rowcount") == "5"
    assert grid.get_attribute("aria-colcount") == "7"
    assert grid.get_attribute("aria-multiselectable") == "true"
    keys = "Space toggles a head, L its layer, H it in every layer"
    name = f"6 layers of 4 query heads, by score; {keys}"
    assert grid.get_attribute("aria-label") == name
    rows = page.locator('[role="row"]')
    assert [row.get_attribute("aria-rowindex") for row in rows.all()] == list("12345")
    assert page.get_by_role("gridcell").count() == 24
    assert page.get_by_role("columnheader").count() == 7
    assert page.get_by_role("rowheader").count() == 4
    label = "layer 4, head 1, score 0.76, masked"
    assert cell(page, 17).get_attribute("aria-label") == label
    assert cell(page, 0).get_attribute("aria-label") == "layer 0, head 0, score 0.00, not masked"
    cell(page, 17).hover()
    assert page.locator(".aiw-readout").text_content() == label
    cell(page, 0).click()
    spoken = page.locator("[aria-live]").text_content()
    assert spoken == "layer 0, head 0, score 0.00, masked"
    page.locator('.aiw-label[data-layer="0"]').click()
    assert page.locator("[aria-live]").text_content() == "layer 0 masked, 5 heads masked"


def test_one_cell_takes_the_tab_key(page):
    show(page)
    stops = page.locator('#widget [tabindex="0"]')
    assert stops.count() == 1
    cell(page, 11).click()
    assert stops.count() == 1
    assert stops.get_attribute("data-index") == "11"
    page.keyboard.press("ArrowRight")
    assert stops.count() == 1
    assert stops.get_attribute("data-index") == "15"


def test_heads_without_a_value(page):
    nan = float("nan")
    show(page, values=[nan, 0.5, *[nan] * 22])
    assert page.locator(".aiw-unknown").count() == 23
    label = cell(page, 0).get_attribute("aria-label")
    assert label == "layer 0, head 0, no value yet, not masked"
    cell(page, 0).click()
    assert masked(page) == [0]
    receive(page, values=floats([nan] * 24))
    assert page.locator(".aiw-bar").count() == 0  # no scale without a value
    assert page.locator(".aiw-legend").text_content() == "scoremasked"


def test_strength_and_sign_are_coloured(page):
    show(page, values=[0.0, 0.5, 1.0, 7.0] + [0.0] * 20)
    heat = [style(page, f'.aiw-cell[data-index="{i}"]', "backgroundColor") for i in range(4)]
    assert heat[0] == "rgba(0, 114, 178, 0)"
    assert heat[1] == "rgba(0, 114, 178, 0.5)"
    assert heat[2] == heat[3] == "rgb(0, 114, 178)"
    effect = {"name": "effect", "low": -2.0, "high": 2.0, "digits": 3, "diverging": True}
    receive(page, legend=effect, values=floats([-2.0, 1.0, 0.0, 2.0] + [0.0] * 20))
    heat = [style(page, f'.aiw-cell[data-index="{i}"]', "backgroundColor") for i in range(4)]
    assert heat[0] == "rgb(0, 114, 178)"
    assert heat[1] == "rgba(213, 94, 0, 0.5)"
    assert heat[3] == "rgb(213, 94, 0)"
    label = cell(page, 1).get_attribute("aria-label")
    assert label == "layer 0, head 1, effect 1.000, not masked"
    assert page.locator(".aiw-legend").text_content() == "effect-2.0002.000masked"


# ---- what Python changes -------------------------------------------------------------------------


def test_python_repaints_the_same_cells(page):
    show(page, masked=[1])
    page.evaluate("() => { window.before = [...document.querySelectorAll('.aiw-cell')]; }")
    receive(page, mask=mask_of(24, {2, 3}))
    assert drawn(page) == [2, 3]
    receive(page, values=floats([0.25] * 24))
    assert "score 0.25" in cell(page, 0).get_attribute("aria-label")
    receive(page, legend=LEGEND | {"name": "change of loss", "digits": 1})
    assert "change of loss 0.3" in cell(page, 23).get_attribute("aria-label")
    assert "by change of loss" in page.get_by_role("grid").get_attribute("aria-label")
    now = "[...document.querySelectorAll('.aiw-cell')]"
    assert page.evaluate(f"() => {now}.every((one, i) => one === window.before[i])")
    assert saved(page, "mask") == []  # nothing of it goes back to Python


def test_the_echo_of_a_click_does_not_break_the_next_drag(page):
    # With slow Python, its answer to the first click comes when the next stroke is under way.
    show(page)
    cell(page, 20).click()
    page.mouse.move(*centre(page, 0))
    page.mouse.down()
    receive(page, mask=mask_of(24, {20}))
    page.mouse.move(*centre(page, 8))
    page.mouse.up()
    assert masked(page) == [0, 4, 8, 20]


def test_an_undo_wins_over_an_unfinished_drag(page):
    show(page, masked=[20])
    page.mouse.move(*centre(page, 0))
    page.mouse.down()
    receive(page, mask=mask_of(24, {21}))
    page.mouse.move(*centre(page, 8))
    page.mouse.up()
    assert drawn(page) == [21]
    assert saved(page, "mask") == []


@pytest.mark.parametrize(("layers", "heads"), [(32, 64), (64, 32)])
def test_a_toggle_among_2048_heads_touches_one_cell(page, layers, heads):
    show(page, layers, heads)
    assert page.locator(".aiw-cell").count() == 2048
    boxes = page.locator(".aiw-cell").evaluate_all(
        "(cells) => cells.map((one) => [one.offsetWidth, one.offsetHeight])"
    )
    assert min(map(min, boxes)) >= 8
    page.evaluate(
        """() => {
          window.touched = new Set();
          const noted = (list) => list.forEach((one) => window.touched.add(one.target));
          const options = { subtree: true, childList: true, attributes: true };
          options.attributeFilter = ["class", "style", "aria-label", "aria-selected"];
          new MutationObserver(noted).observe(document.querySelector(".aiw-grid"), options);
        }"""
    )
    cell(page, 1000).click()
    assert masked(page) == [1000]
    touched = page.evaluate("() => [...window.touched].map((one) => one.dataset.index)")
    assert touched == ["1000"]


def test_cleanup_takes_every_listener_off(page):
    show(page)
    assert page.evaluate("() => window.model.listeners.length") == 3
    page.mouse.move(*centre(page, 0))
    page.mouse.down()
    page.evaluate("() => window.cleanup()")
    page.mouse.move(*centre(page, 8), steps=4)
    page.mouse.up()
    assert page.evaluate("() => window.model.listeners.length") == 0
    assert drawn(page) == [0]
    assert page.evaluate("() => window.sent") == []


# ---- themes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark", None])
def test_can_be_read_in_every_theme(page, theme):
    show(page, masked=[0, 1, 23], values=[0.0, 1.0] + [0.5] * 22, theme=theme)
    paper = "rgba(0, 0, 0, 0)"
    for text in (".aiw-label[data-layer]", ".aiw-readout", ".aiw-legend span"):
        assert contrast(page, style(page, text, "color"), paper) >= 4.5, text
    for i in (0, 1):  # the mark of a masked head on the faintest and on the strongest colour
        cell = f'.aiw-cell[data-index="{i}"]'
        ink, heat = style(page, cell, "borderTopColor"), style(page, cell, "backgroundColor")
        assert contrast(page, ink, heat) >= 3, i
        assert "linear-gradient" in style(page, cell, "backgroundImage")
    legend = LEGEND | {"diverging": True}
    receive(page, legend=legend, values=floats([1.0] * 24))
    cell = '.aiw-cell[data-index="0"]'
    ink, heat = style(page, cell, "borderTopColor"), style(page, cell, "backgroundColor")
    assert contrast(page, ink, heat) >= 3
