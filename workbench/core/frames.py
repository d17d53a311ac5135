"""Tables of results: a pandas frame, or a dataclass with one inside, and how it looks in HTML."""

from __future__ import annotations

from html import escape
from typing import Any, Protocol

import pandas as pd

from workbench.core.text import escape_control_characters


class HasFrame(Protocol):
    """A table of results with its rows in a frame, such as `workbench.scoring.ScoreTable`."""

    @property
    def frame(self) -> pd.DataFrame:
        """The rows."""


TableLike = pd.DataFrame | HasFrame


def frame_of(table: TableLike) -> pd.DataFrame:
    """The rows of a table, whichever of the two it is.

    Args:
        table: a frame, or what has one in its attribute `frame`.

    Returns:
        The frame itself, not a copy.

    Raises:
        TypeError: it is neither.
    """
    # A frame first: one with a column called "frame" has such an attribute too.
    frame = table if isinstance(table, pd.DataFrame) else getattr(table, "frame", None)
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(
            "expected a table, such as score_corpus and load_scores return, or a pandas frame with "
            f"its columns; got a {type(table).__name__}"
        )
    return frame


def as_html(text: str, table: pd.DataFrame | None = None, *, index: bool = False) -> str:
    """How a result shows in a notebook; ids, domains and reasons are text from the web.

    Args:
        text: its lines, a paragraph each.
        table: what stands below them; None: nothing. Long ones are shortened as pandas does.
        index: whether the index of the table is shown.

    Returns:
        HTML in which all of that is text.
    """
    lines = "".join(f"<p>{escape(_visible(line), quote=False)}</p>" for line in text.splitlines())
    if table is None:
        return lines
    most = pd.get_option("display.max_rows") or len(table)
    if len(table) > 2 * most:  # more than is shown, and not all of a million
        table = pd.concat([table.head(most), table.tail(most)])
    shown = table.apply(_visible_column) if len(table) else table
    shown = shown.rename(index=_visible, columns=_visible)
    rows: str = shown.to_html(escape=True, index=index, max_rows=most)
    return lines + rows


def _visible_column(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column
    return pd.Series([_visible(value) for value in column], column.index, dtype=object)


def _visible(value: Any) -> Any:
    return escape_control_characters(value) if isinstance(value, str) else value
