"""A sum of powers and what a fit of it says: parameters with intervals, predictions, a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.core.intervals import expanded_percentiles
from workbench.scaling.prediction import LARGEST, parameter_lines, predictions, resampled_scatter

EXTREME = 1e50  # numbers up to here, and from its inverse on, keep every power in a float
FLAT = 1e-8  # a direction in which the runs change less than this, relatively, changes nothing


def numbers(runs: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Columns of a table of runs as numbers.

    Args:
        runs: one row a run.
        columns: which columns to take.

    Returns:
        Shape (runs, columns), float64; what is missing is NaN.

    Raises:
        ValueError: a column is not there, there twice, or holds what is no number that a float
            holds; the column and the first such row are named.
    """
    lacking = [name for name in columns if name not in runs]
    if lacking:
        raise ValueError(
            f"the table of runs lacks the columns {lacking}: it has {', '.join(map(str, runs))}"
        )
    values = np.empty((len(runs), len(columns)))
    for at, name in enumerate(columns):
        column = runs[name]
        if isinstance(column, pd.DataFrame):
            raise ValueError(f"the table of runs has {column.shape[1]} columns {name!r}: keep one")
        for row, value in enumerate(column):
            try:
                values[row, at] = np.nan if value is pd.NA else value
            except (TypeError, ValueError, OverflowError):
                raise ValueError(
                    f"column {name!r} of row {row} is {value!r:.60}, and not a number that a float "
                    "holds: write 125M as 125e6"
                ) from None
    return values


def measured(runs: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Columns of a table of runs as positive numbers.

    Args:
        runs: one row a run.
        columns: which columns to take.

    Returns:
        Shape (runs, columns), float64.

    Raises:
        ValueError: as `numbers`, or a value is missing, not above 0, or outside 1e-50 to 1e50.
    """
    values = numbers(runs, columns)
    bad = ~((values >= 1 / EXTREME) & (values <= EXTREME))  # a NaN is bad too
    if bad.any():
        row, at = map(int, np.argwhere(bad)[0])
        raise ValueError(
            f"{int(bad.any(axis=1).sum())} of {len(runs)} runs (first: row {row}, whose "
            f"{columns[at]} is {values[row, at]}) hold a value that is missing, not above 0, or "
            f"outside {1 / EXTREME:.0e} to {EXTREME:.0e} in {', '.join(columns)}: drop or mend them"
        )
    return values


@dataclass(frozen=True)
class PowerSum:
    """L = E + sum A_i / x_i^a_i; without `constant`, E is 0.

    Inside, a law is a vector theta: log E if there is one, the logs of A_i where x_i is at its
    geometric mean (so that they do not drag the exponents along), the exponents a_i.

    Attributes:
        inputs: the columns that hold the x_i.
        constant: whether there is an E.
    """

    inputs: tuple[str, ...]
    constant: bool

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return self.constant + 2 * len(self.inputs)

    @property
    def names(self) -> list[str]:
        """Of the parameters: E, then A and a of each input."""
        return ["E"] * self.constant + [f"{k} ({x})" for k in "Aa" for x in self.inputs]

    def __str__(self) -> str:
        terms = [f"A/{name}^a" for name in self.inputs]
        return "L = " + " + ".join(["E"] * self.constant + terms)

    def parts(self, theta: np.ndarray, logs: np.ndarray) -> np.ndarray:
        """The terms of L.

        Args:
            theta: the parameters, shape (parameters,).
            logs: log x_i less the centre, shape (runs, inputs).

        Returns:
            Shape (runs, terms): E if there is one, then one an input; in the unit of the loss.
        """
        terms = len(self.inputs)
        powers = theta[self.constant : self.constant + terms] - logs * theta[-terms:]
        if self.constant:
            powers = np.concatenate([np.full((len(logs), 1), theta[0]), powers], axis=1)
        return np.exp(np.clip(powers, -LARGEST, LARGEST))

    def log_loss(self, theta: np.ndarray, logs: np.ndarray) -> np.ndarray:
        """The logarithm of L of each run.

        Args:
            theta: the parameters, shape (parameters,).
            logs: log x_i less the centre, shape (runs, inputs).

        Returns:
            Shape (runs,).
        """
        return np.log(self.parts(theta, logs).sum(axis=1))

    def linearised(self, theta: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log L of each run, and its derivatives by the parameters.

        Args:
            theta: the parameters, shape (parameters,).
            logs: log x_i less the centre, shape (runs, inputs).

        Returns:
            Shapes (runs,) and (runs, parameters).
        """
        parts = self.parts(theta, logs)
        total = parts.sum(axis=1)
        shares = parts / total[:, None]
        slopes = np.concatenate([shares, -logs * shares[:, self.constant :]], axis=1)
        return np.log(total), slopes

    def named(self, theta: np.ndarray, centre: np.ndarray) -> dict[str, float]:
        """The parameters as the law is written, for raw x_i.

        Args:
            theta: the parameters, shape (parameters,).
            centre: mean of log x_i over the runs, shape (inputs,).

        Returns:
            Name (`names`) to value.
        """
        terms = len(self.inputs)
        values = np.array(theta, dtype=float)
        values[self.constant : self.constant + terms] += values[-terms:] * centre
        values[:-terms] = np.exp(np.clip(values[:-terms], -LARGEST, LARGEST))
        return dict(zip(self.names, values.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class ScalingFit:
    """A law fitted to runs (`fit_law`).

    Attributes:
        law: the form that was fitted.
        loss: the column of `runs` that holds the loss.
        delta: of the Huber loss, in log units.
        runs: the table of runs, one row a run.
        centre: mean of log x_i over the runs, shape (inputs,).
        theta: the fitted parameters, shape (parameters,); see `PowerSum`.
        drawn: theta of every resampled fit, shape (resamples, parameters).
        starts: one row a start: its objective (sum of Huber losses in units of delta squared),
            whether it converged, the parameters.
        agreeing: how many starts ended in the best objective.
        at_bound: whether each parameter ran into the end of its range, shape (parameters,).
    """

    law: PowerSum
    loss: str
    delta: float
    runs: pd.DataFrame
    centre: np.ndarray
    theta: np.ndarray
    drawn: np.ndarray
    starts: pd.DataFrame
    agreeing: int
    at_bound: np.ndarray

    @property
    def _percentiles(self) -> tuple[float, float]:
        return expanded_percentiles(len(self.runs), self.law.size)

    @property
    def parameters(self) -> pd.DataFrame:
        """One row a parameter: parameter, value, low, high (95 % bootstrap over runs), identified.

        E and an exponent are identified where the interval is narrower than the value, the best
        starts agree on the value within a tenth, it lies inside its range, and no run would be
        predicted otherwise if it moved together with others; A where its exponent is, since the two
        move together. Without resampled fits low and high are NaN, and the interval is not judged.
        """
        value = self.law.named(self.theta, self.centre)
        frame = pd.DataFrame({"parameter": list(value), "value": list(value.values())})
        drawn = np.array(
            [list(self.law.named(theta, self.centre).values()) for theta in self.drawn]
        )
        low, high = (
            np.percentile(drawn, self._percentiles, axis=0)
            if len(drawn)
            else np.full((2, len(frame)), np.nan)
        )
        frame["low"], frame["high"] = low, high
        known = ~self.at_bound & ~(high - low >= frame["value"].to_numpy()) & ~self._free
        if self.agreeing > 1:
            same = self.starts.head(self.agreeing)[list(value)]
            spread = (same.max() - same.min()).to_numpy()
            known &= spread <= 0.1 * frame["value"].to_numpy()
        terms = len(self.law.inputs)
        known[self.law.constant : self.law.constant + terms] = known[-terms:]
        return frame.assign(identified=known)

    @property
    def _free(self) -> np.ndarray:
        """Which parameters may move, alone or together, without a change at any run.

        Resampled fits begin at the best one and stay there in such a direction, so their interval
        is narrow where it ought to be endless.
        """
        logs = np.log(measured(self.runs, self.law.inputs)) - self.centre
        _, slopes = self.law.linearised(self.theta, logs)
        lengths = np.linalg.norm(slopes, axis=0)
        still = lengths <= FLAT
        _, sizes, directions = np.linalg.svd(slopes / np.where(still, 1, lengths))
        sizes = np.pad(sizes, (0, self.law.size - len(sizes)))
        flat = directions[sizes <= FLAT * sizes.max()]
        return still | (np.abs(flat) > np.sqrt(FLAT)).any(axis=0)

    @property
    def unidentified(self) -> list[str]:
        """Names of the parameters that these runs do not determine."""
        table = self.parameters
        return list(table.loc[~table["identified"], "parameter"])

    @property
    def residual(self) -> float:
        """Root mean square of log predicted / observed loss over the runs."""
        return float(np.sqrt((self._residuals**2).mean()))

    @property
    def _residuals(self) -> np.ndarray:
        """Log observed / predicted loss of each run."""
        logs = np.log(measured(self.runs, self.law.inputs)) - self.centre
        return np.log(self.runs[self.loss].to_numpy(float)) - self.law.log_loss(self.theta, logs)

    def predict(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Predicted loss of each row of `runs`, with 95 % intervals of the law and of a run.

        Args:
            runs: the inputs of the law as columns, one row a run.

        Returns:
            One row a run, in the unit of the loss: predicted; low and high, where the law lies
            (resampled fits); run_low and run_high, where a further run lies, which scatters about
            the law as the fitted runs do. NaN without resampled fits.

        Raises:
            ValueError: an input is missing, or not a positive number.
        """
        logs = np.log(measured(runs, self.law.inputs)) - self.centre
        drawn = np.array([self.law.log_loss(theta, logs) for theta in self.drawn])
        scatter = resampled_scatter(self._residuals, len(self.drawn))
        return predictions(self.law.log_loss(self.theta, logs), drawn, scatter, self._percentiles)

    def describe(self) -> str:
        """The fit in words: law, parameters, how sure, what is not identified."""
        lines = [
            f"{self.law}, {len(self.runs)} runs; log residual {self.residual:.2%}; "
            f"{self.agreeing} of {len(self.starts)} starts reached the best objective"
        ]
        return "\n".join([*lines, *parameter_lines(self.parameters)])
