"""The table of all heads: what is known of each, sorted by any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from widgets.error_report import Report, raises
from widgets.views.row_table import RowTable, column
from workbench.models.heads import Head
from workbench.session.head_colours import (
    ALONE,
    ESTIMATE,
    EXACT,
    METHODS,
    NEED,
    RETRIEVAL,
    SECOND,
    HeadColours,
)
from workbench.session.head_table import HIGH, LOW

SHORT = {
    RETRIEVAL: "retrieval", ESTIMATE: "influence est.", EXACT: "influence", NEED: "need of token",
    SECOND: "writes (LOCOS)",
}  # fmt: skip
# What the values are, as the legend of the grid says it, in the tooltips of the titles.
MEANINGS = {
    RETRIEVAL: "where the head looks, on lookup probes, from 0 to 1",
    SECOND: "the second detector, on lookup probes: how much more the head writes towards the "
    "answer from its place than from elsewhere, in logits",
    **dict.fromkeys(METHODS, ALONE),
}
INTERVAL = "95 % interval"


class HeadTable(RowTable):
    """A table without heads until `show`; the position of a row is that of its cell in the grid."""

    def __init__(self, report: Report = raises) -> None:
        """An empty table.

        Args:
            report: is called with errors in handling what the browser sent.
        """
        super().__init__(report, label="heads", by="layer", nothing="no heads")
        self._rows: dict[int, dict[str, Any]] = {}

    def show(
        self,
        table: pd.DataFrame,
        colours: Mapping[str, HeadColours],
        heads: int,
        by: str,
        ascending: bool,
    ) -> None:
        """Show what is known of the heads.

        Args:
            table: what `head_table` returned.
            colours: the values that it is made of, for the scales of the bars.
            heads: query heads of a layer.
            by: key of the column that they are sorted by; heads without a value come last.
            ascending: the lowest first.
        """
        table = table.assign(position=table["layer"] * heads + table["head"])
        order = table.sort_values(by, ascending=ascending, kind="stable")["position"].to_numpy()
        rows = zip(table["position"].tolist(), table.to_dict("records"), strict=True)
        with self.hold_sync():
            self._rows = {position: _row(values) for position, values in rows}
            columns = _columns(table, colours)
            if columns != self.columns:
                self.columns = columns
            self.arrange(order, by, ascending)

    def values(self, positions: Sequence[int]) -> Sequence[Mapping[str, Any]]:
        """The heads at these positions.

        Args:
            positions: of their cells.

        Returns:
            The values of each by the keys of the columns.
        """
        return [self._rows[position] for position in positions]


def _row(values: Mapping[Any, Any]) -> dict[str, Any]:
    row = {str(key): value for key, value in values.items()}
    row["layer"] = str(Head(int(values["layer"]), int(values["head"])))
    if np.isfinite(row.get(LOW, np.nan)):
        row[LOW] = f"{row[LOW]:.2f} to {row[HIGH]:.2f}"
    return row


def _columns(table: pd.DataFrame, colours: Mapping[str, HeadColours]) -> list[dict[str, Any]]:
    made = [column("layer", "head", 56), column("masked", "masked", 56)]
    for name in table.columns:
        if name in ("layer", "head", "masked", "position", LOW, HIGH):
            continue
        known = colours.get(name)
        label = SHORT.get(name, name)
        scale = None
        if known is not None:
            low = float(np.nanmin(known.values, initial=0))
            scale = (low, float(np.nanmax(known.values, initial=0)))
        made.append(
            column(
                name, label, 72 if name == RETRIEVAL else 96, known.digits if known else 2,
                share=1, bar=scale, title=f"{name}: {MEANINGS[name]}" if name in MEANINGS else name,
            )
        )  # fmt: skip
        if name == RETRIEVAL and LOW in table:
            made.append(
                column(LOW, INTERVAL, 86, title="95 % interval of the retrieval score over probes")
            )
    return made
