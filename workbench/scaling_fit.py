"""A scaling law and what a fit of it says: parameters with intervals, predictions, a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

LARGEST = 700.0  # log of what a float holds; a search may step beyond
TAIL = 0.025  # on either side of an interval


@dataclass(frozen=True)
class Law:
    """L = E + sum A_i / x_i^a_i; without `constant`, E is 0.

    Inside, a law is a vector theta: log E if there is one, the logs of A_i where x_i is at its
    geometric mean (so that they do not drag the exponents along), the exponents a_i.
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
        """The terms of L, (runs, terms): E if there is one, then one an input.

        logs: log x_i less the centre, (runs, inputs).
        """
        terms = len(self.inputs)
        powers = theta[self.constant : self.constant + terms] - logs * theta[-terms:]
        if self.constant:
            powers = np.concatenate([np.full((len(logs), 1), theta[0]), powers], axis=1)
        return np.exp(np.minimum(powers, LARGEST))

    def log_loss(self, theta: np.ndarray, logs: np.ndarray) -> np.ndarray:
        """log L, (runs,)."""
        return np.log(self.parts(theta, logs).sum(axis=1))

    def jacobian(self, theta: np.ndarray, logs: np.ndarray) -> np.ndarray:
        """d log L / d theta, (runs, parameters)."""
        parts = self.parts(theta, logs)
        shares = parts / parts.sum(axis=1, keepdims=True)
        return np.concatenate([shares, -logs * shares[:, self.constant :]], axis=1)

    def named(self, theta: np.ndarray, centre: np.ndarray) -> dict[str, float]:
        """The parameters as the law is written, for raw x_i."""
        terms = len(self.inputs)
        values = np.array(theta, dtype=float)
        values[self.constant : self.constant + terms] += values[-terms:] * centre
        values[:-terms] = np.exp(values[:-terms])
        return dict(zip(self.names, values.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class ScalingFit:
    """A law fitted to runs (`fit_law`).

    theta, centre: see `Law`; drawn: theta of every resampled fit, (resamples, parameters); starts:
    one row a start: its objective (sum of Huber losses in units of delta), whether it converged,
    the parameters; agreeing: how many starts ended in the best objective; at_bound: parameters
    that ran into the end of their range.
    """

    law: Law
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
        """Of the resampled fits, that make a 95 % interval.

        Plain ones (2.5, 97.5) are too narrow for few runs: a resample scatters less by the factor
        sqrt((n - p) / n), and the scatter is itself an estimate. Hesterberg's expanded percentiles
        (arXiv 1411.5279, section 5.3) make up for both, here with p fitted parameters for his one.
        """
        runs, free = len(self.runs), len(self.runs) - self.law.size
        reach = np.sqrt(runs / free) * stats.t.ppf(1 - TAIL, free)
        tail = 100 * float(stats.norm.cdf(-reach))
        return tail, 100 - tail

    @property
    def parameters(self) -> pd.DataFrame:
        """One row a parameter: parameter, value, low, high (95 % bootstrap over runs), identified.

        E and an exponent are identified where the interval is narrower than the value, the best
        starts agree on the value within a tenth, and it lies inside its range; A where its exponent
        is, since the two move together.
        """
        value = self.law.named(self.theta, self.centre)
        frame = pd.DataFrame({"parameter": list(value), "value": list(value.values())})
        drawn = np.array([list(self.law.named(one, self.centre).values()) for one in self.drawn])
        low, high = (
            np.percentile(drawn, self._percentiles, axis=0)
            if len(drawn)
            else np.full((2, len(frame)), np.nan)
        )
        frame["low"], frame["high"] = low, high
        known = ~self.at_bound & ~(high - low >= frame["value"].to_numpy())
        if self.agreeing > 1:
            same = self.starts.head(self.agreeing)[list(value)]
            spread = (same.max() - same.min()).to_numpy()
            known &= spread <= 0.1 * frame["value"].to_numpy()
        terms = len(self.law.inputs)
        known[self.law.constant : self.law.constant + terms] = known[-terms:]
        return frame.assign(identified=known)

    @property
    def unidentified(self) -> list[str]:
        """Names of the parameters that these runs do not determine."""
        table = self.parameters
        return list(table.loc[~table["identified"], "parameter"])

    @property
    def residual(self) -> float:
        """Root mean square of log predicted / observed loss over the runs."""
        away = np.log(self.predict(self.runs)["predicted"]) - np.log(self.runs[self.loss])
        return float(np.sqrt((away**2).mean()))

    def predict(self, runs: pd.DataFrame) -> pd.DataFrame:
        """predicted loss of each row of `runs`, with low and high (95 % of the resampled fits).

        The interval tells how uncertain the law is, not how far a single run scatters about it.
        """
        lacking = [name for name in self.law.inputs if name not in runs]
        if lacking:
            raise ValueError(
                f"a prediction needs the columns {lacking}, got {', '.join(map(str, runs))}"
            )
        logs = np.log(runs[list(self.law.inputs)].to_numpy(dtype=float)) - self.centre
        drawn = np.array([self.law.log_loss(one, logs) for one in self.drawn])
        low, high = (
            np.exp(np.percentile(drawn, self._percentiles, axis=0))
            if len(drawn)
            else np.full((2, len(logs)), np.nan)
        )
        best = np.exp(self.law.log_loss(self.theta, logs))
        return pd.DataFrame({"predicted": best, "low": low, "high": high})

    def describe(self) -> str:
        """The fit in words: law, parameters, how sure, what cannot be told."""
        lines = [
            f"{self.law}, {len(self.runs)} runs; log residual {self.residual:.2%}; "
            f"{self.agreeing} of {len(self.starts)} starts reached the best objective"
        ]
        for one in self.parameters.itertuples():
            said = f"  {one.parameter} = {one.value:.4g}"
            if len(self.drawn):
                said += f" [{one.low:.4g}, {one.high:.4g}]"
            lines.append(said if one.identified else said + "  unidentifiable from these runs")
        return "\n".join(lines)

    def figure(self, held: pd.DataFrame | None = None) -> Any:
        """`scaling_figures.scaling_curve` of this fit."""
        from workbench.scaling_figures import scaling_curve

        return scaling_curve(self, held)
