"""From the shares of a training mixture to the loss of a model trained on it, and back.

Many tiny models, each trained on another mixture, give a regression whose *ranking* of mixtures
holds for models a thousand times larger (RegMix, Liu et al., arXiv 2407.01492). What is trusted is
therefore the rank correlation on mixtures that were held out, not the predicted loss itself; and
since no form extrapolates, the best mixture is looked for inside the shares that were run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_predict

from workbench.core.files import canonical_json
from workbench.core.frames import TableLike, as_html, frame_of
from workbench.core.intervals import expanded_percentiles
from workbench.scaling.surrogates import Form, surrogate

ROUNDED = 0.01  # how far the shares of a mixture may be from 1 in sum: published ones are rounded
FOLDS = 10
STARTS = 8  # of the search for the best mixture: the runs that are predicted to be best
SLOPE_STEP = 1e-7
NO_MORE = 1e-6  # a share so close above the lowest that was run is the lowest

Weights = Mapping[str, float] | pd.Series


@dataclass(frozen=True, eq=False, repr=False)
class BestMixture:
    """The mixture of lowest predicted loss inside the shares that were run.

    Attributes:
        frame: one row a domain: domain, share, lowest_run and highest_run (the shares that were
            run), in_nearest_run.
        predicted: nats, the weighted mean of the predicted losses. It is the lowest of many
            predictions, so what is measured there tends to be higher.
        low: the low end of its 95 % interval over resampled runs.
        high: the high end, at most the highest loss of any run.
        weights: of the losses in that mean; they sum to 1.
        nearest_run: label of the run whose mixture is nearest.
        distance: Hellinger distance to it, from 0 (the same) to 1 (no domain in common).
        share_of_runs: the share of the runs whose measured loss is above the predicted one. At 1
            the prediction is below whatever was measured: train a run there before you believe it.
        fit: the fit that it comes from.
    """

    frame: pd.DataFrame
    predicted: float
    low: float
    high: float
    weights: pd.Series
    nearest_run: Any
    distance: float
    share_of_runs: float
    fit: MixtureFit

    @property
    def shares(self) -> pd.Series:
        """The share of each domain."""
        return self.frame.set_index("domain")["share"]

    def __repr__(self) -> str:
        return (
            f"best mixture: predicted loss {self.predicted:.4f} [{self.low:.4f}, {self.high:.4f}], "
            f"below {self.share_of_runs:.0%} of {len(self.fit.runs)} runs; nearest run "
            f"{self.nearest_run} at distance {self.distance:.2f}\n"
            f"{self.frame.round(3).to_string(index=False)}"
        )

    def to_json(self) -> dict[str, Any]:
        """What a manifest states of the mixture, its term `aiw:mixture`."""
        seen = self.frame[["lowest_run", "highest_run"]].to_numpy().tolist()
        numbers = {
            "validation": self.fit.validation(self.weights),
            "predicted": self.predicted,
            "low": self.low,
            "high": self.high,
            "distance": self.distance,
        }
        return {
            "shares": self.shares.to_dict(),
            "seen": dict(zip(self.frame["domain"], seen, strict=True)),
            "form": self.fit.form,
            "weights": self.weights.to_dict(),
            "runs": len(self.fit.runs),
            "runs_sha256": self.fit.runs_sha256,
            **{name: value if np.isfinite(value) else None for name, value in numbers.items()},
            "nearest_run": str(self.nearest_run),
            "tool": f"workbench {version('attention-influence-workbench')}",
        }


@dataclass(frozen=True, eq=False, repr=False)
class MixtureFit:
    """Laws from the shares of a mixture to losses, one for each loss.

    Attributes:
        form: "exponential", "kernel" or "linear".
        laws: the fitted regressor of each loss, by its name.
        runs: the shares of the runs, one row a run, one column a domain; each row sums to 1.
        losses: nats, one row a run, one column a loss.
        held_out: the losses that are predicted for each run by a fit to the others, as `losses`.
    """

    form: Form
    laws: Mapping[str, Any]
    runs: pd.DataFrame
    losses: pd.DataFrame
    held_out: pd.DataFrame

    def __repr__(self) -> str:
        ranks = [f"  {name}: {self.validation({name: 1}):.3f}" for name in self.laws]
        return (
            f"MixtureFit, {self.form}: {self.runs.shape[1]} domains, {len(self.runs)} runs. "
            "Spearman correlation of predicted and measured loss, cross-validated:\n"
            + "\n".join(ranks)
        )

    def _repr_html_(self) -> str:
        return as_html(repr(self))

    @property
    def weights(self) -> pd.Series:
        """Nats, by domain, for the mean of the losses: of the linear form only.

        It is the loss that a run on that domain alone would reach if all were linear.

        Raises:
            ValueError: the form is another.
        """
        if self.form != "linear":
            raise ValueError(f"form='linear' has one weight a domain; this fit is {self.form}")
        mean = np.mean([law.coef_ for law in self.laws.values()], axis=0)
        return pd.Series(mean, index=self.runs.columns)

    @property
    def runs_sha256(self) -> str:
        """SHA-256 of domains, shares and losses of the runs, as 64 hexadecimal digits."""
        tables = [[[*map(str, t)], t.to_numpy().tolist()] for t in (self.runs, self.losses)]
        return hashlib.sha256(canonical_json(tables).encode()).hexdigest()

    def predict(self, mixtures: pd.DataFrame, weights: Weights | None = None) -> pd.Series:
        """The predicted loss of each mixture: the weighted mean over the losses.

        Args:
            mixtures: shares of the domains, one row a mixture, with the domains of the fit as
                columns.
            weights: of the losses, by name, in any unit; those that are not named count nothing.
                None: all count the same.

        Returns:
            Nats, with the index of `mixtures`.

        Raises:
            ValueError: a domain is missing, shares are negative, missing, or do not sum to 1, or a
                weight is of no loss.
        """
        shares = _shares(mixtures, list(self.runs.columns))
        predicted = _mean_loss(self.laws, self._weights(weights))(shares)
        return pd.Series(predicted, index=mixtures.index, name="predicted")

    def rank_correlation(
        self,
        mixtures: pd.DataFrame,
        losses: pd.Series | TableLike,
        weights: Weights | None = None,
    ) -> float:
        """Spearman correlation of predicted and observed loss over held-out mixtures.

        Args:
            mixtures: shares as in `predict`, one row a run.
            losses: nats, one row a mixture, in the same order, with the losses of the fit as
                columns; or a single loss, where the fit is of one.
            weights: of the losses, as in `predict`.

        Returns:
            The correlation, from -1 to 1.

        Raises:
            ValueError: there is not one loss a mixture, a loss is missing, or there is nothing to
                rank: losses or predictions are all the same.
        """
        predicted, measured = self.predict(mixtures, weights), _losses(mixtures, losses)
        lacking = [name for name in self.losses if name not in measured]
        if lacking:
            raise ValueError(f"the losses lack {lacking!r:.200}, which the fit is of")
        observed = measured[list(self.losses)] @ self._weights(weights)
        for name, values in (("losses", observed), ("predicted losses", predicted)):
            if len(set(values)) < 2:
                raise ValueError(
                    f"the {name} of {len(mixtures)} mixtures hold fewer than two different values: "
                    "there are no ranks to compare"
                )
        return float(stats.spearmanr(predicted, observed).statistic)

    def validation(self, weights: Weights | None = None) -> float:
        """Spearman correlation of measured losses and those predicted from the other runs.

        It says how well models of this size are ranked. Which form carries over to larger ones is
        another question: on RegMix's runs the exponential law does, though the kernel ranks the
        small models better.

        Args:
            weights: of the losses, as in `predict`.

        Returns:
            The correlation, from -1 to 1; NaN where there is nothing to rank.
        """
        each = self._weights(weights)
        predicted, measured = self.held_out @ each, self.losses @ each
        if predicted.nunique() < 2 or measured.nunique() < 2:
            return float("nan")
        return float(stats.spearmanr(predicted, measured).statistic)

    def best(
        self, weights: Weights | None = None, *, draws: int = 200, seed: int = 0
    ) -> BestMixture:
        """The mixture of lowest predicted loss, no share of which is outside those that were run.

        Args:
            weights: of the losses, as in `predict`.
            draws: resamples of the runs behind the interval, which is that of the loss predicted
                for this mixture. Those that do not tell the domains apart are left out.
            seed: of the resamples.

        Returns:
            The mixture with its predicted loss.

        Raises:
            ValueError: a weight is of no loss.
        """
        each, runs = self._weights(weights), self.runs.to_numpy()
        mean_loss = _mean_loss(self.laws, each)
        shares = _lowest(mean_loss, runs)
        rng, drawn = np.random.default_rng(seed), []
        for rows in rng.integers(0, len(runs), (draws, len(runs))):
            if np.linalg.matrix_rank(runs[rows]) == runs.shape[1]:
                again = {
                    name: clone(law).fit(runs[rows], self.losses[name].to_numpy()[rows])
                    for name, law in self.laws.items()
                    if each[name]
                }
                drawn.append(_mean_loss(again, each)(shares[None])[0])
        low, high = self._interval(drawn, float((self.losses @ each).max()))
        overlap = np.sqrt(runs * shares).sum(axis=1)
        nearest = int(overlap.argmax())
        frame = pd.DataFrame(
            {
                "domain": list(self.runs.columns),
                "share": shares,
                "lowest_run": runs.min(axis=0),
                "highest_run": runs.max(axis=0),
                "in_nearest_run": runs[nearest],
            }
        )
        predicted = float(mean_loss(shares[None])[0])
        return BestMixture(
            frame, predicted, low, high, each,
            self.runs.index[nearest], float(np.sqrt(max(1 - overlap[nearest], 0))),
            float((self.losses @ each > predicted).mean()), self,
        )  # fmt: skip

    def _interval(self, drawn: list[float], highest: float) -> tuple[float, float]:
        """95 % interval of a predicted loss from resampled fits; NaN without any.

        The percentiles are those of `refit`. Each draw is taken as the quantile k/(n + 1) that it
        stands for: numpy's own way lies further inside the fewer the draws. It ends at the highest
        loss of any run: fits that lack the runs near the mixture reach far beyond, and say nothing.
        """
        if not drawn:
            return float("nan"), float("nan")
        parameters = self.runs.shape[1] + (self.form == "exponential")  # the floor
        percentiles = expanded_percentiles(len(self.runs), parameters)
        low, high = np.percentile(drawn, percentiles, method="weibull")
        return float(low), float(min(high, highest))

    def _weights(self, weights: Weights | None) -> pd.Series:
        """One weight a loss, summing to 1."""
        names = list(self.losses)
        each = pd.Series(dict.fromkeys(names, 1.0) if weights is None else weights, dtype=float)
        unknown = [name for name in each.index if name not in names]
        if unknown:
            raise ValueError(f"weights of {unknown!r:.200}: the losses are {names!r:.300}")
        each = each.reindex(names, fill_value=0.0)
        if not (np.isfinite(each) & (each >= 0)).all() or not each.sum() > 0:
            raise ValueError(
                f"weights of losses are 0 or more, one of them above; got {each.to_dict()!r:.300}"
            )
        return each / each.sum()


def fit_mixture(
    mixtures: pd.DataFrame, losses: pd.Series | TableLike, form: Form = "exponential"
) -> MixtureFit:
    """Fit one law a loss to runs on different mixtures.

    Args:
        mixtures: shares of the domains (columns), one row a training run.
        losses: nats, one row a run, in the same order: a column a loss, or a single loss.
            `proxy_runs` gives them.
        form: "exponential", the mixing law of Ye et al. (arXiv 2403.16952), which carries over best
            to larger models; "kernel", kernel ridge regression; or "linear", RegMix's first fit,
            whose optimum lies at the ends of whatever it may choose from.

    Returns:
        The fit, cross-validated in ten folds. (The kernel's width and penalty are chosen once, on
        all runs.)

    Raises:
        ValueError: shares are negative, missing, or sum to something else; there are not more runs
            than parameters; the mixtures do not tell the domains apart; there is not one finite
            loss a run; or the form is unknown.
    """
    if form not in get_args(Form):
        raise ValueError(f"form is one of {', '.join(get_args(Form))}; got {form!r:.50}")
    domains = list(mixtures.columns)
    shares, measured = _shares(mixtures, domains), _losses(mixtures, losses)
    if len(shares) <= len(domains) + (form == "exponential"):
        floor = " (and one more, for the floor of the exponential law)" * (form == "exponential")
        raise ValueError(
            f"{len(domains)} domains need more runs than that{floor}, each with a loss; got "
            f"{len(shares)}"
        )
    rank = int(np.linalg.matrix_rank(shares))
    if rank < len(domains):  # least squares would answer all the same, with the smallest weights
        raise ValueError(
            f"the {len(shares)} mixtures vary in {rank} of {len(domains)} directions only, so the "
            "weights of some domains cannot be told apart: add mixtures in which each domain's "
            "share changes by itself, or leave out domains that no run was trained on"
        )
    folds = KFold(min(FOLDS, len(shares)), shuffle=True, random_state=0)
    laws, held_out = {}, measured.copy()
    for name in measured:
        column = measured[name].to_numpy()
        laws[str(name)] = surrogate(form, shares, column)
        held_out[name] = cross_val_predict(laws[str(name)], shares, column, cv=folds)
    runs = pd.DataFrame(shares, mixtures.index, domains)
    return MixtureFit(form, laws, runs, measured, held_out)


def _mean_loss(laws: Mapping[str, Any], weights: pd.Series) -> Callable[[np.ndarray], np.ndarray]:
    """From shares, (mixtures, domains), to the weighted mean of the losses, (mixtures,)."""
    counted = [(laws[name], weight) for name, weight in weights.items() if weight]  # type: ignore[index]
    return lambda shares: np.sum([weight * law.predict(shares) for law, weight in counted], axis=0)


def _lowest(cost: Callable[[np.ndarray], np.ndarray], runs: np.ndarray) -> np.ndarray:
    """The shares of least cost that sum to 1, each inside those of the runs; (domains,)."""
    low, high = runs.min(axis=0), runs.max(axis=0)
    steps = SLOPE_STEP * np.eye(runs.shape[1])  # the slopes of all domains in one call
    found = []
    for start in runs[np.argsort(cost(runs), kind="stable")[:STARTS]]:
        shares = minimize(
            lambda p: float(cost(p[None])[0]), start, method="SLSQP",
            jac=lambda p: (cost(p + steps) - cost(p[None])) / SLOPE_STEP,
            bounds=list(zip(low, high, strict=True)),
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1, "jac": np.ones_like},
            options={"maxiter": 200, "ftol": 1e-10},
        ).x  # fmt: skip
        shares = np.clip(np.where(shares - low < NO_MORE, low, shares), low, high)
        # What is missing from 1 goes where there is most room, so no bound is passed; and not to a
        # domain at its lowest share, which would be trained on for the sake of a rounding error.
        missing = 1 - shares.sum()
        room = high - shares if missing > 0 else shares - low
        where = np.argmax(np.where(shares > low, room, 0))
        shares[where if room[where] >= abs(missing) else np.argmax(room)] += missing
        found += [start, shares]
    return found[int(np.argmin(cost(np.array(found))))]


def _losses(mixtures: pd.DataFrame, losses: pd.Series | TableLike) -> pd.DataFrame:
    """Finite losses, one row a mixture and one column a loss."""
    if isinstance(losses, pd.Series):
        losses = losses.to_frame("loss")
    frame = frame_of(losses).astype(float)
    if len(frame) != len(mixtures):
        raise ValueError(f"one loss a mixture: got {len(mixtures)} mixtures, {len(frame)} losses")
    finite = np.isfinite(frame.to_numpy()).all(axis=1)
    if not finite.all():
        raise ValueError(f"the loss of mixture {int(np.argmin(finite))} is missing")
    return frame.set_axis(mixtures.index)


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
