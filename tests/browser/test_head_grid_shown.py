"""What the head grid shows and says, and what Python's changes do to it."""

from __future__ import annotations

import pytest

from browser.grid_page import LEGEND, cell, centre, drag, drawn, floats, mask_of, masked, show
from browser.mounting import contrast, receive, saved, style

# ---- what is said --------------------------------------------------------------------------------


def test_says_what_it_is(page):
    values = [0.0] * 24
    values[17] = 0.756
    show(page, masked=[17], values=values)
    grid = page.get_by_role("grid")
    assert grid.get_attribute("aria-rowcount") == "7"
    assert grid.get_attribute("aria-colcount") == "5"
    assert grid.get_attribute("aria-multiselectable") == "true"
    keys = "Space toggles a head, L its layer, H it in every layer"
    name = f"6 layers of 4 query heads, by score; {keys}"
    assert grid.get_attribute("aria-label") == name
    rows = page.locator('[role="row"]')
    assert [row.get_attribute("aria-rowindex") for row in rows.all()] == list("1234567")
    assert page.get_by_role("gridcell").count() == 24
    assert page.get_by_role("columnheader").count() == 5
    assert page.get_by_role("rowheader").count() == 6
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


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_cell_that_another_view_points_at_is_outlined(page, theme):
    show(page, masked=[10], theme=theme)
    for i in (9, 10):
        receive(page, pointed=i)
        outlined = page.locator(".aiw-pointed")
        assert outlined.count() == 1
        assert outlined.get_attribute("data-index") == str(i)
        assert style(page, ".aiw-pointed", "outlineStyle") == "solid"
        assert (
            contrast(
                page,
                style(page, ".aiw-pointed", "outlineColor"),
                "rgb(0, 0, 0)" if theme == "dark" else "rgb(255, 255, 255)",
            )
            > 3
        )
        assert page.locator(".aiw-readout").text_content() == cell(page, i).get_attribute(
            "aria-label"
        )
    receive(page, pointed=-1)
    assert page.locator(".aiw-pointed").count() == 0
    assert page.locator(".aiw-masked.aiw-cell").count() == 1


def test_one_cell_takes_the_tab_key(page):
    show(page)
    stops = page.locator('#widget [tabindex="0"]')
    assert stops.count() == 1
    cell(page, 11).click()
    assert stops.count() == 1
    assert stops.get_attribute("data-index") == "11"
    page.keyboard.press("ArrowDown")
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
    assert page.locator(".aiw-legend").text_content() == "masked"


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
    assert page.locator(".aiw-legend").text_content() == "-2.0002.000masked"
    receive(page, values=floats([-3.0, 1.0, 0.0, 2.0] + [0.0] * 20))  # one beyond the scale
    assert page.locator(".aiw-legend").text_content() == "\u2264 -2.0002.000masked"
    receive(
        page, legend=effect | {"low": -0.0001, "high": 0.0001, "digits": 2, "note": "of a text"}
    )
    legend = page.locator(".aiw-legend").text_content()
    assert legend == "\u2264 0.00\u2265 0.00masked"  # nothing has no sign
    assert page.locator(".aiw-legend-note").text_content() == "of a text"


def readout(page):
    return page.locator(".aiw-readout").text_content()


def test_the_readout_says_what_its_cell_says_after_every_change(page):
    show(page)
    cell(page, 9).hover()
    changes = [
        {"mask": mask_of(24, {9})}, {"mask": mask_of(24, set())}, {"values": floats([0.5] * 24)},
        {"legend": LEGEND | {"name": "need", "digits": 3}}, {"values": floats([float("nan")] * 24)},
    ]  # fmt: skip
    said = []
    for change in changes:
        receive(page, **change)
        assert readout(page) == cell(page, 9).get_attribute("aria-label")
        assert page.locator(".aiw-tip").text_content() == readout(page)
        said.append(readout(page))
    assert len(set(said)) == len(changes)
    page.locator('.aiw-label[data-layer="2"]').click()
    assert readout(page) == cell(page, 8).get_attribute("aria-label")  # where the focus went
    assert "not masked" not in readout(page)


def test_layer_and_head_of_the_pointed_cell_are_named_at_the_edges(page):
    show(page, layers=80, heads=8)
    cell(page, 67 * 8 + 5).hover()
    here = page.locator(".aiw-here").all()
    assert {one.get_attribute("aria-label") for one in here} == {
        "layer 67",
        "head 5 of every layer",
    }
    for one in here:
        assert (
            contrast(page, one.evaluate("(e) => getComputedStyle(e).color"), "rgba(0,0,0,0)") > 4.5
        )
    tip = page.locator(".aiw-tip")
    assert tip.is_visible()
    box, frame = tip.bounding_box(), page.locator(".aiw-grid-widget").bounding_box()
    assert frame["x"] <= box["x"]
    assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
    page.mouse.move(990, 790)
    assert not tip.is_visible()


def test_labels_are_never_cut(page):
    """A number that has no room is left out, not shortened to another number."""
    show(page, layers=80, heads=32)
    cut = page.locator(".aiw-label:not(.aiw-mute)").evaluate_all(
        "(labels) => labels.filter((one) => one.textContent.length > 1 &&"
        " one.getBoundingClientRect().width + 8 < one.scrollWidth).map((one) => one.textContent)"
    )
    assert cut == []


def test_deep_models_stand_in_blocks_side_by_side(page):
    show(page, layers=80, heads=8)
    boxes = [cell(page, layer * 8).bounding_box() for layer in range(80)]
    assert len({round(box["x"]) for box in boxes}) > 1
    assert max(box["y"] for box in boxes) < 600
    # In reading order, each cell in a place of its own.
    places = {(round(box["x"]), round(box["y"])) for box in boxes}
    assert len(places) == 80
    drag(page, 0, 8)
    assert masked(page) == [0, 8]


def test_the_set_compared_with_is_marked(page):
    show(page, masked=[1], reference=[1, 7])
    marked = page.locator(".aiw-reference")
    assert [one.get_attribute("data-index") for one in marked.all()] == ["1", "7"]
    assert "compared with" in page.locator(".aiw-legend").text_content()
    receive(page, reference=mask_of(24, set()))
    assert marked.count() == 0
    assert "compared with" not in page.locator(".aiw-legend").text_content()


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
    touched = page.evaluate(
        "() => [...window.touched].map((one) => one.dataset.index).filter((one) => one)"
    )
    assert touched == ["1000"]  # beside the names of its layer and head


def test_cleanup_takes_every_listener_off(page):
    show(page)
    assert page.evaluate("() => window.model.listeners.length") == 6
    page.mouse.move(*centre(page, 0))
    page.mouse.down()
    page.evaluate("() => window.cleanup()")
    page.mouse.move(*centre(page, 8), steps=4)
    page.mouse.up()
    assert page.evaluate("() => window.model.listeners.length") == 0
    assert drawn(page) == [0]
    assert saved(page, "mask") == []


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
