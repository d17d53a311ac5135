"""The scatter plot in the browser: what is drawn, a box and a lasso, opening, and its words."""

from __future__ import annotations

import numpy as np
import pytest

from browser.mounting import contrast, messages, mount, receive, style
from browser.table_page import HOSTILE, rest
from workbench.core.polygon import inside
from workbench.figures.theme import DOMAINS

WIDTH = 600
AXES = {
    "x": {"label": "base loss", "low": 0.0, "high": 10.0, "log": False},
    "y": {"label": "score", "low": -1.0, "high": 1.0, "log": False},
}
LEFT, BOTTOM, EDGE, HEIGHT = 46, 32, 6, 200  # px, as in scatter.js


def show(page, x, y, kept=None, theme="light", **traits):
    count = len(x)
    state = {
        "x": np.asarray(x, np.float32).tobytes(), "y": np.asarray(y, np.float32).tobytes(),
        "group": bytes(i % 2 for i in range(count)), "kept": bytes(kept or [1] * count),
        "axes": AXES, "groups": ["code", "math"], "opened": -1,
    }  # fmt: skip
    mount(page, "scatter", state | traits, theme=theme)
    page.evaluate(f"() => {{ document.getElementById('widget').style.width = '{WIDTH}px'; }}")
    rest(page)


def at(page, x, y):
    """Where a point lies on the page."""
    box = page.locator(".aiw-scatter-frame").bounding_box()
    left = LEFT + EDGE + x / 10 * (WIDTH - LEFT - 2 * EDGE)
    top = HEIGHT - BOTTOM - EDGE - (y + 1) / 2 * (HEIGHT - BOTTOM - 2 * EDGE)
    return box["x"] + left, box["y"] + top


def drag(page, *places):
    page.mouse.move(*at(page, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*at(page, *place), steps=4)
    page.mouse.up()
    rest(page)


def painted(page, x, y):
    """Red, green, blue and opacity of the canvas at a point."""
    left, top = at(page, x, y)
    return page.evaluate(
        """([left, top]) => {
          const canvas = document.querySelector("canvas");
          const box = canvas.getBoundingClientRect();
          const scale = canvas.width / box.width;
          const paint = canvas.getContext("2d");
          return [...paint.getImageData((left - box.x) * scale, (top - box.y) * scale, 1, 1).data];
        }""",
        [left, top],
    )


def test_points_lie_where_their_values_are_in_the_colour_of_their_group(page):
    show(page, [2, 8, 5], [0.5, -0.5, 0], kept=[1, 1, 0])
    assert painted(page, 2, 0.5) == [0, 158, 115, 255]
    assert painted(page, 8, -0.5) == [204, 121, 167, 255]
    *_, opacity = painted(page, 5, 0)
    assert 0 < opacity < 100  # filtered out: faint
    assert painted(page, 5, 0.5)[3] == 0
    receive(page, kept=bytes([1, 1, 1]))
    rest(page)
    assert painted(page, 5, 0) == [0, 158, 115, 255]


def test_domains_have_the_colours_that_they_have_in_notebooks(page):
    many = [f"domain {i}" for i in range(len(DOMAINS))]
    show(page, [2, 8], [0.5, -0.5], groups=many)
    marks = page.locator(".aiw-scatter-mark").evaluate_all(
        "(marks) => marks.map((mark) => getComputedStyle(mark).backgroundColor)"
    )
    assert marks == [f"rgb{tuple(bytes.fromhex(colour[1:]))}" for colour in DOMAINS]


def test_a_box_and_a_lasso_choose_in_values(page):
    show(page, [2, 8], [0.5, -0.5])
    drag(page, (1, 0), (3, 0.9))
    (message,) = messages(page, "select")
    x, y = np.array(message["corners"]).T
    assert sorted({*x.round(1)}) == pytest.approx([1, 3], abs=0.05)
    assert sorted({*y.round(1)}) == pytest.approx([0, 0.9], abs=0.05)
    assert inside(message["corners"], np.array([2.0, 8]), np.array([0.5, -0.5])).tolist() == [1, 0]
    page.get_by_role("button", name="lasso").click()
    drag(page, (7, -0.9), (9, -0.9), (8, 0.3), (7, -0.8))
    corners = messages(page, "select")[-1]["corners"]
    assert len(corners) > 6
    assert inside(corners, np.array([2.0, 8]), np.array([0.5, -0.5])).tolist() == [0, 1]
    assert page.locator(".aiw-drag").count() == 0  # it is over


def test_a_click_opens_a_point_and_beside_all_points_takes_the_choice_back(page):
    show(page, [2, 8, 8], [0.5, -0.5, 0.5], kept=[1, 1, 0])
    page.mouse.click(*at(page, 8.05, -0.48))
    assert messages(page, "open") == [{"action": "open", "position": 1}]
    page.mouse.click(*at(page, 8, 0.5))  # does not pass the filters
    page.mouse.click(*at(page, 5, 0))
    assert messages(page, "select") == 2 * [{"action": "select", "corners": None}]
    receive(page, opened=1)
    rest(page)
    mark = page.locator(".aiw-opened-point").bounding_box()
    left, top = at(page, 8, -0.5)
    assert abs(mark["x"] + mark["width"] / 2 - left) < 2
    assert abs(mark["y"] + mark["height"] / 2 - top) < 2
    page.mouse.move(*at(page, 2, 0.5))
    assert page.get_by_role("status").text_content() == "base loss 2, score 0.5: click to open"


def test_an_axis_may_be_logarithmic(page):
    axes = AXES | {"x": {"label": "tokens", "low": 1.0, "high": 5.0, "log": True}}
    show(page, [1, 5], [0, 0], axes=axes)
    labels = page.locator("svg text").all_text_contents()
    assert {"10", "1,000", "100,000"} <= {*labels} or {"100", "10,000"} <= {*labels}
    assert "tokens" in labels


@pytest.mark.slow
def test_a_hundred_thousand_points_are_drawn_and_chosen(page):
    random = np.random.default_rng(0)
    x, y = random.uniform(0, 10, 100_000), random.uniform(-1, 1, 100_000)
    show(page, x, y)
    name = page.get_by_role("img").get_attribute("aria-label")
    assert name == "score against base loss, 100000 documents"
    assert sum(painted(page, a, b)[3] > 0 for a, b in zip(x[:20], y[:20], strict=True)) == 20
    drag(page, (1, -0.5), (9, 0.5))
    (message,) = messages(page, "select")
    share = inside(message["corners"], x, y).mean()
    assert share == pytest.approx(0.8 * 0.5, abs=0.02)


@pytest.mark.parametrize("theme", ["light", "dark", None])
def test_its_words_can_be_read_in_every_theme_and_are_only_text(page, theme):
    show(page, [2], [0.5], theme=theme, groups=HOSTILE)
    assert page.locator(".aiw-scatter-group").all_text_contents() == HOSTILE
    assert page.evaluate("() => window.acted") is None
    assert contrast(page, style(page, "svg text", "fill"), "rgba(0, 0, 0, 0)") >= 4.5
    assert contrast(page, style(page, ".aiw-lasso", "color"), "rgba(0, 0, 0, 0)") >= 4.5


def test_cleanup_takes_every_listener_off(page):
    show(page, [2], [0.5])
    page.evaluate("() => window.cleanup()")
    assert page.evaluate("() => window.model.listeners.length") == 0
