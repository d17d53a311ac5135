"""A table of any length: sorted, scrolled and opened; what its rows are is for a subclass to say.

Only the rows on the screen cross to the browser. What sorting, filtering and opening mean is for
the owner of the table to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from widgets.error_report import Report, raises
from widgets.views.browser_files import module, stylesheet
from widgets.views.view import View
from workbench.core.text import escape_control_characters

MOST = 1000  # rows in one answer; a screen holds fewer


def column(
    key: str,
    label: str,
    least: int,
    digits: int | None = None,
    *,
    share: int = 0,
    middle: bool = False,
    bar: tuple[float, float] | None = None,
    title: str = "",
) -> dict[str, Any]:
    """A column as the browser is told of it.

    Args:
        key: of its values in a row.
        label: in the heading.
        least: pixels that it needs; where they are not there, it is left out.
        digits: decimals of its numbers; None: it holds text.
        share: of the width that is left over; 0: none.
        middle: of a long text the middle is left out, and not the end.
        bar: the scale, low and high, of the bar behind each number; None: there are no bars.
        title: what it holds, in words.

    Returns:
        A member of the trait `columns`.
    """
    return {
        "key": key, "label": escape_control_characters(label), "least": least, "digits": digits,
        "share": share, "middle": middle, "bar": bar, "title": escape_control_characters(title),
    }  # fmt: skip


class RowTable(View):
    """A table without rows until `arrange`.

    The owner sets on_sort(key of a column), called when a heading was clicked; on_range(key, bins),
    called when the reader dragged over a histogram from one bin to another (None: back to all);
    on_open(position), called when a row was opened; `opened` is that position by then; and
    on_shown(positions), called when rows were sent to the screen. A subclass has `values`, the rows
    at some positions.

    Attributes:
        total: number of rows.
        columns: what `column` returned for each, the most important first.
        histograms: of columns, by key (`Histogram.shown`).
        by: key of the column that the rows are sorted by.
        ascending: the lowest first.
        revision: counts the arrangements; answers to another one are out of date.
        opened: position of the opened row, or -1.
        pointed: in the browser, position of the row that the pointer or the keys are at, or -1.
        label: what the rows are, for screen readers.
        nothing: what is said where there is no row.
    """

    _esm = module("row_table")
    _css = stylesheet("row_table")

    total = traitlets.Int(0).tag(sync=True)
    columns = traitlets.List(traitlets.Dict()).tag(sync=True)
    histograms = traitlets.Dict().tag(sync=True)
    by = traitlets.Unicode("").tag(sync=True)
    ascending = traitlets.Bool(True).tag(sync=True)
    revision = traitlets.Int(0).tag(sync=True)
    opened = traitlets.Int(-1).tag(sync=True)
    pointed = traitlets.Int(-1).tag(sync=True)
    label = traitlets.Unicode("rows").tag(sync=True)
    nothing = traitlets.Unicode("nothing is here yet").tag(sync=True)

    def __init__(self, report: Report = raises, **traits: Any) -> None:
        """An empty table.

        Args:
            report: is called with errors in handling what the browser sent.
            **traits: first values of the attributes.
        """
        super().__init__(**traits)
        self.report = report
        self.on_sort: Callable[[str], object] = lambda by: None
        self.on_range: Callable[[str, tuple[int, int] | None], object] = lambda key, bins: None
        self.on_open: Callable[[int], object] = lambda position: None
        self.on_shown: Callable[[Sequence[int]], object] = lambda positions: None
        self.order = np.empty(0, dtype=int)
        self.on_msg(self._heard)

    def values(self, positions: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        """The rows at these positions.

        Args:
            positions: some of those in `order`.

        Returns:
            The values of each row by the keys of the columns; None or NaN: there is none.

        Raises:
            NotImplementedError: a subclass has no rows of its own.
        """
        raise NotImplementedError

    def arrange(self, order: np.ndarray, by: str, ascending: bool) -> None:
        """Show rows in an order; those on the screen are asked for anew.

        Args:
            order: positions of the rows.
            by: key of the column that they are sorted by.
            ascending: the lowest first.
        """
        with self.hold_sync():
            self.order = order  # before the revision that it belongs to
            self.total, self.by, self.ascending = len(order), by, ascending
            self.revision += 1

    def reveal(self, position: int) -> None:
        """Open a row and bring it to the screen, if it is among those shown.

        Args:
            position: of the row.
        """
        self.opened = position
        places = np.flatnonzero(self.order == position)
        if len(places):
            self.send({"kind": "reveal", "number": int(places[0]), "revision": self.revision})

    def complete(self, key: str, cells: Mapping[int, str]) -> None:
        """Show cells that were read later than the rest of their rows.

        Args:
            key: of the column.
            cells: position of a row to its text in this column.
        """
        shown = {str(position): escape_control_characters(text) for position, text in cells.items()}
        self.send({"kind": "cells", "key": key, "cells": shown})

    # ---- messages from the browser ----------------------------------------------------------

    def _heard(self, _: object, message: dict[str, Any], buffers: object) -> None:
        try:
            self._handle(message)
        except Exception as error:
            self.report(error)

    def _handle(self, message: dict[str, Any]) -> None:
        match message:
            case {
                "action": "rows",
                "first": int(first),
                "count": int(count),
                "revision": int(revision),
            }:
                # Of another arrangement, the browser asks again.
                if revision == self.revision:
                    self._answer(revision, first, min(count, MOST))
            case {"action": "sort", "by": str(by)}:
                self.on_sort(by)
            case {"action": "range", "key": str(key), "bins": [int(first), int(last)]}:
                self.on_range(key, (first, last))
            case {"action": "range", "key": str(key), "bins": None}:
                self.on_range(key, None)
            case {"action": "open", "position": int(position)}:
                self.opened = position
                self.on_open(position)
            case _:
                raise ValueError(f"a table does not know the message {message!r}")

    def _answer(self, revision: int, first: int, count: int) -> None:
        if first < 0 or not self.total:
            raise ValueError(f"no rows from {first} on: the table has {self.total} rows")
        columns = self.columns
        positions = self.order[first : first + count].tolist()
        rows = [
            {
                "position": position,
                "cells": [
                    _shown(row.get(described["key"]), described["digits"]) for described in columns
                ],
                "bars": [
                    _bar(row.get(described["key"]), described["bar"]) for described in columns
                ],
            }
            for position, row in zip(positions, self.values(positions), strict=True)
        ]
        # The revision of the question: another thread may have called `arrange` meanwhile.
        self.send({"kind": "rows", "revision": revision, "first": first, "rows": rows})
        self.on_shown(positions)


def _shown(value: Any, digits: int | None) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if value is None or value != value:  # NaN: no value
        return "" if digits is None else "\N{EN DASH}"
    return escape_control_characters(str(value)) if digits is None else f"{value:,.{digits}f}"


def _bar(value: Any, scale: Sequence[float] | None) -> list[float] | None:
    """From where to where of its cell the bar of a value goes: from 0, which the scale holds."""
    if scale is None or value is None or value != value:
        return None
    low, high = min(scale[0], 0.0), max(scale[1], 0.0)
    ends = np.clip((np.array(sorted((0.0, float(value)))) - low) / ((high - low) or 1.0), 0, 1)
    return [float(end) for end in ends.round(4)]
