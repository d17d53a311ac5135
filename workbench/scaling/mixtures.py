"""From the shares of a training mixture to the loss of a model trained on it: RegMix's linear fit.

Many tiny models, each trained on another mixture, give a regression whose *ranking* of mixtures
holds for models a thousand times larger (Liu et al., arXiv 2407.01492). What is trusted is
therefore the rank correlation on mixtures that were held out, not the predicted loss itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

ROUNDED = 0.01  # how far the shares of a mixture may be from 1 in sum: published ones are rounded


@dataclass(frozen=True)
class MixtureFit:
    """A linear law of mixtures: loss = sum of share x weight.

    Attributes:
        weights: nats, by domain: the loss that a run on that domain alone would reach if the loss
            were linear all the way.
    """

    weights: pd.Series

    def predict(self, mixtures: pd.DataFrame) -> pd.Series:
        """The predicted loss of each mixture.

        Args:
            mixtures: shares of the domains, one row a mixture, with the domains of the fit as
                columns.

        Returns:
            Nats, with the index of `mixtures`.

        Raises:
            ValueError: a domain is missing, or shares are negative, missing, or do not sum to 1.
        """
        predicted = _shares(mixtures, list(self.weights.index)) @ self.weights.to_numpy()
        return pd.Series(predicted, index=mixtures.index, name="predicted")

    def rank_correlation(self, mixtures: pd.DataFrame, losses: pd.Series) -> float:
        """Spearman correlation of predicted and observed loss over held-out mixtures.

        Args:
            mixtures: shares as in `predict`, one row a run.
            losses: nats, one a mixture, in the same order.

        Returns:
            The correlation, from -1 to 1.

        Raises:
            ValueError: there is not one loss a mixture, or nothing to rank: losses or predictions
                are all the same.
        """
        predicted, observed = self.predict(mixtures), _losses(mixtures, losses)
        for name, values in (("losses", observed), ("predicted losses", predicted)):
            if len(set(values)) < 2:
                raise ValueError(
                    f"the {name} of {len(mixtures)} mixtures hold fewer than two different values: "
                    "there are no ranks to compare"
                )
        return float(stats.spearmanr(predicted, observed).statistic)


def fit_mixture(mixtures: pd.DataFrame, losses: pd.Series) -> MixtureFit:
    """Least squares of losses on the shares of domains (RegMix, arXiv 2407.01492).

    There is no intercept, since the shares of a mixture sum to 1.

    Args:
        mixtures: shares of the domains (columns), one row a training run.
        losses: nats, one a run, in the same order.

    Returns:
        The fit, with one weight a domain.

    Raises:
        ValueError: shares are negative, missing, or sum to something else; there are not more runs
            than domains; the mixtures do not tell the domains apart; or there is not one finite
            loss a run.
    """
    domains = list(mixtures.columns)
    shares = _shares(mixtures, domains)
    target = _losses(mixtures, losses)
    if len(shares) <= len(domains):
        raise ValueError(
            f"{len(domains)} domains need more runs than that, each with a loss; got {len(shares)}"
        )
    weights, _, rank, _ = np.linalg.lstsq(shares, target, rcond=None)
    if rank < len(domains):  # least squares would answer all the same, with the smallest weights
        raise ValueError(
            f"the {len(shares)} mixtures vary in {rank} of {len(domains)} directions only, so the "
            "weights of some domains cannot be told apart: add mixtures in which each domain's "
            "share changes by itself, or leave out domains that no run was trained on"
        )
    return MixtureFit(pd.Series(weights, index=domains))


def _losses(mixtures: pd.DataFrame, losses: pd.Series) -> np.ndarray:
    """One finite loss a mixture, (mixtures,)."""
    values = np.asarray(losses, dtype=float)
    if values.shape != (len(mixtures),):
        raise ValueError(
            f"one loss a mixture: got {len(mixtures)} mixtures, "
            f"{' x '.join(map(str, values.shape))} losses"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"the loss of mixture {int(np.argmin(np.isfinite(values)))} is missing")
    return values


def _shares(mixtures: pd.DataFrame, domains: list[str]) -> np.ndarray:
    """(mixtures, domains), each row summing to 1 exactly."""
    lacking = [name for name in domains if name not in mixtures]
    if lacking:
        raise ValueError(
            f"the mixtures lack the domains {lacking}: they have {', '.join(map(str, mixtures))}"
        )
    shares = mixtures[domains].to_numpy(dtype=float)
    sums = shares.sum(axis=1, keepdims=True)
    if not (shares >= 0).all() or not (np.abs(sums - 1) <= ROUNDED).all():
        raise ValueError(
            "the shares of a mixture must be numbers of at least 0, none missing, and sum to 1 "
            f"(to within {ROUNDED}); these sum to {sums.min():.3g} to {sums.max():.3g}"
        )
    return shares / sums
