"""A saved notebook as nbconvert's HTML: the picture says what is masked, and says it once."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbconvert import HTMLExporter
from support.models import make_model
from support.sessions import scores_of

from widgets import Explorer

SCRIPT = re.compile(r"<script.*?</script>", re.S)  # which would ask the network for MathJax


@pytest.fixture
def outputs(monkeypatch):
    """What the cell of an explorer with two masked heads is saved with."""
    shown = []
    monkeypatch.setattr("widgets.explorer.display", lambda one, **_: shown.append(one))
    model = make_model()
    explorer = Explorer(model, text="one <b>two</b> three", scores=scores_of(model))
    explorer.session.mask("L1H2 L2H0")
    explorer._ipython_display_()
    explorer.close()
    data = [one if isinstance(one, dict) else {"text/html": one.data} for one in shown]
    return [nbformat.v4.new_output("display_data", one) for one in data]


def test_the_page_shows_the_masked_heads_layer_numbers_and_the_legend(page, outputs):
    cell = nbformat.v4.new_code_cell("Explorer(model)", outputs=outputs)
    html, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert "<Explorer of" not in html
    assert "&lt;Explorer of" not in html
    page.set_content(SCRIPT.sub("", html))
    picture = page.locator(".aiw-snapshot")
    assert picture.is_visible()
    assert "2 of 12 heads masked (uniform): L1H2 L2H0" in picture.text_content()
    crossed = picture.locator("td", has_text="\u00d7")
    titles = crossed.evaluate_all("(all) => all.map((one) => one.title.split(':')[0])")
    assert titles == ["L1H2", "L2H0"]
    layers = picture.locator("tr th:first-child")
    assert layers.all_text_contents() == ["", "0", "1", "2"]
    assert all(number.is_visible() for number in layers.all()[1:])
    assert picture.get_by_text("colour: retrieval score").is_visible()
    assert picture.get_by_text("layers down, heads across; \u00d7 is masked").is_visible()
    assert picture.locator(".aiw-snapshot-text").text_content() == "one <b>two</b> three"
    png = page.locator(".jp-OutputArea-output img")
    assert png.count() == 1  # for sites that strip colours; here it would say the same twice
    assert not png.is_visible()
