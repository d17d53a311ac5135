"""The line above the text: a document can be told by its name where there is little room."""

from __future__ import annotations

import pytest

from widgets.views.browser_files import stylesheet

# What ipywidgets has of the line, and the room that it has in JupyterLab at 1100x700 and 1440x900.
IPYWIDGETS = """
body { font: 13px/28px system-ui, sans-serif }
.widget-hbox { display: flex }
.widget-hbox > * { margin: 2px; box-sizing: border-box }
.widget-html { display: flex; height: 28px }
"""
LINE = """
<div class="aiw-explorer"><div class="aiw-text" style="width: {width}px">
  <div class="widget-hbox">
    <div style="flex: none; width: 130px">order</div><div style="flex: none; width: 42px">A</div>
    <div style="flex: none; width: 30px">&lt;</div><div style="flex: none; width: 30px">&gt;</div>
    <div class="jupyter-widgets widget-html aiw-source">
      <div class="widget-html-content">{label}</div></div>
    <div class="edit" style="flex: none; width: 56px">Edit</div>
  </div>
</div></div>
"""
LABEL = "<b>code/folders/document_0.txt</b>, score 0.21 in the run, rank 4 of its domain, selected"


def line(page, width, label):
    styles = IPYWIDGETS + stylesheet("explorer").read_text("utf-8")
    page.set_content(f"<style>{styles}</style>{LINE.format(width=width, label=label)}")
    return page.locator(".widget-hbox").bounding_box()["height"]


@pytest.mark.parametrize("width", [355, 680])
def test_the_name_and_the_place_of_a_document_are_not_cut(page, width):
    height = line(page, width, LABEL)
    assert height == (64 if width == 355 else 32)
    cut = "(one) => one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight"
    assert not page.locator(".widget-html-content").evaluate(cut)
    assert line(page, width, 9 * LABEL) == height  # whatever it is called


def test_without_a_document_the_line_is_one(page):
    assert line(page, 355, "") == 32
    edit = page.locator(".edit").bounding_box()
    whole = page.locator(".aiw-text").bounding_box()
    assert edit["x"] + edit["width"] >= whole["x"] + whole["width"] - 4
