"""Hostile texts in plotly's titles, legends, labels and hovers: all are shown as text."""

from __future__ import annotations

import pandas as pd
import pytest
from support.hostile import TEXTS

import workbench as wb
from workbench import figures
from workbench.core.text import escape_control_characters

CHUNK = 6
CHUNKS = [
    pytest.param(TEXTS[i : i + CHUNK], marks=pytest.mark.slow if i >= CHUNK else ())
    for i in range(0, len(TEXTS), CHUNK)
]


def scores_of(texts):
    """Two documents a domain, each domain and each document named by a text."""
    rows = [
        {
            "source": "s", "row": 2 * i + j, "doc_id": text, "domain": text, "tokens": 10 + i,
            "predicted": 9 + i, "predicted_novel": 9 + i - j,
            "loss_base": 2.0 + i, "loss_ref": 3.0 + i + j, "score": (1 + j) / (2 + i),
            "compression_ratio": 0.3 + 0.05 * i + 0.02 * j, "text_sha256": f"{i}-{j}",
        }
        for i, text in enumerate(texts)
        for j in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def show(page, figure):
    page.set_content(figure.to_html(include_plotlyjs=True, full_html=True))
    page.wait_for_selector(".js-plotly-plot .main-svg")


def shown_texts(page, selector):
    """What is drawn, a line break of plotly's as a line break."""
    return [
        text.replace("\xa0", " ")
        for text in page.evaluate(
            "(selector) => [...document.querySelectorAll(selector)].map((one) => one.textContent)",
            selector,
        )
    ]


def spelled(text):
    return escape_control_characters(text).replace("\xa0", " ")


def hovers(page, curve, point):
    """What the hover of one point says."""
    page.evaluate("() => Plotly.Fx.unhover(document.querySelector('.js-plotly-plot'))")
    page.wait_for_timeout(120)  # plotly answers at most one hover in 50 ms
    page.evaluate(
        "([curve, point]) => Plotly.Fx.hover(document.querySelector('.js-plotly-plot'),"
        " [{curveNumber: curve, pointNumber: point}], 'xy')",
        [curve, point],
    )
    return " ".join(shown_texts(page, ".hoverlayer text"))


@pytest.mark.parametrize("texts", CHUNKS)
def test_titles_of_the_histogram(page, texts):
    show(page, figures.influence_histogram(wb.select(scores_of(texts), 0.5)))
    titles = shown_texts(page, ".annotation-text")
    for text in texts:
        assert any(title.startswith(spelled(text) + ": 1 of 2") for title in titles), text
    assert page.evaluate("() => window.hacked") is None
    assert page.locator(".js-plotly-plot a[href*=evil]").count() == 0


@pytest.mark.parametrize("texts", CHUNKS)
def test_legends_and_hovers_of_the_confounds(page, texts):
    show(page, figures.confound_panel(scores_of(texts)))
    legend = shown_texts(page, ".legendtext")
    order = sorted(texts)
    for number, text in enumerate(order):
        assert spelled(text) in legend
        hover = hovers(page, 3 * number, 0)  # three panels a domain
        assert spelled(text)[:40].split("\n")[0].strip() in hover, (text, hover)
    assert page.evaluate("() => window.hacked") is None
    assert page.locator(".js-plotly-plot a[href*=evil]").count() == 0


@pytest.mark.parametrize("texts", CHUNKS)
def test_labels_of_the_token_map(page, texts):
    show(page, figures.token_map(texts, [0.1] * len(texts), width=2))
    page.wait_for_selector(".heatmap-label")
    labels = shown_texts(page, ".heatmap-label")
    for text in texts:
        assert spelled(text) in labels, text
    assert page.evaluate("() => window.hacked") is None
    assert page.locator(".js-plotly-plot a[href*=evil]").count() == 0
