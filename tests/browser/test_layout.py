"""The explorer on the screens that people have: all of it in view, and nothing of it moves."""

from __future__ import annotations

import re

import pytest
from support.paths import ROOT

from browser.lab import PATIENCE, Lab, button, cell, menu, tab
from browser.mounting import accessible, without_tooltip

RANDOM = """
import sys
sys.path.insert(0, {tests!r})
import torch
import transformers as tr
import workbench as wb
from support.models import make_tokenizer
from widgets import Explorer
torch.manual_seed(0)
config = tr.LlamaConfig(
    vocab_size=320, hidden_size=2 * {heads}, intermediate_size=16, num_hidden_layers={layers},
    num_attention_heads={heads}, num_key_value_heads={heads}, head_dim=2,
)
model = wb.from_transformers(tr.LlamaForCausalLM(config).eval(), make_tokenizer())
explorer = Explorer(model, text="one two three one two three " * 12)
explorer
"""
DEFAULT = """
import os
os.environ.pop("TQDM_DISABLE", None)  # else it would say nothing while it loads
from widgets import Explorer
explorer = Explorer()
explorer
"""
SIZES = [(1440, 900), (1100, 700), (1920, 1080)]
PARTS = {
    "grid": ".aiw-grid", "first line": ".aiw-tokens", "details": ".aiw-details",
    "status": ".aiw-status",
}  # fmt: skip
SIDEWAYS = """
() => [...document.querySelectorAll(".aiw-explorer, .aiw-explorer *")].filter((part) =>
  ["auto", "scroll"].includes(getComputedStyle(part).overflowX)
  && part.clientWidth && part.scrollWidth > part.clientWidth && part.tagName !== "TEXTAREA"
).map((part) => part.className)
"""
BOXES = """
() => [".aiw-status", ".aiw-cell", ".aiw-tokens", ".aiw-details", ".aiw-tabs", ".aiw-explorer"]
  .map((name) => document.querySelector(name).getBoundingClientRect())
  .map((box) => [box.x, box.y, box.width, box.height].map(Math.round))
"""


def random_model(layers, heads):
    """Code that opens an explorer of a model of this shape."""
    return RANDOM.format(tests=str(ROOT / "tests"), layers=layers, heads=heads)


def show(lab, page, name, *cells):
    lab.notebook(name, *cells)
    page.set_default_timeout(PATIENCE)
    lab.show(page, name)
    into_view(page)


def into_view(page):
    page.locator(".aiw-explorer").evaluate("(one) => one.scrollIntoView({block: 'start'})")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")


def boxes_of(page, *selectors):
    """The box of the first element of each selector, at one moment at which all are drawn.

    A figure that is drawn anew is a new element: asked one after the other, one may be gone.
    """
    drawn = page.wait_for_function(
        """(selectors) => {
          const first = selectors.map((one) => document.querySelector(one));
          const boxes = first.map((one) => one?.getBoundingClientRect());
          return boxes.every((box) => box?.width && box.height) && boxes.map((box) => box.toJSON());
        }""",
        arg=selectors,
    )
    return drawn.json_value()


def in_view(page, selector):
    """The box of a part, which must lie inside what the notebook shows of itself."""
    box, pane = boxes_of(page, selector, ".jp-WindowedPanel-outer")
    assert box["y"] >= pane["y"] - 1, selector
    assert box["bottom"] <= pane["bottom"] + 1, (selector, box, pane)
    assert box["x"] >= pane["x"] - 1, selector
    assert box["right"] <= pane["right"] + 1, (selector, box, pane)
    return box


def every_control_can_be_used(page, where):
    squeezed = page.locator(".aiw-explorer :is(input, select):visible").evaluate_all(
        "(all) => all.filter((one) => one.type !== 'checkbox' && one.offsetWidth < 36)"
        ".map((one) => one.title)"
    )
    assert squeezed == [], where
    assert without_tooltip(page, ".aiw-explorer") == [], where
    controls = accessible(page, ".aiw-explorer")
    assert len(controls) > 270  # the heads among them
    assert [role for role, name in controls if not name] == [], where


def fits(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    into_view(page)
    assert boxes_of(page, ".aiw-explorer")[0]["height"] <= 600
    boxes = {part: in_view(page, selector) for part, selector in PARTS.items()}
    assert boxes["first line"]["x"] > boxes["grid"]["x"] + boxes["grid"]["width"]  # beside it
    cells = page.locator(".aiw-cell")
    sizes = cells.evaluate_all("(all) => all.map((one) => [one.offsetWidth, one.offsetHeight])")
    assert min(map(min, sizes)) >= 8
    assert page.evaluate(SIDEWAYS) == []
    sideways = page.locator(".jp-WindowedPanel-outer").evaluate(
        "(pane) => { pane.scrollTop += 150; return pane.scrollWidth - pane.clientWidth; }"
    )
    assert sideways <= 0
    scrolled = page.locator(".aiw-explorer").bounding_box()
    assert in_view(page, PARTS["status"])["y"] > scrolled["y"] + 100
    into_view(page)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("layout"))
    yield lab
    lab.close()


@pytest.mark.slow
def test_one_screen_that_does_not_move_and_keys_that_stay(lab, page):
    page.set_viewport_size({"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE)
    lab.notebook("default.ipynb", DEFAULT, "1 + 1")
    lab.open(page, "default.ipynb")
    lab.run_all(page)
    said = page.locator(".jp-OutputArea-output", has_text=re.compile("^(loading|checking) "))
    said.wait_for()  # before there is an explorer
    page.wait_for_selector(".aiw-token")
    lab.settle()
    into_view(page)
    assert said.count() == 0
    for width, height in SIZES[:2]:
        fits(page, width, height)
    assert "certified" in page.locator(".aiw-title").text_content()
    before = page.evaluate(BOXES)

    # Work that begins and is cancelled, and one that fails: nothing moves.
    button(page, "Find the heads").click()
    page.locator(".aiw-status-progress", has_text="probe").wait_for()
    assert page.evaluate(BOXES) == before
    button(page, "Cancel").click()
    lab.until("explorer.queues.long.busy", "False")
    assert page.evaluate(BOXES) == before
    names = page.get_by_role("textbox", name="The masked heads")
    names.fill("L99H0")
    names.press("Enter")
    alert = page.locator(".aiw-status [role=alert]")
    alert.wait_for()
    in_view(page, ".aiw-status [role=alert]")
    assert page.evaluate(BOXES) == before
    for title in ("Heads", "Documents", "Selection", "Curves", "Code", "Text"):
        tab(page, title)
        assert page.evaluate(BOXES)[-1] == before[-1], title
        assert page.evaluate(SIDEWAYS) == [], title
        every_control_can_be_used(page, title)

    # Keys that cut, delete, insert, restart in JupyterLab stay in the explorer.
    for part in (cell(page, 3, 3), page.locator('.aiw-token[data-index="5"]')):
        part.focus()
        for key in ("a", "b", "x", "d", "d", "m", "y", "r", "0", "0", "i", "i"):
            page.keyboard.press(key)
    assert page.locator(".jp-Notebook .jp-Cell").count() == 2
    assert page.locator(".aiw-explorer").count() == 1
    assert not page.locator(".jp-Dialog").count()
    page.keyboard.press("?")
    card = page.get_by_role("dialog", name="Help")
    card.wait_for()
    assert "Ctrl+Z" in card.text_content()
    page.keyboard.press("Escape")
    card.wait_for(state="hidden")


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "heads"), [(30, 9), (24, 16), (32, 32), (80, 8)])
def test_models_of_other_shapes_fit_as_well(lab, page, layers, heads):
    page.set_viewport_size({"width": 1440, "height": 900})
    show(lab, page, f"{layers}x{heads}.ipynb", random_model(layers, heads))
    for width, height in SIZES:
        fits(page, width, height)


@pytest.mark.slow
def test_without_a_kernel_the_explorer_says_so_and_answers_nothing(lab, page):
    page.set_viewport_size({"width": 1100, "height": 700})
    show(lab, page, "restarted.ipynb", random_model(4, 4))
    menu(page, "Kernel", "Restart Kernel")
    page.locator(".jp-Dialog button", has_text="Restart").click()
    gone = page.locator(".aiw-explorer.jupyter-widgets-disconnected")
    gone.wait_for()
    said = gone.evaluate("(one) => getComputedStyle(one, '::before').content")
    assert said == '"No kernel behind this explorer: run the cell again."'
    on_top = cell(page, 1, 1, heads=4).evaluate(
        """(one) => {
           const box = one.getBoundingClientRect();
           return one.contains(document.elementFromPoint(box.x + 3, box.y + 3));
        }"""
    )
    assert not on_top  # a click goes through the grid
    while "Kernel restarted" not in lab.log.read_text():  # a server that is ended before hangs
        page.wait_for_timeout(100)
