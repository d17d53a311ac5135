"""The status line of the explorer stays in view, whatever of JupyterLab scrolls around it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from widgets.views.browser_files import stylesheet

# What nbconvert takes over of JupyterLab's own style sheets.
JUPYTERLAB = Path(sys.prefix) / "share/jupyter/nbconvert/templates/lab/static/index.css"
BOX = ".widget-box { box-sizing: border-box; overflow: auto }"  # of ipywidgets
OUTPUT = """
<div class="jp-OutputArea jp-Cell-outputArea"><div class="jp-OutputArea-child">
  <div class="jp-OutputPrompt jp-OutputArea-prompt">[1]:</div>
  <div class="jp-OutputArea-output"><div class="jupyter-widgets widget-box aiw-explorer">
    <div style="height: 90px">toolbar</div><div class="aiw-status">status</div>
    <div style="height: 500px">grid and text</div>
  </div></div>
</div></div>
"""
# Where the explorer stands, and what scrolls there.
PLACES = {
    "notebook": (
        '<div class="jp-Notebook scrolls" style="height: 300px"><div class="jp-Cell jp-CodeCell">'
        f'{OUTPUT}</div><p style="height: 900px">cells below</div>'
    ),
    "outputs that scroll by themselves": (
        f'<div class="jp-Cell jp-CodeCell jp-mod-outputsScrolled">{OUTPUT}</div>'
    ),
    "new view": f'<div class="jp-LinkedOutputView" style="height: 300px">{OUTPUT}</div>',
}


@pytest.mark.parametrize("place", PLACES)
def test_the_status_line_stays_while_the_page_scrolls(page, place):
    styles = JUPYTERLAB.read_text("utf-8") + BOX + stylesheet("explorer").read_text("utf-8")
    page.set_content(f"<style>{styles}</style>{PLACES[place]}")
    scrolls = page.locator(".scrolls" if place == "notebook" else ".jp-OutputArea")
    scrolls.evaluate("(one) => { one.scrollTop = 200; }")
    assert scrolls.evaluate("(one) => one.scrollTop") == 200
    box, pane = page.locator(".aiw-status").bounding_box(), scrolls.bounding_box()
    assert pane["y"] - 1 <= box["y"] <= pane["y"] + 1
    assert scrolls.evaluate("(one) => one.scrollWidth <= one.clientWidth")
