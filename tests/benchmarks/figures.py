"""How measured numbers are written in a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Median and range: "1.23 (1.20 to 1.31)"; one value stands alone."""
    if not values:
        return "-"
    middle, low, high = (significant(value, digits) for value in _summary(values))
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Ratios of what was measured in the same round."""
    return [numerator / other for numerator, other in zip(above, below, strict=False)]


def significant(value: float, digits: int = 3) -> str:
    """With so many significant digits, no exponent: 0.0123, 1.23, 12.3, 1,235."""
    if value == 0:
        return "0"
    size = len(f"{abs(value):.0f}") if abs(value) >= 1 else 0
    if not size:  # below 1: count the zeros behind the point
        size = 1 - len(f"{1 / abs(value):.0f}")
    return f"{value:,.{max(digits - size, 0)}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [list(head), ["---", *("---:" for _ in head[1:])], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _summary(values: Sequence[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)
