"""Documents and selection in a real JupyterLab: they fit, and figures outlive a move."""

from __future__ import annotations

import re

import pytest

from browser.lab import PATIENCE, Lab, cell, menu, tab
from browser.mounting import contrast

# Of the real JupyterLabs, `make test` has one: tests/browser/test_lab.py.
pytestmark = pytest.mark.slow

EXPLORER = """
import workbench as wb
from widgets import Explorer
model = wb.load_model()
explorer = Explorer(model, heads="L17H3 L18H6")
rows = [
    {"id": f"{kind}/a/long/path/of/folders/to/document_{i}.txt", "domain": kind,
     "text": f"{kind} {i}: " + "one two three four five " * (i % 5 + 1)}
    for kind in ("code", "math") for i in range(12)
]
explorer.session.score(rows, "run", max_tokens=32)
explorer
"""
LONGER = """
from widgets import Explorer
explorer = Explorer()
explorer.session.top(14)
rows = [
    {"id": str(i), "text": " ".join(
        f"Anna{i} has {i * k} plums, and gives {k} of them to Ben. It rains at {k}."
        for k in range(9)
    )}
    for i in range(5)
]
explorer.session.score(rows, "longer")
explorer
"""
OVERFLOW = """() => [...document.querySelectorAll(".aiw-explorer *")]
  .filter((one) => one.offsetParent && one.scrollWidth > one.clientWidth + 1)
  .filter((one) => ["auto", "scroll"].includes(getComputedStyle(one).overflowX))
  .map((one) => one.className)"""
# What stands in a closed dropdown is cut where the dropdown is narrower.
CUT_CHOICES = """() => [...document.querySelectorAll(".aiw-explorer select")]
  .filter((one) => one.offsetParent && one.selectedOptions.length)
  .map((one) => {
    const style = getComputedStyle(one), pen = document.createElement("canvas").getContext("2d");
    pen.font = style.font;
    const space = one.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const chosen = one.selectedOptions[0].text;
    return [chosen, Math.ceil(pen.measureText(chosen).width), space];
  })
  .filter(([chosen, needed, space]) => needed > space + 1)"""
FIGURE = """() => {
  const figure = document.querySelector(".aiw-explorer .js-plotly-plot");
  const drawn = figure?.querySelector(".main-svg");
  const ink = figure?.querySelector(".ytick text");
  if (!ink) return null;
  const box = figure.closest(".widget-vbox");
  return [drawn.clientWidth, box.clientWidth, getComputedStyle(ink).fill];
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


def fits(page):
    """Wait until the figure is drawn as wide as its panel; the colour of its words."""
    page.wait_for_function(
        f"() => {{ const f = ({FIGURE})(); return f && Math.abs(f[0] - f[1]) < 3; }}"
    )
    return page.evaluate(FIGURE)[2]


def nothing_is_cut(page, name):
    """No part of the tab in front scrolls sideways or reaches beyond its panel."""
    assert page.evaluate(OVERFLOW) == [], name
    assert page.evaluate(CUT_CHOICES) == [], name
    cut = page.evaluate(
        """() => { const panel = document.querySelector(
            ".aiw-tabs > .widget-tab-contents, .aiw-tabs > .lm-StackedPanel");
          const edge = panel.getBoundingClientRect().right;
          return [...panel.querySelectorAll("button, input, select, td")]
            .filter((one) => one.offsetParent && one.getBoundingClientRect().right > edge + 1)
            .map((one) => one.textContent || one.title); }"""
    )
    assert cut == [], name


def test_a_figure_fits_and_follows_the_theme_after_its_cell_was_moved(lab, page):
    page.set_viewport_size({"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    console = []
    page.on("console", lambda line: console.append(line.text) if line.type == "error" else None)
    lab.notebook("figures.ipynb", EXPLORER, "1 + 1")
    lab.show(page, "figures.ipynb")
    page.locator(".aiw-explorer").evaluate("(one) => one.scrollIntoView()")
    tab(page, "Selection")
    light = fits(page)
    export = page.locator(".aiw-explorer button", has_text="Export").bounding_box()
    assert export["y"] + export["height"] < 900
    page.locator(".jp-Cell").first.locator(".jp-InputPrompt").click()
    page.keyboard.press("Control+Shift+ArrowDown")
    page.locator(".jp-Cell").nth(1).locator(".aiw-explorer").wait_for()
    assert fits(page) == light
    menu(page, "Settings", "Theme", "JupyterLab Dark")
    page.wait_for_function(
        f"(light) => {{ const f = ({FIGURE})(); return f && f[2] !== light; }}", arg=light
    )
    assert contrast(page, fits(page), "rgba(0, 0, 0, 0)") >= 4.5
    lab.ask("explorer.session.cut(0.5)")  # and it still changes with the cut
    lab.settle()
    assert [line for line in console if re.search("state|undefined|plotly", line)] == []


def test_nothing_scrolls_sideways_in_any_tab_and_what_lies_in_a_box_is_ranked(lab, page):
    page.set_default_timeout(PATIENCE)
    lab.notebook("narrow.ipynb", EXPLORER)
    page.set_viewport_size({"width": 1100, "height": 700})
    lab.show(page, "narrow.ipynb")
    page.locator(".aiw-explorer").evaluate("(one) => one.scrollIntoView()")
    lab.ask("explorer.session.open(0)")
    lab.settle()
    for name in ("Text", "Heads", "Docum", "Selec"):
        tab(page, name)
        if name == "Docum":
            page.locator(".aiw-explorer button:visible", has_text="Plot").click()
            page.locator(".aiw-scatter canvas:visible").wait_for()
            page.locator(".aiw-doc-row:visible:not(.aiw-loading)").first.wait_for()
            rank_those_in_a_box(page)
        if name == "Selec":
            fits(page)
        nothing_is_cut(page, name)
    lab.settle()
    ranked = "len(explorer.session.corpus.selection.table)"
    assert 0 < int(lab.ask(ranked)) < int(lab.ask("len(explorer.session.corpus)"))
    page.locator(".aiw-explorer button:visible", has_text="Export").click()
    page.locator(".aiw-note-line:visible", has_text="inside a shape").wait_for()
    assert lab.ask("wb.verify_manifest(explorer.session.corpus.folder).ok") == "True"


def rank_those_in_a_box(page):
    """Drag over the left half of the plot, and rank what is inside."""
    frame = page.locator(".aiw-scatter-frame")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.move(box["x"] + 48, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    page.locator(".aiw-explorer button:visible:enabled", has_text="Rank these").click()
    page.locator(".aiw-note-line:visible", has_text="ranked: see").wait_for()


@pytest.mark.slow
def test_counterfactuals_fit_a_narrow_panel_and_follow_a_wider_one(lab, page):
    page.set_default_timeout(PATIENCE)
    lab.notebook("counterfactuals.ipynb", LONGER)
    page.set_viewport_size({"width": 1100, "height": 700})
    lab.show(page, "counterfactuals.ipynb")
    menu(page, "Settings", "Theme", "JupyterLab Light")  # the tests above share its settings
    page.locator(".aiw-explorer").evaluate("(one) => one.scrollIntoView()")
    tab(page, "Docum")
    page.locator(".aiw-explorer button:visible", has_text="Counterfactuals").click()
    count = page.get_by_role("spinbutton", name="How many documents are changed")
    count.fill("3")
    count.press("Tab")
    page.locator(".aiw-explorer button:visible", has_text="Change and score").click()
    light = fits(page)
    lab.settle()
    assert page.locator(".aiw-changes .aiw-counts tr").first.locator("th").count() == 6
    nothing_is_cut(page, "narrow")
    page.set_viewport_size({"width": 1440, "height": 900})
    assert fits(page) == light
    nothing_is_cut(page, "wide")
    menu(page, "Settings", "Theme", "JupyterLab Dark")
    page.wait_for_function(
        f"(light) => {{ const f = ({FIGURE})(); return f && f[2] !== light; }}", arg=light
    )
    assert contrast(page, fits(page), "rgba(0, 0, 0, 0)") >= 4.5


def test_widgets_that_load_too_late_for_anywidget_follow_all_the_same(lab, page):
    """As on a busy machine: nothing is loaded within the two seconds that anywidget waits."""
    page.add_init_script(
        """const wait = AbortSignal.timeout.bind(AbortSignal);
        AbortSignal.timeout = (ms) => {
          if (ms !== 2000) return wait(ms);
          const over = new AbortController();
          queueMicrotask(() => over.abort());
          return over.signal;
        };"""
    )
    page.set_viewport_size({"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    lab.notebook("late.ipynb", EXPLORER)
    lab.show(page, "late.ipynb")
    lab.ask("explorer.session.mask('L20H4')")
    cell(page, 20, 4).and_(page.locator(".aiw-masked")).wait_for()
    tab(page, "Selection")
    fits(page)
    for fraction, chosen in ((0.5, 12), (1.0, 24), (0.25, 6)):
        lab.ask(f"explorer.session.cut({fraction})")
        page.wait_for_function(
            """(chosen) => {
              const figure = document.querySelector(".aiw-explorer .js-plotly-plot");
              const bars = (figure?.data ?? []).filter((trace) => trace.name === "chosen");
              const counted = bars.flatMap((trace) => [...(trace.y ?? [])]);
              return counted.reduce((sum, one) => sum + one, 0) === chosen;
            }""",
            arg=chosen,
        )
    late = [problem for problem in page.problems if "Failed to initialize model" in problem]
    assert late  # anywidget gave up
    page.problems[:] = [problem for problem in page.problems if problem not in late]
