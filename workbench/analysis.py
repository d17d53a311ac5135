"""What the score goes along with: the confounds that must stand beside every ranking.

The score rises with repetition, falls with base loss, and may follow length (METHOD sections 3 and
5). None of that is removed here; it is measured, inside each domain, so that nobody mistakes a
repetitive document for a reasoning one without being told.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

CONFOUNDS = ("compression_ratio", "loss_base", "tokens")


def confounds(table: pd.DataFrame, *, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Spearman correlation of the score with each confound, inside each domain.

    table: a score table (`score_corpus`). Returns one row a domain and confound: domain, confound
    (compression_ratio: low is repetitive; loss_base: nats a token; tokens: length), documents,
    spearman, and low, high (95 % percentile bootstrap over documents). A domain with fewer than
    four documents, or a confound that does not vary, gives NaN.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for domain, part in table.groupby("domain", sort=True):
        picks = rng.integers(0, len(part), size=(draws, len(part)))
        for name in CONFOUNDS:
            score, other = part["score"].to_numpy(), part[name].to_numpy(dtype=float)
            value = low = high = np.nan
            if len(part) >= 4 and np.ptp(other) > 0 and np.ptp(score) > 0:
                value = float(stats.spearmanr(score, other).statistic)
                low, high = _interval(score[picks], other[picks])
            rows.append((domain, name, len(part), value, low, high))
    columns = ["domain", "confound", "documents", "spearman", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _interval(score: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 percentiles of Spearman's correlation over resamples, one a row."""
    a, b = stats.rankdata(score, axis=1), stats.rankdata(other, axis=1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a resample may hold one document only
        values = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
