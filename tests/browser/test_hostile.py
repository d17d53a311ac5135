"""Hostile texts through every view of the explorer, in a real JupyterLab: all are shown as text."""

from __future__ import annotations

import json
import re

import pytest
from support.hostile import TEXTS

from browser.lab import PATIENCE, Lab, button, tab
from workbench.core.text import escape_control_characters
from workbench.masking.token_changes import CONTINUED

NOTEBOOK = """
import json
import pandas as pd
import workbench as wb
from widgets import Explorer
texts = json.load(open("texts.json"))
rows = [{"id": text, "text": text + " and so on, " + text, "domain": text} for text in texts]
model = wb.load_model()
scores = pd.DataFrame([(l, h, l + h / 9) for l in range(30) for h in range(9)],
                      columns=["layer", "head", "score"])
explorer = Explorer(model, heads="L18H6 L17H3", scores=scores, corpus=rows)
explorer
"""
READ = "() => [...document.querySelectorAll('.aiw-token')].map((one) => one.textContent).join('')"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("hostile"))
    yield lab
    lab.close()


def test_there_are_enough():
    assert len(set(TEXTS)) >= 50


@pytest.mark.slow
def test_hostile_texts_are_shown_as_text_in_every_view(lab, page):
    (lab.folder / "texts.json").write_text(json.dumps(TEXTS))
    lab.notebook("hostile.ipynb", NOTEBOOK)
    page.set_viewport_size({"width": 1400, "height": 1600})
    page.set_default_timeout(PATIENCE)
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog opened: {dialog.message}"))
    lab.show(page, "hostile.ipynb")
    address = page.url

    # The corpus: names and domains in table, filter, counts and figure.
    tab(page, "Documents")
    box = page.locator('.aiw-explorer input[title^="Run folder"]')
    box.fill("run")
    box.press("Tab")
    button(page, "Score").click()
    page.locator(".aiw-doc-row:visible").first.wait_for(timeout=PATIENCE)
    lab.settle()
    assert lab.ask("len(explorer.session.corpus)") == str(len(TEXTS))
    seen = set()
    page.locator('.aiw-doc-row[aria-rowindex="2"]').focus()  # whose heading is row 1
    for row in range(len(TEXTS)):  # only the rows in view are on the page
        line = page.locator(f'.aiw-doc-row[aria-rowindex="{row + 2}"][aria-busy=false]')
        seen.add(line.locator("[role=gridcell]").first.text_content())
        page.keyboard.press("ArrowDown")
    assert seen == {escape_control_characters(text) for text in TEXTS}
    labels = page.locator(".aiw-explorer select option").all_text_contents()
    options = [label.replace("\xa0", " ") for label in labels]  # ipywidgets keeps spaces so
    assert {escape_control_characters(text) for text in TEXTS} <= set(options)
    tab(page, "Selection")
    page.wait_for_selector(".aiw-explorer .js-plotly-plot .barlayer")
    domains = page.locator(".aiw-counts td:first-child").all_text_contents()
    assert set(domains) == {escape_control_characters(text) for text in TEXTS}
    titles = " ".join(page.locator(".js-plotly-plot .annotation-text").all_text_contents())
    assert "<script>window.hacked = 1</script>: " in titles
    assert "H<sub>2</sub>O" in titles
    tab(page, "Code")

    # Every text in the token view, in the source line, and in the picture, on the page as well.
    tab(page, "Text")
    for position in range(len(TEXTS)):
        name = lab.ask(
            f"(explorer.session.open({position}), explorer.wait(60), "
            "json.dumps([explorer.session.document, explorer.session.text]))[2]"
        )
        document, text = json.loads(name)
        shown = escape_control_characters(text)
        page.wait_for_function(
            f"([text, part]) => ({READ})().replaceAll(part, '') === text", arg=[shown, CONTINUED]
        )
        sources = page.locator(".aiw-source b").all_text_contents()
        assert sources == [escape_control_characters(document, newline="\n")], text
        page.locator(".aiw-token").last.hover()
        head = page.locator(".aiw-details-head")
        head.filter(has_text=re.compile(r"^token \d+")).wait_for()
        page.wait_for_function(
            "([text, part]) => document.querySelector('.aiw-snapshot-text').textContent"
            ".replaceAll(part, '') === text",
            arg=[shown, CONTINUED],
        )
        assert page.evaluate("() => window.hacked") is None, text

    # Errors that quote what was given.
    names = page.locator(".aiw-explorer input[placeholder='L17H3 L18H6']")
    for text in TEXTS[:12]:
        names.fill(text)
        names.press("Enter")
        word = text.split()[0][:40]
        alert = page.locator(
            ".aiw-status [role=alert] summary", has_text=escape_control_characters(word)[:8]
        )
        alert.first.wait_for()
    assert page.evaluate("() => window.hacked") is None
    assert page.url == address


A_TENTH = [
    number if number % 10 == 0 else pytest.param(number, marks=pytest.mark.slow)
    for number in range(len(TEXTS))
]


@pytest.mark.parametrize("number", A_TENTH)
def test_the_picture_is_text(number, page):
    """The static HTML, alone on a page, for each text: exactly what it spells, and no element."""
    from support.models import make_model

    from widgets import Explorer

    text = TEXTS[number] + " and so on"
    explorer = Explorer(make_model(), text=text)
    try:
        assert explorer.wait(60)
        page.set_content(explorer.snapshot().data)
    finally:
        explorer.close()
    shown = "".join(page.locator(".aiw-snapshot-text span").all_text_contents())
    read = shown.replace(CONTINUED, "")
    assert read == escape_control_characters(text)[: len(read)]
    assert len(read) >= min(len(text), 1000)  # of a long text, the beginning
    kinds = page.evaluate(
        "() => [...new Set([...document.querySelectorAll('.aiw-snapshot *')].map(e => e.tagName))]"
    )
    assert set(kinds) <= {
        "DIV",
        "P",
        "B",
        "I",
        "TABLE",
        "CAPTION",
        "TBODY",
        "TR",
        "TH",
        "TD",
        "SPAN",
    }
    assert page.evaluate("() => window.hacked") is None
