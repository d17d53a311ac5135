"""Which points of a plane lie inside a polygon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def inside(polygon: Sequence[tuple[float, float]], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points lie inside a polygon, by the even-odd rule.

    Args:
        polygon: its corners in order; the last is joined to the first.
        x: one coordinate of the points, shape (points,).
        y: the other one.

    Returns:
        One bool a point; False where a coordinate is NaN.

    Raises:
        ValueError: there are fewer than three corners.
    """
    if len(polygon) < 3:
        raise ValueError(f"a polygon has at least three corners, got {len(polygon)}")
    found = np.zeros(len(x), dtype=bool)
    known = np.isfinite(x) & np.isfinite(y)
    x0, y0 = polygon[-1]
    for x1, y1 in polygon:
        if y0 != y1:
            crossed = (y0 > y) != (y1 > y)  # the edge crosses the level of the point
            found ^= crossed & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        x0, y0 = x1, y1
    return found & known
