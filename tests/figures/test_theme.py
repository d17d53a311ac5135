"""Figures of notebooks can be read on a light page and on a dark one, as they are stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
import pytest

from workbench.figures.theme import CLEAR, COLOURS, DETECTED, INK, RANDOM, UNMASKED, styled, themed

PAGES = {"light": (255, 255, 255), "dark": (17, 17, 17)}  # those of JupyterLab
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# Of words 4.5 is asked for on one page; grey on two pages that lie 18.9 apart has 4.35 at most.
WORDS, MARKS = 4.25, 2.0


def rgb(colour: str) -> tuple[int, ...]:
    if colour.startswith("#"):
        return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return tuple(int(part) for part in re.findall(r"\d+", colour)[:3])


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG21/#dfn-relative-luminance."""
    shares = [part / 255 for part in colour]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shares
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def fonts(part: Any) -> Iterator[str]:
    """The colours of all words in a layout."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key.endswith("font") and isinstance(value, dict) and "color" in value:
                yield value["color"]
            yield from fonts(value)
    elif isinstance(part, list):
        for value in part:
            yield from fonts(value)


def stored_figures() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            for output in cell.get("outputs", []):
                figure = output.get("data", {}).get("application/vnd.plotly.v1+json")
                if figure:
                    yield path.stem, figure


def test_the_formula_of_contrast():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast(rgb("#767676"), PAGES["light"]) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("page", PAGES)
def test_stored_figures_are_read_on_both_pages(page):
    seen = set()
    for notebook, figure in stored_figures():
        layout = figure["layout"]
        template = layout["template"]["layout"]
        for ground in ("paper_bgcolor", "plot_bgcolor"):
            assert layout.get(ground, template[ground]) == CLEAR, notebook
        words = {template["font"]["color"], *fonts(layout)}
        for colour in words:
            assert contrast(rgb(colour), PAGES[page]) >= WORDS, (notebook, colour)
        seen.add(notebook)
    assert len(seen) > 5


@pytest.mark.parametrize("page", PAGES)
def test_every_colour_of_a_line_stands_out_on_both_pages(page):
    for colour in (*COLOURS, INK, DETECTED, RANDOM, UNMASKED):
        assert contrast(rgb(colour), PAGES[page]) >= MARKS, colour


def test_styled_and_themed():
    figure = styled(go.Figure(), 300)
    assert figure.layout.template.layout.font.color == INK
    assert figure.layout.height == 300
    for theme, template in (("dark", "plotly_dark"), ("light", "plotly_white")):
        ink = plotly.io.templates[template].layout.font.color
        assert themed(figure, theme).layout.template.layout.font.color == ink
        assert contrast(rgb(ink), PAGES[theme]) > 4.5
        assert figure.layout.paper_bgcolor == CLEAR
