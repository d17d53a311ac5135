"""The document table in the browser: what it holds, what it asks for, what it shows and says."""

from __future__ import annotations

import numpy as np
import pytest

from browser.mounting import accessible, contrast, deliver, messages, receive, style
from browser.table_page import (
    HOSTILE,
    MANY,
    ROW,
    TEXT,
    answer,
    asked,
    focused,
    on_screen,
    rest,
    row,
    scroll,
    settle,
    show,
)
from widgets.views.browser_files import stylesheet
from widgets.views.row_table import column

TAB = """
<div class="aiw-explorer"><div class="aiw-tabs" style="height: 400px; display: flex">
  <div class="lm-StackedPanel"><div class="aiw-documents widget-box">
    <div style="height: 100px">form and filters</div><div class="aiw-looking widget-box"></div>
  </div></div>
</div></div>
"""
# ---- scrolling -----------------------------------------------------------------------------------


def test_only_what_is_on_the_screen_is_asked_for(page):
    show(page)
    settle(page)
    (first,) = asked(page)
    assert (first["first"], first["revision"]) == (0, 1)
    assert 16 <= first["count"] <= 60
    assert on_screen(page)[0] == [0, "document 0"]
    assert [number for number, _ in on_screen(page)] == list(range(16))
    for top in (50_000 * ROW, 77_777 * ROW + 5, 0, MANY * ROW):
        scroll(page, top)
        settle(page)
        assert page.locator(".aiw-doc-row").count() < 100
        assert all(text == f"document {number}" for number, text in on_screen(page))
    assert on_screen(page)[-1] == [MANY - 1, "document 99999"]
    assert sum(request["count"] for request in asked(page)) < 250
    assert all(request["first"] + request["count"] <= MANY for request in asked(page))


def test_the_documents_tab_holds_the_table_to_what_is_left_of_it(page):
    show(page, total=2000)
    boxes = ".widget-box { display: flex; flex-direction: column; box-sizing: border-box }"
    page.add_style_tag(content=boxes + stylesheet("explorer").read_text("utf-8"))
    page.evaluate(
        """(tab) => {
          document.body.insertAdjacentHTML("beforeend", tab);
          const widget = document.getElementById("widget");
          widget.classList.add("aiw-fill");
          document.querySelector(".aiw-looking").append(widget);
        }""",
        TAB,
    )
    settle(page)
    assert 200 <= page.locator(".aiw-table").bounding_box()["height"] <= 300
    assert page.locator(".aiw-doc-row").count() < 100
    panel = page.locator(".lm-StackedPanel")
    assert panel.evaluate("(one) => one.scrollHeight <= one.clientHeight")


def test_rows_that_stay_are_not_asked_for_again(page):
    show(page)
    settle(page)
    known = asked(page)[0]["count"]
    scroll(page, 4 * ROW)
    assert [(request["first"], request["count"]) for request in asked(page)[1:]] == [(known, 4)]
    settle(page)
    scroll(page, 0)
    assert len(asked(page)) == 2


def test_elements_are_used_again(page):
    show(page)
    settle(page)
    scroll(page, 5000 * ROW)
    staying = row(page, 5010).element_handle()
    scroll(page, 5003 * ROW)
    assert staying.get_attribute("aria-rowindex") == str(5012)  # only rows that leave are refilled
    page.evaluate("() => { window.before = [...document.querySelectorAll('.aiw-doc-row')]; }")
    for top in (20_000, 90_000, 3):
        scroll(page, top * ROW)
        settle(page)
    same = page.evaluate(
        "() => { const now = new Set(document.querySelectorAll('.aiw-doc-row'));"
        " return now.size === window.before.length && window.before.every((one) => now.has(one)); }"
    )
    assert same


def test_dragging_the_scrollbar_does_not_flood_python(page):
    show(page)
    settle(page)
    seconds = page.evaluate(
        """async () => {
          const view = document.querySelector(".aiw-view");
          const begin = performance.now();
          for (let i = 1; i <= 60; i++) {
            view.scrollTop = i * 40000;
            await new Promise(requestAnimationFrame);
          }
          return (performance.now() - begin) / 1000;
        }"""
    )
    # While no answer has come nothing else is asked for, but that one may be lost after a second.
    assert len(asked(page)) <= 3 + seconds
    rest(page, 1200)
    last = asked(page)[-1]
    assert last["first"] <= 60 * 40000 // ROW < last["first"] + last["count"]
    so_far = len(asked(page))
    receive(page, opened=7)  # draws the table again
    rest(page, 1200)
    receive(page, opened=14)
    assert len(asked(page)) == so_far  # nor is the same place asked for again and again


def test_places_not_yet_loaded_are_told_apart(page):
    show(page)
    rest(page)
    assert page.locator(".aiw-doc-row.aiw-loading:not([hidden])").count() > 16
    assert row(page, 3).get_attribute("aria-busy") == "true"
    # All rows can be gone to, and a screen reader has something to say of each.
    assert {name for role, name in accessible(page, "#widget") if role == "row"} == {"loading"}
    row(page, 3).click()
    assert messages(page, "open") == []
    settle(page)
    assert page.locator(".aiw-loading").count() == 0
    assert row(page, 3).get_attribute("aria-busy") == "false"
    assert row(page, 3).get_attribute("aria-label") is None  # its name is what its cells say
    scroll(page, 900 * ROW)
    # Nothing is left of the row that the element showed before.
    assert row(page, 905).text_content() == ""
    assert "aiw-loading" in row(page, 905).get_attribute("class")
    row(page, 905).click()
    assert messages(page, "open") == []


# Some browsers scroll to whole pixels only.
WHOLE_PIXELS = """() => {
  const { get, set } = Object.getOwnPropertyDescriptor(Element.prototype, "scrollTop");
  const round = function (top) { set.call(this, Math.round(top)); };
  Object.defineProperty(document.querySelector(".aiw-view"), "scrollTop", { get, set: round });
}"""


@pytest.mark.parametrize("total", [3_000_000, 40_000_000])
def test_more_rows_than_an_element_can_be_tall(page, total):
    show(page, total)
    page.evaluate(WHOLE_PIXELS)
    settle(page)
    tall = page.evaluate("() => document.querySelector('.aiw-sheet').offsetHeight")
    assert 1e6 < tall < 17.8e6
    scroll(page, tall)
    settle(page)
    assert [number for number, _ in on_screen(page)] == list(range(total - 16, total))
    scroll(page, (tall - 16 * ROW) / 2)
    middle = on_screen(page)[0][0]
    assert abs(middle - total / 2) < total / 1e5
    row(page, middle + 3).click()
    for number in range(middle + 4, middle + 40):  # each row can be reached, however coarse a pixel
        page.keyboard.press("ArrowDown")
        assert focused(page) == number
        assert number in [shown for shown, _ in on_screen(page)]
    page.keyboard.press("Home")
    assert on_screen(page)[0][0] == 0


def test_a_short_table_asks_for_no_more_than_it_has(page):
    show(page, total=5)
    settle(page)
    assert [(request["first"], request["count"]) for request in asked(page)] == [(0, 5)]
    assert [text for _, text in on_screen(page)] == [f"document {i}" for i in range(5)]
    assert page.get_by_role("row").count() == 6


def test_an_empty_table_says_so(page):
    show(page, total=0)
    status = page.get_by_role("status")
    assert status.text_content() == "no document passes the filters"
    assert asked(page) == []
    receive(page, total=3, revision=2)
    assert status.count() == 0
    answer(page, revision=2)
    assert len(on_screen(page)) == 3
    receive(page, total=0, revision=3)
    assert status.is_visible()
    assert not row(page, 0).is_visible()


def test_headings_stand_over_their_columns(page):
    show(page)
    settle(page)
    sides = "(cells) => cells.map((one) => { const box = one.getBoundingClientRect();"
    sides += " return [box.left, box.right]; })"
    heads = page.locator(".aiw-column").evaluate_all(sides)
    cells = row(page, 0).locator("[role=gridcell]").evaluate_all(sides)
    assert np.allclose(heads, cells, atol=1)


def test_a_table_shown_later_draws_itself_then(page):
    show(page, total=0, revision=0)
    page.evaluate("() => { document.getElementById('widget').style.display = 'none'; }")
    receive(page, total=MANY, revision=1)
    assert asked(page) == []
    page.evaluate("() => { document.getElementById('widget').style.display = ''; }")
    settle(page)
    assert on_screen(page)[0] == [0, "document 0"]


# ---- arrangements --------------------------------------------------------------------------------


def test_answers_of_another_arrangement_are_dropped(page):
    show(page)
    rest(page)
    receive(page, total=500, by="tokens", ascending=True, revision=2)
    answer(page, revision=1, of="stale")
    assert on_screen(page)[0][1] == ""
    answer(page, revision=2, of="new")
    assert on_screen(page)[0] == [0, "new 0"]
    answer(page, revision=1, of="stale")
    deliver(page, {"kind": "other"})
    assert on_screen(page)[0] == [0, "new 0"]


def test_rows_stay_until_the_new_ones_come(page):
    show(page)
    settle(page)
    receive(page, by="tokens", revision=2)
    assert on_screen(page)[0] == [0, "document 0"]
    assert page.locator(".aiw-stale:not([hidden])").count() > 16
    assert asked(page)[-1]["revision"] == 2
    answer(page, revision=2, of="new")
    assert on_screen(page)[0] == [0, "new 0"]
    assert page.locator(".aiw-stale").count() == 0


def test_a_new_order_begins_at_the_top_and_a_new_cut_does_not(page):
    show(page)
    scroll(page, 6000 * ROW)
    receive(page, revision=2)
    assert on_screen(page)[0][0] == 6000
    assert asked(page)[-1]["revision"] == 2
    receive(page, revision=3, ascending=True)
    assert on_screen(page)[0][0] == 0


def test_headings_sort(page):
    show(page)
    heads = page.get_by_role("columnheader")
    assert [heading.get_attribute("aria-sort") for heading in heads.all()] == ["none", "descending"]
    heads.nth(0).click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert [message["by"] for message in messages(page, "sort")] == ["doc_id", "score"]
    receive(page, by="doc_id", ascending=True, revision=2)
    assert [heading.get_attribute("aria-sort") for heading in heads.all()] == ["ascending", "none"]
    assert page.locator('.aiw-column[tabindex="0"]').count() == 1


def test_other_columns(page):
    show(page)
    settle(page)
    receive(page, columns=[*TEXT, column("n", "n", 40, 0)])
    assert page.get_by_role("columnheader").count() == 3
    assert page.get_by_role("grid").get_attribute("aria-colcount") == "3"
    assert row(page, 0).locator("[role=gridcell]").count() == 3
    assert asked(page)[-1]["first"] == 0


# ---- opening -------------------------------------------------------------------------------------


def test_a_click_opens_and_marks_at_once(page):
    show(page)
    settle(page)
    row(page, 4).click()
    assert messages(page, "open") == [{"action": "open", "position": 28}]
    opened = page.locator('.aiw-doc-row[aria-selected="true"]')
    assert opened.text_content() == "document 40.4"
    assert int(style(page, ".aiw-opened", "fontWeight")) >= 600
    assert style(page, ".aiw-opened", "content", "::before") != "none"
    receive(page, opened=14)
    assert opened.text_content() == "document 20.2"
    assert page.locator(".aiw-opened").count() == 1
    scroll(page, 5000 * ROW)
    settle(page)
    assert opened.count() == 0
    scroll(page, 0)
    assert opened.text_content() == "document 20.2"
    receive(page, opened=-1)
    assert opened.count() == 0


def test_keys_move_and_open(page):
    show(page, total=1000)
    settle(page)
    page.keyboard.press("Tab")  # the headings
    page.keyboard.press("Tab")
    assert focused(page) == 0
    for key, number in [
        ("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("PageDown", 16), ("PageDown", 31),
        ("PageUp", 16), ("End", 999), ("ArrowDown", 999), ("Home", 0), ("ArrowUp", 0),
        ("PageUp", 0), ("ArrowDown", 1),
    ]:  # fmt: skip
        page.keyboard.press(key)
        assert focused(page) == number, key
        assert number in [shown for shown, _ in on_screen(page)], key
        assert page.locator('.aiw-view [tabindex="0"], .aiw-view[tabindex="0"]').count() == 1
    settle(page)
    page.keyboard.press("Enter")
    assert messages(page, "open") == [{"action": "open", "position": 7}]


def test_the_place_of_the_keys_outlives_scrolling(page):
    show(page)
    settle(page)
    row(page, 2).click()
    scroll(page, 9000 * ROW)
    stops = page.locator('.aiw-view [tabindex="0"], .aiw-view[tabindex="0"]')
    assert stops.count() == 1
    assert page.evaluate("() => document.activeElement.className") == "aiw-view"
    page.keyboard.press("ArrowDown")
    assert focused(page) == 3
    assert 3 in [number for number, _ in on_screen(page)]
    scroll(page, 9000 * ROW)
    scroll(page, 0)
    assert focused(page) == 3
    assert stops.count() == 1


def test_says_what_it_is(page):
    show(page)
    settle(page)
    grid = page.get_by_role("grid")
    assert grid.get_attribute("aria-rowcount") == str(MANY + 1)
    assert grid.get_attribute("aria-colcount") == "2"
    assert row(page, 9).get_attribute("role") == "row"
    assert row(page, 9).get_attribute("aria-selected") == "false"
    assert row(page, 9).get_by_role("gridcell").all_text_contents() == ["document 9", "0.9"]
    page.evaluate(
        "() => { window.heard = []; document.addEventListener('keydown', (event) =>"
        " window.heard.push(event.key)); }"
    )
    row(page, 0).click()
    for key in ("ArrowDown", "Enter", "a", "Control+Home"):
        page.keyboard.press(key)
    assert page.evaluate("() => window.heard") == ["a", "Control", "Home"]


def test_hostile_cells_are_only_text(page):
    show(page, total=len(HOSTILE))
    rows = [{"position": i, "cells": [text, text]} for i, text in enumerate(HOSTILE)]
    deliver(page, {"kind": "rows", "revision": 1, "first": 0, "rows": rows})
    for i, text in enumerate(HOSTILE):
        cells = row(page, i).locator("[role=gridcell]")
        assert cells.evaluate_all("(cells) => cells.map((one) => one.textContent)") == [text, text]
    assert page.locator(".aiw-doc-cell *").count() == 0
    assert page.evaluate("() => window.acted") is None


def test_cleanup_takes_every_listener_off(page):
    show(page)
    settle(page)
    page.evaluate(
        """async () => {
          const view = document.querySelector(".aiw-view");
          view.scrollTop = 90000;
          await new Promise(requestAnimationFrame); // rows are about to be asked for
          window.cleanup();
          view.scrollTop = 50000;
        }"""
    )
    rest(page)
    assert page.evaluate("() => window.model.listeners.length") == 0
    assert len(messages(page)) == 1


@pytest.mark.parametrize("theme", ["light", "dark", None])
def test_can_be_read_in_every_theme(page, theme):
    show(page, theme=theme)
    settle(page)
    row(page, 1).click()
    for text, paper in [(".aiw-column", ".aiw-doc-head"), (".aiw-doc-cell", ".aiw-table"),
                        (".aiw-opened", ".aiw-opened")]:  # fmt: skip
        ink, ground = style(page, text, "color"), style(page, paper, "backgroundColor")
        assert contrast(page, ink, ground) >= 4.5, text
    receive(page, total=0, revision=2)
    ink = style(page, ".aiw-empty", "color")
    assert contrast(page, ink, "rgba(0, 0, 0, 0)") >= 4.5
