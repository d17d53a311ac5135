"""Plain keys stay inside a widget, and JupyterLab keeps all others, such as Ctrl+S."""

from __future__ import annotations

import numpy as np
import pytest

from browser.mounting import deliver, mount
from widgets.views.row_table import column

NOTHING = np.zeros(2, np.float32).tobytes()
WIDGETS = {
    "head_grid": (
        {"layers": 1, "heads": 2, "mask": bytes(2), "reference": bytes(2), "chosen": -1,
         "values": NOTHING, "legend": {}},
        ".aiw-cell",
        ["ArrowRight", "Space", "l", "h", "Control+z", "Control+Shift+z", "Home"],
    ),
    "token_view": (
        {"tokens": ["a", "b"], "before": NOTHING, "after": NOTHING, "color_max": 1.0, "summary": "",
         "note": "", "labels": ["x", "y"], "order": "text", "selected": -1, "revision": 1,
         "theme": "", "stale": False, "locked": False, "chosen": "", "when": "predicted"},
        ".aiw-token",
        ["ArrowRight", "Space", "Enter", "Control+z", "PageDown"],
    ),
    "row_table": (
        {"total": 2, "columns": [column("a", "a", 90)], "histograms": {}, "label": "rows",
         "nothing": "", "by": "a", "ascending": True, "revision": 1, "opened": -1},
        ".aiw-doc-row:visible",
        ["ArrowDown", "PageDown", "Enter", "Home"],
    ),
}  # fmt: skip
# What Lumino, under JupyterLab, does with a key of a binding that ends in ":focus": it looks for
# the attribute at the target, which matches before any element around it is looked at.
LISTEN = """
() => { window.taken = []; document.addEventListener("keydown", (event) =>
  window.taken.push(!event.target.hasAttribute("data-lm-suppress-shortcuts")), true); }
"""


@pytest.mark.parametrize("name", WIDGETS)
def test_plain_keys_and_those_with_a_meaning_are_kept_from_jupyterlab(name, page):
    traits, first, own = WIDGETS[name]
    mount(page, name, traits)
    page.evaluate(LISTEN)
    page.locator(first).first.focus()
    for key in own:
        page.keyboard.press(key)
    # Modifiers are keys of their own, and nobody's.
    pressed = page.evaluate("() => window.taken.splice(0)")
    assert pressed.count(False) >= len(own)
    page.evaluate("() => window.taken.splice(0)")
    # In a notebook these cut, delete, insert or change the cell, or restart the kernel.
    for key in ("x", "d", "a", "b", "m", "y", "r", "0", "i", "Shift+M", "Delete", "Shift+Enter"):
        page.keyboard.press(key)
        taken = page.evaluate("() => window.taken.splice(0)")
        assert taken[-1] is False, key
        page.locator(first).first.focus()
    for key in ("Control+s", "Control+Enter", "Escape", "Control+b"):
        page.keyboard.press(key)
    assert all(page.evaluate("() => window.taken"))


@pytest.mark.parametrize("name", WIDGETS)
def test_without_a_kernel_keys_change_nothing(name, page):
    traits, first, own = WIDGETS[name]
    mount(page, name, traits)
    if name == "row_table":
        rows = [{"position": i, "cells": ["a"]} for i in range(2)]
        deliver(page, {"kind": "rows", "revision": 1, "first": 0, "rows": rows})
    here = page.locator(first).first
    here.focus()  # a token asks for its predictions a moment later: nobody is there any more
    gone = "(gone) => document.getElementById('widget').classList.toggle('%s', gone)"
    page.evaluate(gone % "jupyter-widgets-disconnected", True)
    page.evaluate("() => { window.sent = []; }")
    for key in (*own, "Space", "Enter", "Shift+Space"):
        page.keyboard.press(key)
    page.wait_for_timeout(300)  # longer than the views wait before they ask
    assert page.evaluate("() => window.sent") == []
    assert here.evaluate("(one) => one === document.activeElement")
    assert page.locator(".aiw-masked, .aiw-opened").count() == 0
    page.keyboard.press("Tab")  # and there is a way out
    assert not here.evaluate("(one) => one === document.activeElement")
    here.focus()
    page.evaluate(gone % "jupyter-widgets-disconnected", False)  # it was connected again
    page.keyboard.press("Enter")
    assert page.evaluate("() => window.sent.length") > 0


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widget_that_is_gone_claims_nothing(name, page):
    traits, first, own = WIDGETS[name]
    mount(page, name, traits)
    page.evaluate("() => window.cleanup()")
    page.evaluate(LISTEN)
    page.locator(first).first.focus()
    page.keyboard.press(own[0])
    assert page.evaluate("() => window.taken") == [True]
