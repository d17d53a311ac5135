"""The documents of a scored corpus as rows: sorted, filtered, and the spread of their columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.polygon import inside
from workbench.scoring.schema import SCHEMA
from workbench.session.corpus.columns import COLUMNS
from workbench.session.corpus.filters import Lasso
from workbench.session.corpus.histogram import Binned, Histogram

WIDE = 100  # counts that span a larger factor are shown on a logarithmic scale


class DocumentRows:
    """One row a document, known by its position, which no cut moves.

    Attributes:
        scores: the rows with what no cut changes.
        placed: the same rows with rank, selected and margin of the present cut.
        domains: names of the domains in the present cut.
    """

    def __init__(self, scores: pd.DataFrame) -> None:
        """Begin without a cut.

        Args:
            scores: one row a document.
        """
        self.scores = scores

    def place(self, cut: pd.DataFrame, domains: list[str]) -> None:
        """Lay another cut over the rows.

        Args:
            cut: rank, selected and margin, by position.
            domains: names of the domains.
        """
        self.placed, self.domains = self.scores.assign(**cut), domains
        self._binned: dict[str, Binned] = {}

    def add(self, name: str, values: pd.Series) -> None:
        """Add a column, which is shown from the next cut on.

        Args:
            name: of the column.
            values: by position.
        """
        self.scores[name] = values
        for kept in ("column_names", "numeric_columns"):
            self.__dict__.pop(kept, None)  # what was kept without it

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        """COLUMNS, and behind them the further columns in which some document has a value."""
        known = {*COLUMNS, "row"}
        further = [
            str(name)
            for name in [*SCHEMA.names, *self.scores.columns]
            if name in self.scores
            and name not in known
            and (name == "read" or pd.api.types.is_numeric_dtype(self.scores[name]))
            and self.scores[name].notna().any()
        ]
        return (*COLUMNS, *dict.fromkeys(further))

    @cached_property
    def numeric_columns(self) -> tuple[str, ...]:
        """Those of `column_names` that hold numbers."""
        return tuple(
            name
            for name in self.column_names
            if name not in ("doc_id", "domain", "selected", "read")
        )

    def column(self, name: str) -> np.ndarray:
        """The values of a column, by position.

        Args:
            name: one of `numeric_columns`.

        Returns:
            Shape (documents,), float64; NaN where there is none.

        Raises:
            ValueError: there is no such column.
        """
        if name not in self.numeric_columns:
            raise ValueError(
                f"no column of numbers {name!r}: expected one of {', '.join(self.numeric_columns)}"
            )
        return self.placed[name].to_numpy("float64", na_value=np.nan)

    def is_count(self, name: str) -> bool:
        """Whether a column holds whole numbers.

        Args:
            name: one of `numeric_columns`.

        Returns:
            True for integers; False for floats, even if they are whole.
        """
        return pd.api.types.is_integer_dtype(self.placed[name])

    def extent(self, name: str) -> tuple[float, float]:
        """The lowest and the highest value of a column.

        Args:
            name: one of `numeric_columns`.

        Returns:
            Both ends; 0 and 0 where no document has a finite value.
        """
        values = self.column(name)
        values = values[np.isfinite(values)]
        return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)

    def is_wide(self, name: str) -> bool:
        """Whether a column is shown on a logarithmic scale, as lengths are.

        Args:
            name: one of `numeric_columns`.

        Returns:
            True for counts above 0 that span a factor above WIDE.
        """
        low, high = self.extent(name)
        return self.is_count(name) and low > 0 and high > WIDE * low

    def plotted(self, name: str) -> np.ndarray:
        """The values of a column in the units of the axis that shows it.

        Args:
            name: one of `numeric_columns`.

        Returns:
            Shape (documents,): decimal logarithms of a column that is wide, else its values.
        """
        values = self.column(name)
        return np.log10(values) if self.is_wide(name) else values

    def histogram(self, name: str, kept: np.ndarray | None = None) -> Histogram:
        """How the values of a column are spread over all documents, and over some of them.

        Args:
            name: one of `numeric_columns`.
            kept: positions of those that pass the filters; None: all.

        Returns:
            The counts in BINS bins between the ends of the column: of equal width, or of equal
            ratio for a column that is wide.
        """
        if name not in self._binned:
            low, high = self.extent(name)
            self._binned[name] = Binned.of(self.column(name), low, high, self.is_wide(name))
        return self._binned[name].histogram(kept)

    def sort_and_filter(
        self,
        by: str = "rank",
        ascending: bool = True,
        domain: str | None = None,
        contains: str = "",
        only_selected: bool = False,
        *,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        lasso: Lasso | None = None,
        among: np.ndarray | None = None,
    ) -> np.ndarray:
        """Sort and filter.

        Args:
            by: one of `column_names`. margin is sorted by the distance from the cut. Equal values
                keep the order of domain and rank.
            ascending: the lowest first.
            domain: only documents of this one; None: of all.
            contains: plain text, upper or lower case, that the id must hold.
            only_selected: only documents that the cut chooses.
            ranges: by name of a column the lowest and the highest value, both of them included;
                documents without a value do not pass. None: no such filter.
            lasso: the shape that they must lie in; None: no such filter.
            among: only documents at these positions; None: all.

        Returns:
            Positions of the documents that pass the filters, in order.

        Raises:
            ValueError: there is no such column or domain, or a shape of fewer than three corners.
        """
        if by not in self.column_names:
            raise ValueError(
                f"cannot sort by {by!r}: expected one of {', '.join(self.column_names)}"
            )
        if domain is not None and domain not in self.domains:
            raise ValueError(f"no domain {domain!r}: expected one of {', '.join(self.domains)}")
        rows = self.placed
        keep = np.ones(len(rows), dtype=bool)
        if domain is not None:
            keep &= (rows["domain"] == domain).to_numpy()
        if only_selected:
            keep &= rows["selected"].to_numpy()
        if contains:
            keep &= rows["doc_id"].str.contains(contains, case=False, regex=False).to_numpy()
        for name, (low, high) in (ranges or {}).items():
            values = self.column(name)
            keep &= (values >= low) & (values <= high)
        if lasso is not None:
            across, up = self.plotted(lasso["across"]), self.plotted(lasso["up"])
            keep &= inside(lasso["corners"], across, up)
        if among is not None:
            there = np.zeros(len(rows), dtype=bool)
            there[among] = True
            keep &= there
        key = rows[by].abs() if by == "margin" else rows[by]
        order = key[keep].sort_values(ascending=ascending, kind="stable")
        return order.index.to_numpy()

    def rows(self, positions: Iterable[int]) -> list[dict[str, Any]]:
        """Documents as plain Python values.

        Args:
            positions: of the documents.

        Returns:
            One dict of `column_names` a document.
        """
        part = self.placed.iloc[list(positions)]
        return part.loc[:, list(self.column_names)].to_dict("records")  # type: ignore[return-value]

    @cached_property
    def unique_ids(self) -> frozenset[str]:
        """The ids that belong to one document only."""
        ids = self.scores["doc_id"]
        return frozenset(ids[~ids.duplicated(keep=False)])

    def position(self, document: int | str) -> int:
        """The position of a document.

        Args:
            document: its id, or its position, which is handed back.

        Returns:
            Its position.

        Raises:
            KeyError: there is none.
            ValueError: there are several.
        """
        if not isinstance(document, str):
            return document
        positions = np.flatnonzero((self.placed["doc_id"] == document).to_numpy())
        if not len(positions):
            raise KeyError(f"no scored document has the id {document!r}")
        if len(positions) > 1:
            raise ValueError(
                f"{len(positions)} documents have the id {document!r:.100}: give the position of "
                f"one, as sort_and_filter(contains=...) finds them, such as {positions[0]}"
            )
        return int(positions[0])
