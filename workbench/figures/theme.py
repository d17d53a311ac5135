"""What all figures share: colours, light and dark, and text shown as it is.

A figure is one function: a frame in, a plotly figure out. Nothing is computed here. Text that comes
from documents or tokens passes through `shown`, since plotly reads a subset of HTML in labels and
hovers.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from workbench.core.text import escape_control_characters

# Okabe-Ito: told apart by colour-blind readers, in this order.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
DIVERGING = "RdBu_r"  # red: the loss rises; blue: it falls


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
    """Give a figure the look that all share.

    Args:
        figure: is changed in place.
        height: pixels.

    Returns:
        The same figure.
    """
    figure.update_layout(
        template="plotly_white", height=height, margin={"l": 60, "r": 20, "t": 70, "b": 60}
    )
    return figure


def themed(figure: go.Figure, theme: str) -> go.Figure:
    """The figure in the colours of a light or dark page, whose background shines through.

    Args:
        figure: is changed in place.
        theme: "dark"; anything else is light.

    Returns:
        The same figure.
    """
    clear = "rgba(0,0,0,0)"
    figure.update_layout(
        template="plotly_dark" if theme == "dark" else "plotly_white",
        paper_bgcolor=clear, plot_bgcolor=clear,
    )  # fmt: skip
    return figure
