"""An input or the output of a law: what is counted, in which unit, and where it was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Quantity:
    """An input or the output of a law.

    Attributes:
        name: the keyword by which it is given, and the column of a table of runs.
        symbol: in the formula.
        unit: what is counted, and how; the levels of two laws are compared in one unit only.
        low: the least value that was measured; None: not stated.
        high: the largest value that was measured; None: not stated.
        least: below which it makes no sense.
        choices: the only values that make sense; empty: all from `least` on.
    """

    name: str
    symbol: str
    unit: str
    low: float | None = None
    high: float | None = None
    least: float = 0.0
    choices: tuple[float, ...] = ()

    def checked(self, value: Any) -> Any:
        """A value, or several, as a float or an array of floats.

        Args:
            value: a number or an array, in `unit`.

        Raises:
            ValueError: a value is no finite number, below `least`, or none of `choices`.
        """
        try:
            numbers = np.asarray(value, dtype=float)
        except (TypeError, ValueError, OverflowError):
            numbers = np.array(np.nan)
        known = numbers.size and np.isfinite(numbers).all()
        if self.choices and not (known and np.isin(numbers, self.choices).all()):
            one_of = ", ".join(f"{choice:g}" for choice in self.choices)
            raise ValueError(f"{self.name} must be one of {one_of}, got {value!r:.60}")
        if not known or not (numbers >= self.least).all():
            raise ValueError(
                f"{self.name} must be a finite number of {self.least:g} or more, got "
                f"{value!r:.60}: write 125M as 125e6"
            )
        return numbers[()]  # a float of numpy, whose powers are NaN, not complex

    def outside(self, values: Any) -> list[str]:
        """How far values lie outside the measured range, in words.

        Args:
            values: one or more, in `unit`.

        Returns:
            At most two sentences, one for each end of the range.
        """
        least, most = float(np.min(values)), float(np.max(values))
        said = []
        if self.low is not None and least < self.low:
            times = f"{_times(self.low / least)} " if least > 0 else ""
            said.append(
                f"{self.name} {least:.3g} is {times}below {self.low:.3g}, the least measured"
            )
        if self.high is not None and most > self.high:
            said.append(
                f"{self.name} {most:.3g} is {_times(most / self.high)} above {self.high:.3g}, "
                "the largest measured"
            )
        return said


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times" if ratio < 1e4 else f"{ratio:.1e} times"
