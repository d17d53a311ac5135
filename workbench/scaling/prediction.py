"""What a fitted law says: its parameters in words, the law's interval, and that of a run."""

from __future__ import annotations

import numpy as np
import pandas as pd

LARGEST = 700.0  # log of what a float holds, up and down
SCATTERED = 20  # runs that are drawn about each resampled fit


def resampled_scatter(residuals: np.ndarray, fits: int) -> np.ndarray:
    """How far further runs lie from the law, drawn from the residuals of the fitted ones.

    Args:
        residuals: log observed / predicted, one a fitted run.
        fits: number of resampled fits.

    Returns:
        Shape (fits, SCATTERED), in log units; the same for the same residuals.
    """
    return np.random.default_rng(0).choice(residuals, (fits, SCATTERED))


def predictions(
    best: np.ndarray, drawn: np.ndarray, scatter: np.ndarray, percentiles: tuple[float, float]
) -> pd.DataFrame:
    """Predicted values with 95 % intervals of the law and of a run.

    Args:
        best: log of the value that the fit predicts, shape (rows,).
        drawn: the same of every resampled fit, shape (fits, rows); no fits: no intervals.
        scatter: how far runs lie from the law, shape (fits, runs a fit), in log units.
        percentiles: the lower and upper one that make a 95 % interval of such draws.

    Returns:
        One row a row: predicted; low and high, where the law lies; run_low and run_high, where a
        run lies. NaN without resampled fits.
    """
    low, high, run_low, run_high = np.full((4, len(best)), np.nan)
    if len(drawn):
        low, high = np.exp(np.percentile(drawn, percentiles, axis=0))
        runs = drawn[:, None, :] + scatter[:, :, None]
        ends = np.percentile(runs, percentiles, axis=(0, 1))
        run_low, run_high = np.exp(np.clip(ends, -LARGEST, LARGEST))
    columns = {"low": low, "high": high, "run_low": run_low, "run_high": run_high}
    return pd.DataFrame({"predicted": np.exp(best), **columns})


def parameter_lines(parameters: pd.DataFrame) -> list[str]:
    """The parameters of a fit in words, a line each.

    Args:
        parameters: one row a parameter: parameter, value, low, high (NaN: no interval), identified.

    Returns:
        The lines, indented.
    """
    lines = []
    for row in parameters.to_dict("records"):
        interval = "" if np.isnan(row["low"]) else f" [{row['low']:.4g}, {row['high']:.4g}]"
        verdict = "" if row["identified"] else "  unidentifiable from these runs"
        lines.append(f"  {row['parameter']} = {row['value']:.4g}{interval}{verdict}")
    return lines
