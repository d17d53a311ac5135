"""A table in the browser: the columns that there is room for, long names, bars, histograms."""

from __future__ import annotations

from browser.mounting import deliver, messages, receive, saved, style
from browser.table_page import HOSTILE, asked, on_screen, rest, row, scroll, settle, show
from widgets.views.row_table import column
from workbench.core.text import escape_control_characters

MANY_COLUMNS = [
    column("name", "name", 90, share=1, middle=True),
    *(column(f"c{i}", f"column {i}", 80, 2) for i in range(12)),
]
COUNTS = [0, 3, 9, 4, 1, 1, 0, 2]
HISTOGRAM = {"all": COUNTS, "kept": COUNTS, "range": None, "ends": ["0.1", "0.9"]}


def headings(page):
    return page.locator(".aiw-column").evaluate_all("(all) => all.map((one) => one.dataset.key)")


def narrow(page, width):
    page.evaluate(
        "(width) => { document.getElementById('widget').style.width = `${width}px`; }", width
    )
    rest(page)


def fits(page):
    return page.evaluate(
        "() => [...document.querySelectorAll('#widget *')].every((one) =>"
        " !['auto', 'scroll'].includes(getComputedStyle(one).overflowX)"
        " || one.scrollWidth <= one.clientWidth)"
    )


def answer_with(page, cells, bars=None, revision=1, first=0):
    """Answer the last request with rows of these cells; row i has the position 7 (first + i)."""
    request = asked(page)[-1]
    numbers = range(request["first"], request["first"] + request["count"])
    rows = [{"position": 7 * (first + i), "cells": cells, "bars": bars or []} for i in numbers]
    deliver(page, {"kind": "rows", "revision": revision, "first": numbers.start, "rows": rows})


def test_columns_without_room_are_left_out_but_not_the_sorted_one(page):
    show(page, columns=MANY_COLUMNS, by="c9")
    answer_with(page, ["a name", *(f"cell {i}" for i in range(12))])
    for width, count in [(340, 4), (750, 8), (980, 11)]:
        narrow(page, width)
        keys = headings(page)
        assert abs(len(keys) - count) <= 1
        assert keys[:3] == ["name", "c0", "c1"][: len(keys)] or width == 340
        assert "c9" in keys
        assert fits(page)
        cells = row(page, 3).get_by_role("gridcell").all_text_contents()
        assert cells == ["a name" if key == "name" else f"cell {key[1:]}" for key in keys]
        heads = page.get_by_role("columnheader").all()
        indexes = [one.get_attribute("aria-colindex") for one in heads]
        assert [MANY_COLUMNS[int(i) - 1]["key"] for i in indexes] == keys
    receive(page, by="c11", revision=2)
    assert "c11" in headings(page)


def test_columns_that_are_made_anew_keep_the_focus(page):
    show(page, columns=MANY_COLUMNS, by="c0")
    answer_with(page, ["a name", *(f"cell {i}" for i in range(12))])
    at = "() => document.activeElement.dataset.key"
    page.locator(".aiw-column").first.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    receive(page, columns=[MANY_COLUMNS[0], *MANY_COLUMNS[3:], *MANY_COLUMNS[1:3]])
    assert page.evaluate(at) == "c4"  # which stands two places further to the left
    page.keyboard.press("ArrowRight")
    assert page.evaluate(at) == "c5"
    assert page.locator(".aiw-column[tabindex='0']").count() == 1
    receive(page, columns=MANY_COLUMNS[:3])  # without it
    assert page.evaluate(at) == "c1"
    narrow(page, 300)
    receive(page, columns=MANY_COLUMNS, by="c9", revision=2)
    assert page.evaluate(at) in headings(page)
    answer_with(page, ["a name", *(f"cell {i}" for i in range(12))], revision=2)
    row(page, 2).focus()
    narrow(page, 800)  # more columns have room: the rows are made anew as well
    assert page.evaluate("() => document.activeElement.ariaRowIndex") == "4"


def test_another_column_leaves_the_rows_on_the_screen_until_new_ones_come(page):
    before = [MANY_COLUMNS[0], *MANY_COLUMNS[3:]]
    show(page, columns=before, by="c9")
    answer_with(page, ["a name", *(f"cell {i}" for i in range(2, 12))])
    narrow(page, 980)
    row(page, 2).focus()
    assert pointed(page) == 14
    receive(page, columns=MANY_COLUMNS, by="c9", revision=2)  # two more, before the others
    texts = row(page, 2).get_by_role("gridcell").all_text_contents()
    texts = dict(zip(headings(page), texts, strict=True))
    assert [texts[key] for key in ("name", "c0", "c1", "c2")] == ["a name", "", "", "cell 2"]
    assert "aiw-stale" in row(page, 2).get_attribute("class")
    assert pointed(page) == 14  # nothing flickers
    assert page.evaluate("() => document.activeElement.ariaRowIndex") == "4"
    answer_with(page, ["a name", *(f"cell {i}" for i in range(12))], revision=2)
    assert "cell 0" in row(page, 2).get_by_role("gridcell").all_text_contents()
    receive(page, by="c11", revision=3)  # which had no room: the rows are made anew
    assert row(page, 2).get_by_role("gridcell").last.text_content() == "cell 11"
    assert "aiw-stale" in row(page, 2).get_attribute("class")


def pointed(page):
    return page.evaluate("() => window.model.get('pointed')")


def test_the_row_that_is_pointed_at_or_gone_to_is_told_on_the_page_alone(page):
    show(page, total=60)
    settle(page)
    assert pointed(page) == -1
    row(page, 3).hover()
    assert pointed(page) == 21
    row(page, 2).focus()  # the keys came later than the pointer
    assert pointed(page) == 14
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert pointed(page) == 28
    row(page, 6).hover()
    assert pointed(page) == 42
    page.mouse.move(1, 700)  # off the table: the keys are still at their row
    assert pointed(page) == 28
    page.locator(".aiw-column").first.focus()
    assert pointed(page) == -1
    row(page, 5).hover()
    receive(page, revision=2)  # sorted anew under the pointer
    answer_with(page, ["another", "0.1"], revision=2, first=500)
    assert pointed(page) == 7 * 505
    assert saved(page, "pointed") == []


def test_of_a_long_name_the_middle_is_left_out_and_the_whole_is_the_title(page):
    show(page, columns=MANY_COLUMNS, by="name")
    name = "code/transformers/models/llama/modeling_llama_\U0001f600.py"
    answer_with(page, [name, *[""] * 12])
    narrow(page, 340)
    cell = row(page, 0).get_by_role("gridcell").first
    assert cell.text_content() == name
    assert cell.get_attribute("title") == name
    end = cell.locator("span").last
    assert end.text_content() == "llama_\U0001f600.py"
    inside = cell.bounding_box(), end.bounding_box()
    assert inside[1]["x"] + inside[1]["width"] <= inside[0]["x"] + inside[0]["width"] + 1
    assert style(page, ".aiw-middle > span", "textOverflow") == "ellipsis"


def test_hostile_titles_are_text(page):
    columns = [column(f"c{i}", name, 150, 2, title=name) for i, name in enumerate(HOSTILE)]
    show(page, columns=columns, by="c1")
    answer_with(page, ["1.00"] * len(columns))
    narrow(page, 984)
    shown = page.locator(".aiw-column").evaluate_all(
        "(all) => all.map((one) => [one.querySelector('.aiw-label').textContent, one.title])"
    )
    assert shown == [[escape_control_characters(name)] * 2 for name in HOSTILE]
    assert not any("\u202e" in label for label, _ in shown)
    assert page.locator("#widget script, #widget img").count() == 0
    assert page.evaluate("() => window.acted") is None
    page.locator(".aiw-column").nth(3).click()
    assert messages(page, "sort")[-1]["by"] == "c3"


def test_bars_stand_behind_the_numbers(page):
    show(page)
    answer_with(page, ["a", "0.5"], [None, [0.25, 0.75]])
    cells = row(page, 2).get_by_role("gridcell")
    assert "aiw-backed" not in cells.nth(0).get_attribute("class")
    assert cells.nth(1).evaluate("(one) => one.style.getPropertyValue('--aiw-to')") == "75%"
    assert "gradient" in cells.nth(1).evaluate("(one) => getComputedStyle(one).backgroundImage")


def drag(page, part, first, last):
    """Over the bins of a histogram."""
    box = part.bounding_box()
    wide, height = box["width"] / len(COUNTS), box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + (first + 0.5) * wide, height)
    page.mouse.down()
    page.mouse.move(box["x"] + (last + 0.5) * wide, height, steps=3)
    page.mouse.up()


def test_a_histogram_stands_in_its_heading_and_filters_where_it_is_dragged_over(page):
    show(page, histograms={"score": HISTOGRAM})
    settle(page)
    part = page.locator(".aiw-histogram")
    assert part.count() == 1
    heights = part.locator(".aiw-bin").evaluate_all(
        "(bins) => bins.map((one) => one.getBoundingClientRect().height)"
    )
    assert heights.index(max(heights)) == COUNTS.index(max(COUNTS))
    assert "0.1 to 0.9" in part.get_attribute("aria-label")
    part.click()  # not a drag: as anywhere in the heading
    assert [message["by"] for message in messages(page, "sort")] == ["score"]
    assert messages(page, "range") == []
    drag(page, part, 5, 2)
    assert messages(page, "range") == [{"action": "range", "key": "score", "bins": [2, 5]}]
    assert len(messages(page, "sort")) == 1
    kept = [0, 0, 9, 4, 1, 1, 0, 0]
    ranged = HISTOGRAM | {"kept": kept, "range": [2, 5], "ends": ["0.1", "0.9", "0.3", "0.7"]}
    receive(page, histograms={"score": ranged}, total=15, revision=2)
    assert page.get_by_role("grid").get_attribute("aria-rowcount") == "16"  # with the heading
    assert part.locator(".aiw-bin.aiw-outside").count() == 4
    assert "only 0.3 to 0.7" in part.get_attribute("aria-label")
    drag(page, part, 3, 3)  # a click shows all again
    assert messages(page, "range")[-1] == {"action": "range", "key": "score", "bins": None}


def test_the_late_answer_to_a_click_does_not_take_the_keys_back(page):
    show(page)
    settle(page)
    page.locator(".aiw-doc-row:visible").nth(4).click()
    page.keyboard.press("ArrowDown")
    deliver(page, {"kind": "reveal", "number": 4, "revision": 1})
    page.mouse.move(0, 0)
    assert page.evaluate("() => window.model.get('pointed')") == 7 * 5
    page.keyboard.press("ArrowDown")
    assert page.evaluate("() => document.activeElement.textContent").startswith("document 6")
    deliver(page, {"kind": "reveal", "number": 900, "revision": 1})  # of another view
    settle(page)
    assert 900 in [number for number, _ in on_screen(page)]


def test_python_brings_a_row_to_the_screen_also_in_a_tab_behind(page):
    show(page)
    settle(page)
    deliver(page, {"kind": "reveal", "number": 900, "revision": 1})
    settle(page)
    assert 900 in [number for number, _ in on_screen(page)]
    assert page.evaluate(
        "() => document.activeElement === document.body"
    )  # keys stay where they are
    page.evaluate("() => { document.getElementById('widget').style.display = 'none'; }")
    deliver(page, {"kind": "reveal", "number": 5000, "revision": 1})
    deliver(page, {"kind": "reveal", "number": 7, "revision": 0})  # of another arrangement
    rest(page)
    page.evaluate("() => { document.getElementById('widget').style.display = ''; }")
    settle(page)
    assert 5000 in [number for number, _ in on_screen(page)]
    scroll(page, 0)
    settle(page)
    assert on_screen(page)[0][0] == 0


def test_cells_that_come_later_are_filled_in(page):
    show(page)
    settle(page)
    deliver(page, {"kind": "cells", "key": "doc_id", "cells": {"7": "late <b>words</b>"}})
    rest(page)
    assert row(page, 1).get_by_role("gridcell").all_text_contents() == ["late <b>words</b>", "0.1"]
    assert row(page, 2).get_by_role("gridcell").first.text_content() == "document 2"
    assert page.locator(".aiw-doc-cell b").count() == 0
