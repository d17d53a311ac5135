"""Refit a published law on one's own runs; what comes out is a law like any other.

Products of powers are lines in logs, whose intervals are Student's. Sums of powers go to `fit_law`,
which resamples the runs. Any other formula is fitted by robust least squares of log residuals, from
the published constants and from perturbed ones; its intervals are Student's of the fit made linear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize

from workbench.core.intervals import TWO_SIDED_95, expanded_percentiles, student_draws
from workbench.scaling.fitting import DELTA, fit_law
from workbench.scaling.law_comparison import as_law
from workbench.scaling.laws.forms import Powers, PowerTerms
from workbench.scaling.laws.law import Law
from workbench.scaling.power_sum import FLAT, measured
from workbench.scaling.prediction import parameter_lines, predictions, resampled_scatter

DRAWS = 4000  # of Student's distribution: they cost no fits
STARTS = 8  # beside the published constants
REFITTED = ", refitted"  # after the key of a law that was fitted to runs
PERTURBED = 0.5  # standard deviation of a perturbed constant, in log units


@dataclass(frozen=True, eq=False)
class LawFit:
    """A law fitted to runs (`refit`).

    Attributes:
        law: with the fitted constants; its ranges are those of the runs.
        output: the column of `runs` that holds what the law gives.
        runs: the table of runs, one row a run.
        drawn: draws of the constants (of a sum of powers: resampled fits), one row a draw.
        scatter: how far further runs lie from the law, (draws, runs a draw), in log units.
        percentiles: the lower and upper one of `drawn` that make a 95 % interval.
        unidentified: names of the constants that these runs do not determine.
    """

    law: Law
    output: str
    runs: pd.DataFrame
    drawn: pd.DataFrame
    scatter: np.ndarray
    percentiles: tuple[float, float]
    unidentified: list[str]

    @property
    def parameters(self) -> pd.DataFrame:
        """One row a constant: parameter, value, low, high (95 %), identified.

        A constant is identified where its interval is narrower than its value and no run would be
        predicted otherwise if it moved together with others; a coefficient where its exponent is.
        """
        names = list(self.law.constants)
        low, high = _interval(self.drawn, self.percentiles)
        return pd.DataFrame(
            {
                "parameter": names, "value": list(self.law.constants.values()),
                "low": low, "high": high,
                "identified": [name not in self.unidentified for name in names],
            }
        )  # fmt: skip

    @property
    def residual(self) -> float:
        """Root mean square of log predicted / observed over the runs."""
        inputs = _inputs(self.law, self.runs)
        best = _log_output(self.law, self.law.constants, inputs, (len(self.runs),))
        return float(np.sqrt(((best - np.log(self.runs[self.output].to_numpy(float))) ** 2).mean()))

    @property
    def units(self) -> str:
        """In which units the runs were taken to be: those of the published law, kept by the fit."""
        counted = "; ".join(
            f"{quantity.symbol} = {quantity.name}: {quantity.unit}" for quantity in self.law.inputs
        )
        return (
            f"{self.output} is taken to be in {self.law.output.unit}; {counted}. Nothing was "
            "converted: levels compare with the published law only if the runs were measured so."
        )

    def predict(self, runs: pd.DataFrame) -> pd.DataFrame:
        """What the law gives for each row of `runs`, with 95 % intervals of the law and of a run.

        Args:
            runs: the inputs of the law as columns, one row a run.

        Returns:
            One row a run, in the unit of the output: predicted; low and high, where the law lies;
            run_low and run_high, where a further run lies. NaN without resampled fits.

        Raises:
            ValueError: an input is missing, or not a positive number.
        """
        inputs = _inputs(self.law, runs)
        constants = {name: self.drawn[name].to_numpy()[:, None] for name in self.drawn}
        drawn = _log_output(self.law, constants, inputs, (len(self.drawn), len(runs)))
        best = _log_output(self.law, self.law.constants, inputs, (len(runs),))
        return predictions(best, drawn, self.scatter, self.percentiles)

    def describe(self) -> str:
        """The fit in words: law, constants, how sure, what is not identified."""
        lines = [f"{self.law.text}, {len(self.runs)} runs; log residual {self.residual:.2%}"]
        return "\n".join([*lines, *parameter_lines(self.parameters)])


def refit(
    law: Any,
    runs: pd.DataFrame,
    *,
    output: str | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> LawFit:
    """Fit the constants of a law to runs of one's own.

    Args:
        law: a key of `LAWS`, a `Law`, or an earlier fit.
        runs: one row a run, with the inputs of the law and its output as columns, positive numbers.
        output: the column that holds what the law gives; None: the name of its output. It is taken
            to be in the law's unit.
        resamples: bootstrap draws of runs, each refitted, for a sum of powers; 0 gives no
            intervals. Other laws need none: their intervals are Student's.
        seed: of the draws and of the perturbed starts.

    Returns:
        The fit. Its law has the status "refitted" and the ranges of the runs; constants that are
        above 0 in the published law stay so.

    Raises:
        ValueError: a column is missing, a value is not positive, there are not more runs than
            constants, or the law cannot be fitted to such outputs.
    """
    law = as_law(law)
    column = output or law.output.name
    names = [quantity.name for quantity in law.inputs]
    values = measured(runs, [*names, column])
    if len(values) <= len(law.constants):
        raise ValueError(
            f"{law.key} has {len(law.constants)} constants and needs more runs than that, got "
            f"{len(values)}"
        )
    inputs, target = dict(zip(names, values[:, :-1].T, strict=True)), np.log(values[:, -1])
    if isinstance(law.formula, PowerTerms):
        best, drawn, flat = _fit_terms(law.formula, runs, column, resamples, seed)
        percentiles = expanded_percentiles(len(target), len(law.constants))
        residuals = target - _log_output(law, best, inputs, target.shape)
        scatter = resampled_scatter(residuals, resamples)
    else:
        best, drawn, spread, flat = (
            _fit_powers(law.formula, inputs, target, seed)
            if isinstance(law.formula, Powers)
            else _fit_other(law, inputs, target, seed)
        )
        percentiles = TWO_SIDED_95
        scatter = spread[:, None] * np.random.default_rng([seed, 1]).normal(size=(DRAWS, 1))
    ranges = [
        replace(quantity, low=float(inputs[quantity.name].min()),
                high=float(inputs[quantity.name].max()))
        for quantity in law.inputs
    ]  # fmt: skip
    fitted = replace(
        law, key=law.key.removesuffix(REFITTED) + REFITTED, inputs=ranges,
        constants={name: float(best[name]) for name in law.constants}, status="refitted",
        source=f"refitted on {len(target)} runs", conditions="", checks=(), uncaught={}, notes="",
    )  # fmt: skip
    frame = pd.DataFrame(drawn, columns=list(law.constants))
    low, high = _interval(frame, percentiles)
    value = np.abs([fitted.constants[name] for name in law.constants])
    narrow = high - low < value if len(frame) else np.full(len(value), True)
    wide = {name for name, sure in zip(frame, narrow, strict=True) if not sure}
    unsure = [name for name in law.constants if name in flat | wide]
    if coefficients := _coefficients(law):
        unsure = [
            name
            for name in law.constants
            if any(of in unsure for of in coefficients.get(name, [name]))
        ]
    return LawFit(
        law=fitted, output=column, runs=runs.reset_index(drop=True), drawn=frame, scatter=scatter,
        percentiles=percentiles, unidentified=unsure,
    )  # fmt: skip


def _coefficients(law: Law) -> dict[str, list[str]]:
    """Coefficient to the exponents that it is known with: the two move together."""
    if isinstance(law.formula, Powers):
        return {law.formula.scale: list(law.formula.exponents.values())}
    if isinstance(law.formula, PowerTerms):
        return {first: [power] for first, power in law.formula.terms.values()}
    return {}


def _fit_powers(
    form: Powers, inputs: dict[str, np.ndarray], target: np.ndarray, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray], np.ndarray, set[str]]:
    """Least squares in logs; draws of Student's distribution of the constants and of runs."""
    columns = np.stack([np.ones(len(target)), *(np.log(inputs[name]) for name in form.exponents)])
    centre = columns.mean(axis=1, keepdims=True) * (np.arange(len(columns)) > 0)[:, None]
    design = (columns - centre).T
    names = [form.scale, *form.exponents.values()]
    flat = _flat(design, names)
    values, drawn, spread = student_draws(design, target, DRAWS, seed)

    def raw(theta: np.ndarray) -> dict[str, Any]:
        theta = theta.T
        scale = np.exp(theta[0] - (centre[1:].T @ theta[1:]).reshape(theta[0].shape))
        return dict(zip(names, [scale, *theta[1:]], strict=True))

    return raw(values), raw(drawn), spread, flat


def _fit_terms(
    form: PowerTerms, runs: pd.DataFrame, loss: str, resamples: int, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray], set[str]]:
    """A sum of powers by `fit_law`, in the names and units of the law."""
    fit = fit_law(
        runs, list(form.terms), loss, constant=form.constant is not None, resamples=resamples,
        seed=seed,
    )  # fmt: skip

    def named(theta: np.ndarray) -> dict[str, float]:
        plain = fit.law.named(theta, fit.centre)
        constants = {form.constant: plain["E"]} if form.constant else {}
        for name, (first, power) in form.terms.items():
            exponent, unit = plain[f"a ({name})"], form.units.get(name, 1.0)
            with np.errstate(over="ignore"):
                coefficient = np.float64(plain[f"A ({name})"])
                scale = coefficient ** (1 / exponent) / unit
                constants[first] = scale if form.scales else coefficient / unit**exponent
            constants[power] = exponent
        return constants

    own = {"E": form.constant}
    for name, (first, power) in form.terms.items():
        own |= {f"A ({name})": first, f"a ({name})": power}
    rows = [named(theta) for theta in fit.drawn]
    best = named(fit.theta)
    drawn = {name: np.array([row[name] for row in rows]) for name in best}
    return best, drawn, {str(own[name]) for name in fit.unidentified}


def _fit_other(
    law: Law, inputs: dict[str, np.ndarray], target: np.ndarray, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray], np.ndarray, set[str]]:
    """Robust least squares of log residuals, from the published constants and perturbed ones.

    Constants above 0 are searched by their logarithm, so that a scale of 1e13 is found and stays a
    scale; others by their ratio to the published value.
    """
    names = list(law.constants)
    published = np.array(list(law.constants.values()), dtype=float)
    positive = published > 0

    def constants(theta: np.ndarray) -> dict[str, Any]:
        values = np.where(positive, np.exp(np.clip(theta, -50, 50)), 1 + theta) * published
        return dict(zip(names, values.T, strict=True))

    def away(theta: np.ndarray) -> np.ndarray:
        return _log_output(law, constants(theta), inputs, target.shape) - target

    rng = np.random.default_rng(seed)
    starts = np.vstack([np.zeros(len(names)), rng.normal(0, PERTURBED, (STARTS, len(names)))])
    fits = [
        optimize.least_squares(away, start, loss="soft_l1", f_scale=DELTA, x_scale="jac")
        for start in starts
    ]
    best = min(fits, key=lambda fit: fit.cost)
    step, steps, spread = student_draws(best.jac, -best.fun, DRAWS, seed)
    drawn = constants(best.x + steps - step)
    return constants(best.x), drawn, spread, _flat(best.jac, names)


def _flat(slopes: np.ndarray, names: list[str]) -> set[str]:
    """Which constants may move, alone or together, without a change at any run.

    Args:
        slopes: derivatives of the predictions by the constants, (runs, constants).
        names: of the constants.
    """
    lengths = np.linalg.norm(slopes, axis=0)
    still = lengths <= FLAT * max(lengths.max(), 1.0)
    _, sizes, directions = np.linalg.svd(slopes / np.where(still, 1, lengths))
    sizes = np.pad(sizes, (0, len(names) - len(sizes)))
    moving = (np.abs(directions[sizes <= FLAT * sizes.max()]) > np.sqrt(FLAT)).any(axis=0)
    return {name for name, free in zip(names, still | moving, strict=True) if free}


def _interval(drawn: pd.DataFrame, percentiles: tuple[float, float]) -> np.ndarray:
    """Low and high of each constant, (2, constants); NaN without resampled fits."""
    if not len(drawn):
        return np.full((2, drawn.shape[1]), np.nan)
    return np.percentile(drawn.to_numpy(), percentiles, axis=0)


def _inputs(law: Law, runs: pd.DataFrame) -> dict[str, np.ndarray]:
    names = [quantity.name for quantity in law.inputs]
    return dict(zip(names, measured(runs, names).T, strict=True))


def _log_output(
    law: Law, constants: Any, inputs: dict[str, np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """Log of what the law gives; where that is no positive number, of the least a float holds."""
    with np.errstate(all="ignore"):
        value = law.formula(SimpleNamespace(**constants), SimpleNamespace(**inputs))
    value = np.broadcast_to(np.nan_to_num(value, nan=0.0), shape)
    return np.log(np.clip(value, np.finfo(float).tiny, np.finfo(float).max))
