"""Scaling laws: loss against parameters, tokens, compute, or any other measure of size.

One form covers the three that are used: L(x) = E + sum over the inputs of A_i / x_i^a_i, with or
without the constant E. One input without it is a power law; one with it, a power law plus constant;
params and tokens with it, Hoffmann et al. (arXiv 2203.15556, equation 2).

Fits of such laws went wrong in print by stopping early and by intervals that were far too narrow
(Besiroglu et al., arXiv 2404.10102). Here the Huber losses of log residuals are summed, not
averaged, in units of `delta`, over inputs that are centred first; there are many starts; intervals
come from resampled runs; and a parameter that the runs do not determine is called so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from scipy import optimize

from workbench.core.progress import progress_bar
from workbench.scaling.laws.book import LAWS
from workbench.scaling.power_sum import PowerSum, ScalingFit, measured, numbers

DELTA = 1e-2  # of the Huber loss, in log units: above the scatter of clean runs, below a spoilt one
EXPONENTS = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6)  # from which the starts are made
STEEPEST = 6.0  # exponent that a fit may reach
FLATTEST = 1e-4
SMALLEST = 10.0  # how far E may lie below the lowest loss, in log units
SAME = 1e-3  # starts whose objective is this close to the best, relatively, end in the same place


def fit_law(
    runs: pd.DataFrame,
    inputs: Sequence[str] = ("params", "tokens"),
    loss: str = "loss",
    *,
    constant: bool = True,
    delta: float = DELTA,
    starts: int = 12,
    resamples: int = 200,
    seed: int = 0,
) -> ScalingFit:
    """Fit L = E + sum A_i / x_i^a_i to a table of finished training runs.

    The summed Huber loss of log residuals is minimised from many starts (Hoffmann et al., arXiv
    2203.15556, equation 3; summed, not averaged, as in Besiroglu et al., arXiv 2404.10102).

    Args:
        runs: one row a run.
        inputs: the columns that hold the x_i, positive numbers.
        loss: the column that holds L, in nats, positive.
        constant: whether the law has the constant E.
        delta: where the Huber loss of log residuals turns from quadratic to linear, in log units.
        starts: how many of the best points of a grid of exponents are refined.
        resamples: bootstrap draws of runs, each refitted; 0 gives no intervals.
        seed: of the draws.

    Returns:
        The fit, with the refined starts and the resampled fits.

    Raises:
        ValueError: a column is missing, a value is not positive, there are not more runs than
            parameters, or delta, starts or resamples is out of range.
    """
    law = PowerSum(tuple([inputs] if isinstance(inputs, str) else inputs), constant)
    sizes, losses = _checked(runs, law, loss)
    if delta <= 0 or starts < 1 or resamples < 0:
        raise ValueError(
            f"delta must be above 0, starts at least 1, resamples at least 0; got {delta}, "
            f"{starts}, {resamples}"
        )
    centre = np.log(sizes).mean(axis=0)
    logs, target = np.log(sizes) - centre, np.log(losses)
    refined = [
        _refined(law, logs, target, start, delta) for start in _starts(law, logs, losses, starts)
    ]
    refined.sort(key=lambda result: result.fun)
    best = refined[0]
    rng = np.random.default_rng(seed)
    drawn = []
    with progress_bar("resampling the runs", "fit", resamples) as done:
        for _ in range(resamples):
            pick = rng.integers(0, len(target), len(target))
            drawn.append(_refined(law, logs[pick], target[pick], best.x, delta).x)
            done(1)
    table = pd.DataFrame([law.named(result.x, centre) for result in refined])
    table.insert(0, "objective", [result.fun for result in refined])
    table.insert(1, "converged", [result.success for result in refined])
    reached = int((table["objective"] <= best.fun * (1 + SAME) + 1e-12).sum())
    return ScalingFit(
        law=law, loss=loss, delta=delta, runs=runs.reset_index(drop=True), centre=centre,
        theta=best.x, drawn=np.array(drawn).reshape(resamples, len(best.x)), starts=table,
        agreeing=reached, at_bound=_at_bound(law, best.x, target),
    )  # fmt: skip


def hold_out_largest(
    runs: pd.DataFrame,
    inputs: Sequence[str] = ("params", "tokens"),
    loss: str = "loss",
    *,
    by: str | None = None,
    **options: float,
) -> tuple[ScalingFit, pd.DataFrame]:
    """Fit all runs but those of largest compute, and predict these.

    Args:
        runs: one row a run.
        inputs: as in `fit_law`.
        loss: as in `fit_law`.
        by: the column that says which runs are largest; None: params x tokens where both are
            inputs, else the only input. Runs that share the largest value are held out together.
        **options: further options of `fit_law`.

    Returns:
        The fit, and a frame with one row a held-out run: the inputs, loss, what
        `ScalingFit.predict` gives (predicted, low, high, run_low, run_high), and error = predicted
        / loss - 1.

    Raises:
        ValueError: as `fit_law`, or nothing says which runs are the largest.
    """
    names = [inputs] if isinstance(inputs, str) else list(inputs)
    sizes, _ = _checked(runs, PowerSum(tuple(names), bool(options.get("constant", True))), loss)
    if by is None and len(names) > 1 and set(names) != {"params", "tokens"}:
        raise ValueError(f"say with by= which column tells the largest of {', '.join(names)}")
    size = np.log(sizes).sum(axis=1).round(9) if by is None else numbers(runs, [by])[:, 0]
    if np.isnan(size).any():
        raise ValueError(
            f"column {by!r} is missing in row {int(np.isnan(size).argmax())}: it cannot tell which "
            "runs are the largest"
        )
    largest = size == size.max()
    fit = fit_law(runs[~largest], names, loss, **options)  # type: ignore[arg-type]
    held = runs.loc[largest, [*names, loss]].reset_index(drop=True)
    held = pd.concat([held, fit.predict(held)], axis=1)
    return fit, held.assign(error=held["predicted"] / held[loss] - 1)


def synthetic_runs(
    noise: float = 0.003,
    seed: int = 0,
    *,
    models: int = 6,
    multiples: Sequence[float] = (0.5, 1, 2, 5, 10, 20, 40, 80),
) -> pd.DataFrame:
    """Runs drawn from a law with known constants, to see what a fit makes of them.

    The law is `LAWS["hoffmann"]` (arXiv 2203.15556): E 1.69, A 406.4 and 410.7, exponents .34 and
    .28. They are a truth to recover, not advice (see its notes).

    Args:
        noise: standard deviation of log loss.
        seed: of the noise.
        models: number of models, of 50 million to 3 billion parameters.
        multiples: each model is trained on 20 tokens a parameter times each of these.

    Returns:
        One row a run: params, tokens, loss (nats).
    """
    params = np.repeat(np.geomspace(5e7, 3e9, models), len(multiples))
    tokens = params * np.tile(np.array(multiples) * 20, models)
    loss = LAWS["hoffmann"].evaluate(params=params, tokens=tokens)
    scatter = noise * np.random.default_rng(seed).normal(size=len(loss))
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss * np.exp(scatter)})


def averaged_and_summed(
    runs: pd.DataFrame,
    inputs: Sequence[str] = ("params", "tokens"),
    loss: str = "loss",
    delta: float = DELTA,
) -> pd.DataFrame:
    """What a quasi-Newton optimiser makes of the same objective, averaged and summed.

    For teaching: BFGS (scipy's defaults, whose gradient tolerance is absolute) from one start.
    Averaged Huber losses of small residuals are about 1e-6, so the gradient looks like zero long
    before the bottom (Besiroglu et al., arXiv 2404.10102).

    Args:
        runs: one row a run.
        inputs: as in `fit_law`.
        loss: as in `fit_law`.
        delta: as in `fit_law`.

    Returns:
        One row an objective: objective ("averaged", "summed"), iterations, reached (the summed
        objective at the end, in units of delta squared), best (what `fit_law` reaches), and the
        parameters.

    Raises:
        ValueError: as `fit_law`.
    """
    law = PowerSum(tuple(inputs), True)
    sizes, losses = _checked(runs, law, loss)
    centre = np.log(sizes).mean(axis=0)
    logs, target = np.log(sizes) - centre, np.log(losses)
    best = fit_law(runs, inputs, loss, delta=delta, resamples=0)
    start = _starts(law, logs, losses, 1)[0]
    start[-len(law.inputs) :] = 1.0  # an ordinary guess, not one made by the grid

    def summed(theta: np.ndarray) -> tuple[float, np.ndarray]:
        return _objective(law, theta, logs, target, delta)

    def averaged(theta: np.ndarray) -> tuple[float, np.ndarray]:  # in log units, over the runs
        value, gradient = summed(theta)
        return value * delta**2 / len(target), gradient * delta**2 / len(target)

    rows = []
    for name, objective in (("averaged", averaged), ("summed", summed)):
        with np.errstate(all="ignore"):
            minimum = optimize.minimize(objective, start, jac=True, method="BFGS")
        rows.append(
            {
                "objective": name, "iterations": int(minimum.nit), "reached": summed(minimum.x)[0],
                "best": float(best.starts["objective"].iloc[0]), **law.named(minimum.x, centre),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _checked(runs: pd.DataFrame, law: PowerSum, loss: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, (runs, inputs), and losses, (runs,); ValueError if they cannot be fitted."""
    if not law.inputs or len(set(law.inputs)) < len(law.inputs):
        raise ValueError(f"inputs must be one or more different columns, got {law.inputs}")
    values = measured(runs, [*law.inputs, loss])
    if len(values) <= law.size:
        raise ValueError(
            f"{law} has {law.size} parameters and needs more runs than that, got {len(values)}"
        )
    return values[:, :-1], values[:, -1]


def _starts(law: PowerSum, logs: np.ndarray, losses: np.ndarray, count: int) -> list[np.ndarray]:
    """The best `count` starts by variable projection.

    For each point of a grid of exponents the best E and A_i, which enter linearly, by non-negative
    least squares of relative errors.
    """
    starts = []
    for exponents in product(EXPONENTS, repeat=len(law.inputs)):
        columns = list(np.exp(-logs * exponents).T)
        if law.constant:
            columns.insert(0, np.ones(len(losses)))
        weights, residual = optimize.nnls(
            np.stack(columns, axis=1) / losses[:, None], np.ones(len(losses))
        )
        lowest = np.exp(-SMALLEST / 2) * losses.min()
        starts.append((residual, np.concatenate([np.log(np.maximum(weights, lowest)), exponents])))
    starts.sort(key=lambda start: start[0])
    return [theta for _, theta in starts[:count]]


def _objective(
    law: PowerSum, theta: np.ndarray, logs: np.ndarray, target: np.ndarray, delta: float
) -> tuple[float, np.ndarray]:
    """Sum of Huber losses of log residuals, in units of delta squared, and its gradient."""
    log_loss, slopes = law.linearised(theta, logs)
    away = (log_loss - target) / delta
    size = np.abs(away)
    value = float(np.where(size <= 1, size**2 / 2, size - 0.5).sum())
    return value, np.clip(away, -1, 1) @ slopes / delta


def _at_bound(law: PowerSum, theta: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Which parameters ran into the end of their range: an E of nothing, a term that is flat."""
    exponents = theta[-len(law.inputs) :]
    far = np.zeros(law.size, dtype=bool)
    far[-len(law.inputs) :] = (exponents <= 2 * FLATTEST) | (exponents >= STEEPEST - 1e-3)
    if law.constant:
        far[0] = theta[0] <= target.min() - SMALLEST / 2
    return far


def _refined(
    law: PowerSum, logs: np.ndarray, target: np.ndarray, start: np.ndarray, delta: float
) -> optimize.OptimizeResult:
    """The nearest minimum of the summed Huber loss of log residuals, in units of delta squared.

    A quasi-Newton method: with `delta` far below the scatter of the runs the objective is nearly
    that of absolute residuals, on which Gauss-Newton steps crawl.
    """
    terms = len(law.inputs)
    bounds = [(None, None)] * (law.size - terms) + [(FLATTEST, STEEPEST)] * terms
    if law.constant:
        bounds[0] = (target.min() - SMALLEST, target.min())

    return optimize.minimize(
        lambda theta: _objective(law, theta, logs, target, delta), start, jac=True,
        method="L-BFGS-B", bounds=bounds,
        options={"maxiter": 2000, "maxfun": 4000, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-6},
    )  # fmt: skip
