"""How the values of a column are spread: counts in bins, of all documents and of some."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 24


@dataclass(frozen=True, eq=False)
class Histogram:
    """How the values of a column are spread.

    Attributes:
        edges: of the bins, ascending, one more than there are bins; a value at an edge is in the
            bin above it, but for the last.
        counts: documents in each bin.
        kept: those of them that pass the filters.
    """

    edges: np.ndarray
    counts: np.ndarray
    kept: np.ndarray

    def span(self, first: int, last: int) -> tuple[float, float]:
        """The lowest and the highest value that lie in some bins.

        Args:
            first: number of the first bin.
            last: number of the last one.

        Returns:
            Both ends, which belong to it.
        """
        high = self.edges[last + 1]
        if last + 1 < len(self.edges) - 1:
            high = np.nextafter(high, -np.inf)  # the edge itself is in the next bin
        return float(self.edges[first]), float(high)


@dataclass(frozen=True, eq=False)
class Binned:
    """Values in the bins of a histogram.

    Attributes:
        edges: of the bins, as in `Histogram`.
        bins: of each value the number of its bin; BINS for one that is not finite.
    """

    edges: np.ndarray
    bins: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, low: float, high: float, logarithmic: bool) -> Binned:
        """Values in BINS bins.

        Args:
            values: shape (documents,), float64.
            low: the lowest finite one.
            high: the highest finite one.
            logarithmic: bins of equal ratio, for values above 0; else of equal width.

        Returns:
            The bins, from `low` to `high`.
        """
        if logarithmic:
            edges = np.geomspace(low, high, BINS + 1)
            edges[[0, -1]] = low, high  # which rounding moves
        else:
            edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        bins = np.searchsorted(edges, values, side="right") - 1
        bins[values == edges[-1]] = BINS - 1
        bins[~np.isfinite(values)] = BINS  # a bin of its own, which is not shown
        return cls(edges, bins)

    def histogram(self, kept: np.ndarray | None = None) -> Histogram:
        """The counts in each bin.

        Args:
            kept: positions of the values that pass the filters; None: all.

        Returns:
            The counts of all values and of those.
        """
        counts, part = (
            np.bincount(some, minlength=BINS + 1)[:BINS]
            for some in (self.bins, self.bins if kept is None else self.bins[kept])
        )
        return Histogram(self.edges, counts, part)
