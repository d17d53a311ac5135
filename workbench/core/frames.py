"""Tables of results: a pandas frame, or a dataclass with one inside."""

from __future__ import annotations

from typing import Protocol

import pandas as pd


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
