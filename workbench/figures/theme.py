"""What all figures share: colours, light and dark, and text shown as it is.

A figure is one function: a frame in, a plotly figure out. Nothing is computed here. Text that comes
from documents or tokens passes through `shown`, since plotly reads a subset of HTML in labels and
hovers.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import plotly.io

from workbench.core.text import escape_control_characters

# Okabe-Ito: told apart by colour-blind readers, in this order.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
# Domains, in order of their names; what chooses among them takes the colours from the first on.
DOMAINS = (*COLOURS[2:6], *COLOURS[:2], COLOURS[6])
# What is masked, in every figure that sets these side by side: nothing, random heads, the detected.
UNMASKED, RANDOM, DETECTED = COLOURS[6], COLOURS[5], COLOURS[1]
DIVERGING = "RdBu_r"  # red: the loss rises; blue: it falls
# Of words and lines: 4.3 : 1 against white, and against the dark page of JupyterLab (#111). No
# colour has 4.5 : 1 against both: they are 18.9 : 1 apart, whose root, 4.35, is the most there is.
INK = "#7a7a7a"
GRID = "rgba(128,128,128,0.25)"
CLEAR = "rgba(0,0,0,0)"
# Of grids of heads, as in the Explorer: nothing is clear, high is blue; a fall is blue and a rise
# vermilion.
SEQUENTIAL = [[0, "rgba(0,114,178,0)"], [1, "rgba(0,114,178,1)"]]
RISE_AND_FALL = [
    [0, "rgba(0,114,178,1)"], [0.5, "rgba(0,114,178,0)"],
    [0.5, "rgba(213,94,0,0)"], [1, "rgba(213,94,0,1)"],
]  # fmt: skip
# Ticks at 1, 2 and 5 of each decade, or at fewer, written in full; they follow a zoom.
LOG_AXIS = {"type": "log", "minorloglabels": "complete", "nticks": 4}
BOTH = "both_themes"  # template of figures that stand on a light or a dark page


def _template() -> go.layout.Template:
    """The white one of plotly, words and lines in grey, the page behind shining through."""
    made = go.layout.Template(plotly.io.templates["plotly_white"])
    made.layout.update(
        font_color=INK, title_font_color=INK, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR
    )
    for axis in (made.layout.xaxis, made.layout.yaxis):
        axis.update(gridcolor=GRID, linecolor=GRID, zerolinecolor=GRID)
    return made


plotly.io.templates[BOTH] = _template()


def shown(text: str) -> str:
    """`text` so that plotly shows it as it is: no markup, no control or direction characters.

    Args:
        text: any text, of a document or a token.

    Returns:
        The text with what plotly would read as markup or formula escaped.
    """
    escapes = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"})
    return escape_control_characters(text).translate(
        escapes
    )  # dollars would be a formula where there is MathJax


def error_bar(
    value: Any, low: Any, high: Any, thickness: float = 1.2, digits: int = 4
) -> dict[str, Any]:
    """An error bar from low to high, for `error_x` or `error_y`.

    Args:
        value: of each marker, a column or an array.
        low: the low end of each interval.
        high: the high end.
        thickness: of the line, in pixels.
        digits: decimal places that are kept.

    Returns:
        What plotly takes.
    """
    return {
        "type": "data", "symmetric": False, "thickness": thickness,
        "array": (high - value).round(digits),
        "arrayminus": (value - low).round(digits),
    }  # fmt: skip


def styled(figure: go.Figure, height: int) -> go.Figure:
    """Give a figure the look that all share, which can be read on a light and on a dark page.

    Args:
        figure: is changed in place.
        height: pixels.

    Returns:
        The same figure.
    """
    figure.update_layout(template=BOTH, height=height, margin={"l": 60, "r": 20, "t": 70, "b": 60})
    return figure


def themed(figure: go.Figure, theme: str) -> go.Figure:
    """The figure in the colours of a light or dark page, whose background shines through.

    Args:
        figure: is changed in place.
        theme: "dark"; anything else is light.

    Returns:
        The same figure.
    """
    figure.update_layout(
        template="plotly_dark" if theme == "dark" else "plotly_white",
        paper_bgcolor=CLEAR, plot_bgcolor=CLEAR,
    )  # fmt: skip
    return figure
