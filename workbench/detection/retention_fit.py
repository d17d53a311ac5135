"""How many heads must be masked until half of the retrieval is gone: a logistic through the curve.

The number to compare is the share at half: small for the detected order, and large, or not reached
at all, for random ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from workbench.core.intervals import percentile_interval, student_draws

DRAWS = 10_000  # of a linearised fit: they cost nothing


@dataclass(frozen=True, eq=False)
class RetentionFit:
    """Retention against the share of masked heads (`fit_retention`).

    Attributes:
        points: what was fitted, one row a head set: order, draw, heads, share (heads / all heads),
            retention.
        halves: one row an order: order, half (the share at which half of the retrieval is gone),
            low and high (95 %), steepness, bracketed, says (why not, in words). Where half is not
            bracketed it is missing, and low and high say on which side of the shares it lies.
    """

    points: pd.DataFrame
    halves: pd.DataFrame


def retention_at(share: np.ndarray, half: float, steepness: float) -> np.ndarray:
    """The logistic in the logarithm of the share, 1 / (1 + (share / half)^steepness).

    Args:
        share: shares of masked heads, any shape.
        half: the share at which it is a half.
        steepness: how fast it falls there, above 0.

    Returns:
        Retention, from 1 without a mask to 0, in the shape of `share`.
    """
    return 1 / (1 + (np.asarray(share) / half) ** steepness)


def fit_retention(table: pd.DataFrame, total: int) -> RetentionFit:
    """The share of masked heads at which half of the retrieval is gone, for each order.

    A logistic of two parameters in the logarithm of the share, by least squares. The interval is
    Student's of the linearised fit in log half: head sets count as independent of each other.

    Args:
        table: what `masking_curve` returned.
        total: how many heads the model has (`model.head_count`).

    Returns:
        The fit of every order.

    Raises:
        ValueError: a column or the retention is missing, an order has fewer than four sizes above
            0, or more heads are masked than there are.
    """
    lacking = [name for name in ("order", "draw", "heads", "retention") if name not in table]
    if lacking:
        raise ValueError(f"the table lacks the columns {lacking}: pass what masking_curve returned")
    points = table.loc[table["heads"] > 0, ["order", "draw", "heads", "retention"]]
    if points["retention"].isna().any():
        raise ValueError(
            "retention is missing: masking_curve needs 0 among the sizes, and probes of which the "
            "model answers some without a mask"
        )
    if not len(points) or points["heads"].max() > total:
        raise ValueError(
            f"the largest set has {points['heads'].max()} heads, in a model of {total}: pass "
            "model.head_count"
        )
    points = points.assign(share=points["heads"] / total).reset_index(drop=True)
    rows = [(order, *_half(str(order), part)) for order, part in points.groupby("order")]
    names = ["order", "half", "low", "high", "steepness", "bracketed", "says"]
    return RetentionFit(points, pd.DataFrame(rows, columns=names))


def _half(order: str, part: pd.DataFrame) -> tuple[float, float, float, float, bool, str]:
    """Half, low, high, steepness, bracketed, says."""
    means = part.groupby("share")["retention"].mean()
    if len(means) < 4:
        raise ValueError(
            f"the order {order!r} has {len(means)} sizes above 0: a logistic of two parameters and "
            "its interval need four"
        )
    least, most = float(means.index[0]), float(means.index[-1])
    if means.min() > 0.5:
        says = f"more than half is left at the largest share, {most:.3g}: not bracketed"
        return np.nan, most, np.inf, np.nan, False, says
    if means.iloc[0] < 0.5:
        says = f"less than half is left at the smallest share, {least:.3g}: not bracketed"
        return np.nan, 0.0, least, np.nan, False, says
    shares, seen = part["share"].to_numpy(), part["retention"].to_numpy()

    def away(theta: np.ndarray) -> np.ndarray:
        return retention_at(shares, *np.exp(theta)) - seen

    crossing = np.log(means.index[int((means <= 0.5).argmax())])
    starts = [(crossing, np.log(steepness)) for steepness in (1.0, 3.0, 10.0)]
    fits = [optimize.least_squares(away, start, bounds=(-30, 30)) for start in starts]
    best = min(fits, key=lambda fit: fit.cost)
    # At the minimum a step of the linearised fit is 0, so its draws are those of the parameters.
    _, steps, _ = student_draws(best.jac, -best.fun, DRAWS, 0)
    low, high = np.exp(percentile_interval(best.x[0] + steps[:, 0]))
    half, steepness = np.exp(best.x)
    return float(half), float(low), float(high), float(steepness), True, ""
