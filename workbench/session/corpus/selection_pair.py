"""Two selections from one scored corpus: what both choose, and what each chooses alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Part = Literal["both", "only A", "only B"]
PARTS: tuple[Part, ...] = ("both", "only A", "only B")


@dataclass(frozen=True, eq=False)
class SelectionPair:
    """Two selections of documents by their positions.

    Attributes:
        first: positions that A chooses.
        second: positions that B chooses.
    """

    first: np.ndarray
    second: np.ndarray

    def part(self, name: Part) -> np.ndarray:
        """The documents of one part.

        Args:
            name: "both", "only A" or "only B".

        Returns:
            Their positions, ascending.

        Raises:
            ValueError: there is no such part.
        """
        if name == "both":
            return np.intersect1d(self.first, self.second)
        if name == "only A":
            return np.setdiff1d(self.first, self.second)
        if name == "only B":
            return np.setdiff1d(self.second, self.first)
        raise ValueError(f"no part {name!r}: expected one of {', '.join(PARTS)}")

    def describe(self) -> str:
        """How many documents each part has, and how far the two agree.

        Returns:
            One sentence; the overlap is the Jaccard index: both over those that any chooses.
        """
        sizes = [len(self.part(name)) for name in PARTS]
        counts = ", ".join(f"{size:,} {name}" for size, name in zip(sizes, PARTS, strict=True))
        return f"{counts}; overlap {sizes[0] / max(sum(sizes), 1):.0%}"
