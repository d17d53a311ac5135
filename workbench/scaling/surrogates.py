"""The forms of a law from the shares of a mixture to one loss, as regressors of scikit-learn."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.optimize import least_squares
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

Form = Literal["exponential", "kernel", "linear"]
FLOORS = np.geomspace(0.01, 30, 8)  # how far below the lowest loss a fit may start, in ranges
# Of the shares, for the kernel. On RegMix's 512 runs the square root ranks the models of 1 B with a
# Spearman correlation of .973, the fourth root with .958; of 64 runs it loses less, too.
ROOT = 0.5
KERNEL = {
    "regressor__kernelridge__alpha": [1e-4, 1e-3, 1e-2, 1e-1],
    "regressor__kernelridge__gamma": [0.03, 0.1, 0.3, 1.0],
}


class ExponentialLaw(RegressorMixin, BaseEstimator):
    """loss = floor + exp(shares @ weights): the mixing law of Ye et al. (arXiv 2403.16952).

    Their constant in front is a part of the weights, since the shares sum to 1. After `fit`,
    `floor_` is in nats, and `weights_` of shape (domains,).
    """

    def __init__(self, near: tuple[float, ...] | None = None) -> None:
        """A law that is not fitted yet.

        Args:
            near: floor and weights of a fit to nearly the same runs, from which this one begins,
                too, beside the best of eight floors; None: it begins from each of the eight.
        """
        self.near = near

    def fit(self, shares: np.ndarray, losses: np.ndarray) -> ExponentialLaw:
        """Least squares from eight floors, each with its solution in logarithms; the least stays.

        Args:
            shares: shape (runs, domains), each row summing to 1.
            losses: nats, shape (runs,).

        Returns:
            Itself.
        """

        def residuals(values: np.ndarray) -> np.ndarray:
            return values[0] + np.exp(shares @ values[1:]) - losses

        def slopes(values: np.ndarray) -> np.ndarray:
            return np.c_[np.ones(len(shares)), np.exp(shares @ values[1:])[:, None] * shares]

        starts = []
        for floor in losses.min() - FLOORS * max(float(np.ptp(losses)), 1e-9):
            weights = np.linalg.lstsq(shares, np.log(losses - floor), rcond=None)[0]
            starts.append(np.r_[floor, weights])
        if self.near is not None:
            best = min(starts, key=lambda values: np.sum(residuals(values) ** 2))
            starts = [best, np.array(self.near)]
        # "lm" is the fastest, and takes at least as many runs as there are parameters.
        method: Literal["lm", "trf"] = "lm" if len(shares) >= len(starts[0]) else "trf"
        with np.errstate(over="ignore", invalid="ignore"):  # a step too far is taken back
            fits = [
                least_squares(residuals, start, slopes, method=method, x_scale="jac")
                for start in starts
            ]
        found = min(fits, key=lambda fit: fit.cost).x
        self.floor_, self.weights_ = float(found[0]), found[1:]
        return self

    def predict(self, shares: np.ndarray) -> np.ndarray:
        """The losses of mixtures.

        Args:
            shares: shape (mixtures, domains).

        Returns:
            Nats, shape (mixtures,).
        """
        return self.floor_ + np.exp(shares @ self.weights_)


def surrogate(form: Form, shares: np.ndarray, losses: np.ndarray) -> Any:
    """A law of one of the forms, fitted to runs.

    Args:
        form: "exponential"; "kernel", ridge regression on the roots of the shares (which tell .001
            from .01), its width and penalty chosen by five-fold cross-validation; or "linear",
            without an intercept, since the shares sum to 1.
        shares: shape (runs, domains), each row summing to 1.
        losses: nats, shape (runs,).

    Returns:
        A fitted regressor; `sklearn.base.clone` of it can be fitted to other draws of the runs,
        with the same width and penalty, or beginning near this fit.
    """
    if form == "exponential":
        law = ExponentialLaw().fit(shares, losses)
        law.near = (law.floor_, *law.weights_)
        return law
    if form == "linear":
        return LinearRegression(fit_intercept=False).fit(shares, losses)
    centred = TransformedTargetRegressor(
        make_pipeline(FunctionTransformer(_roots), KernelRidge(kernel="rbf")),
        transformer=StandardScaler(with_std=False),
    )
    folds = KFold(min(5, len(shares)), shuffle=True, random_state=0)
    search = GridSearchCV(centred, KERNEL, cv=folds, scoring="neg_mean_squared_error")
    return search.fit(shares, losses).best_estimator_


def _roots(shares: np.ndarray) -> np.ndarray:
    return np.maximum(shares, 0) ** ROOT  # a search may step below 0 by the last digit
