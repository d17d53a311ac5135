"""What tables of runs say by themselves: the best size, the best rate, which recipe is better.

Each answer says whether it was bracketed: a best value at the edge of what was run may lie beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from workbench.core.intervals import bootstrap_weights, percentile_interval, student_draws
from workbench.scaling.power_sum import measured, numbers

DRAWS = 4000  # of a parabola or a line: they cost no fits
SAME_COMPUTE = 0.05  # runs of one group differ in compute by at most this share


@dataclass(frozen=True, eq=False)
class IsoFlop:
    """The best size of model at each compute (`isoflop`).

    Attributes:
        table: one row a compute: compute (FLOP, geometric mean of its runs), runs, params_opt,
            low, high (95 %), tokens_opt, loss (at params_opt), curvature (of the parabola, in
            nats a squared log unit), bracketed, says (why not, in words). Where it is not bracketed
            params_opt is the best size that was run, and low and high are missing; so are these two
        where a compute has three runs only, which tell nothing of their scatter.
        exponent: value, low and high (95 %, Student's over the bracketed computes) of b in
            params_opt = k compute^b; NaN below three of them.
        runs: the runs that were used, with their group (row of `table`).
    """

    table: pd.DataFrame
    exponent: tuple[float, float, float]
    runs: pd.DataFrame


def isoflop(runs: pd.DataFrame, *, loss: str = "loss") -> IsoFlop:
    """The best size at each compute, from a parabola of the loss in log params.

    Hoffmann et al. (arXiv 2203.15556), approach 2. Runs belong together where their compute differs
    by 5 % at most.

    Args:
        runs: one row a run: params, tokens, loss, and compute (FLOP) if it is not 6 params tokens.
        loss: the column that holds the loss, in nats.

    Returns:
        The table with its exponent.

    Raises:
        ValueError: a column is missing, a value is not positive, or no compute has three sizes.
    """
    values = measured(runs, ["params", "tokens", loss])
    used = pd.DataFrame(values, columns=["params", "tokens", "loss"])
    own = "compute" in runs
    compute = measured(runs, ["compute"])[:, 0] if own else 6 * values[:, 0] * values[:, 1]
    used = used.assign(compute=compute).sort_values("compute", ignore_index=True)
    used["group"] = _groups(used["compute"].to_numpy())
    rows: list[dict[str, object]] = []
    kept = []
    for _, group in used.groupby("group"):
        if group["params"].nunique() >= 3:
            kept.append(group.assign(group=len(rows)))
            rows.append(_valley(group))
    if not rows:
        raise ValueError(
            f"none of the computes of {len(used)} runs has three sizes of model (runs of one "
            f"compute differ in it by {SAME_COMPUTE:.0%} at most): a parabola needs them"
        )
    table = pd.DataFrame(rows)
    sure = table[table["bracketed"]]
    exponent = (float("nan"), float("nan"), float("nan"))
    if len(sure) >= 3:
        logs = np.log(sure["compute"].to_numpy())
        design = np.column_stack([np.ones(len(sure)), logs - logs.mean()])
        best, drawn, _ = student_draws(design, np.log(sure["params_opt"].to_numpy()), DRAWS, 0)
        low, high = percentile_interval(drawn[:, 1])
        exponent = (float(best[1]), float(low), float(high))
    return IsoFlop(table, exponent, pd.concat(kept, ignore_index=True))


def _groups(compute: np.ndarray) -> np.ndarray:
    """Which values of a sorted array lie within SAME_COMPUTE of the first of their group."""
    group = np.zeros(len(compute), dtype=int)
    first = 0
    for at in range(1, len(compute)):
        if compute[at] > compute[first] * (1 + SAME_COMPUTE):
            first = at
        group[at] = group[at - 1] + (first == at)
    return group


def _valley(group: pd.DataFrame) -> dict[str, object]:
    """One row of the table of `isoflop`."""
    logs, loss = np.log(group["params"].to_numpy()), group["loss"].to_numpy()
    centre = logs.mean()
    design = np.vander(logs - centre, 3)
    if len(group) > 3:
        best, drawn, _ = student_draws(design, loss, DRAWS, 0)
    else:  # a parabola goes through three points, and says nothing of their scatter
        best, drawn = np.linalg.solve(design, loss), np.full((1, 3), np.nan)
    compute = float(np.exp(np.log(group["compute"]).mean()))
    at = group.groupby("params")["loss"].mean()
    edges = {at.index[0]: "smallest", at.index[-1]: "largest"}
    lowest = float(at.index.to_numpy()[at.argmin()])
    steep = drawn[drawn[:, 0] > 0]  # the others have no least
    place = centre - best[1] / (2 * best[0]) if best[0] > 0 else np.nan
    if lowest in edges:
        says = f"least at the {edges[lowest]} size: not bracketed"
    elif not logs.min() < place < logs.max():
        says = "the parabola has no least inside the sizes: not bracketed"
    elif len(group) > 3 and len(steep) < 0.975 * len(drawn):
        says = "the scatter allows no least: any size may be the best"
    else:
        says = ""
    params, level, curvature = lowest, float(at.min()), np.nan
    low = high = np.nan
    if not says:
        params, curvature = float(np.exp(place)), float(best[0])
        level = float(best[2] - best[1] ** 2 / (4 * best[0]))
        if len(group) > 3:
            low, high = np.exp(percentile_interval(centre - steep[:, 1] / (2 * steep[:, 0])))
    return {
        "compute": compute, "runs": len(group), "params_opt": params, "low": low, "high": high,
        "tokens_opt": float(np.exp(np.log(group["tokens"] * group["params"]).mean()) / params),
        "loss": level, "curvature": curvature, "bracketed": not says, "says": says,
    }  # fmt: skip


def rate_sensitivity(
    runs: pd.DataFrame,
    initial: float,
    *,
    by: str = "params",
    rate: str = "learning_rate",
    loss: str = "loss",
) -> pd.DataFrame:
    """The best learning rate of each group of runs, and how much a wrong one costs.

    The sensitivity is the mean over the rates of min(loss, initial) - the least loss (Wortsman et
    al., arXiv 2309.14322, section 2.2): only those of one and the same grid of rates are compared.

    Args:
        runs: one row a run; runs of one rate and group (seeds) are averaged. A loss that is missing
            or infinite is that of a run that diverged, and counts as `initial`.
        initial: the loss of an untrained model, in nats.
        by: the column that tells the groups apart.
        rate: the column of the rates.
        loss: the column of the losses, in nats.

    Returns:
        One row a group: `by`, rates (how many), best_rate (the least of a parabola through the best
        rate and its neighbours, in log rate), low and high (these neighbours: the least lies
        between them if there is one valley), loss (the least that was run), sensitivity (nats),
        bracketed, says (why not, in words; best_rate is then the edge itself).

    Raises:
        ValueError: a column is missing, a rate is not positive, `initial` is no positive number, or
            no run of a group has a loss.
    """
    if not 0 < initial < np.inf:
        raise ValueError(f"initial is the loss of an untrained model, above 0; got {initial}")
    if by not in runs:
        raise ValueError(f"the table of runs lacks the column {by!r}, which tells groups apart")
    table = pd.DataFrame({"rate": measured(runs, [rate])[:, 0], "group": runs[by].to_numpy()})
    seen = numbers(runs, [loss])[:, 0]
    table["loss"] = np.minimum(np.where(np.isnan(seen), np.inf, seen), initial)
    rows = []
    for group, part in table.groupby("group"):
        curve = part.groupby("rate")["loss"].mean()
        rates, losses = np.log(curve.index.to_numpy()), curve.to_numpy()
        at = int(losses.argmin())
        if losses[at] >= initial:
            raise ValueError(
                f"no run of {by} {group} ends below {initial}, the loss of an untrained model"
            )
        best, low, high, says = rates[at], np.nan, np.nan, ""
        if len(rates) < 3 or at in (0, len(rates) - 1):
            edge = "smallest" if at == 0 else "largest"
            says = f"least at the {edge} rate: not bracketed"
            low, high = (
                (-np.inf if at == 0 else rates[at - 1]),
                (np.inf if at == len(rates) - 1 else rates[at + 1]),
            )
        else:
            low, high = rates[at - 1], rates[at + 1]
            a, b, _ = np.polyfit(rates[at - 1 : at + 2] - best, losses[at - 1 : at + 2], 2)
            best = best - b / (2 * a) if a > 0 else best
        rows.append(
            (
                group, len(rates), *np.exp([best, low, high]), losses[at],
                float((losses - losses[at]).mean()), not says, says,
            )
        )  # fmt: skip
    names = ["rates", "best_rate", "low", "high", "loss", "sensitivity", "bracketed", "says"]
    return pd.DataFrame(rows, columns=[by, *names])


def decisions(
    scores: pd.DataFrame,
    small: str | Sequence[str],
    large: str,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Do small models rank recipes as large ones do?

    Args:
        scores: one row a recipe, one column a scale of model; losses or scores, but of one kind.
        small: the column of the small models, or several, each compared by itself.
        large: the column of the large models.
        draws: bootstrap draws of recipes.
        seed: of the draws.

    Returns:
        One row a small scale: small, recipes, pairs (of recipes that differ at both scales), right
        (share of pairs that both put in the same order), low and high (95 % percentile bootstrap
        over recipes), spearman, agree_on_least and agree_on_most (whether the recipe of the least,
        or largest, score is the same at both).

    Raises:
        ValueError: a column is missing or holds no numbers, or fewer than three recipes differ.
    """
    rows = []
    for name in [small] if isinstance(small, str) else small:
        first, second = numbers(scores, [name, large]).T
        if np.isnan(first + second).any():
            raise ValueError(f"a recipe has no score of {name} or {large}: leave it out")
        order = np.sign(first[:, None] - first) * np.sign(second[:, None] - second)
        told = order != 0  # no recipe is paired with itself, nor with one of the same score
        if len(first) < 3 or told.sum() < 6:
            raise ValueError(
                f"{len(first)} recipes make {told.sum() // 2} pairs that differ at {name} and "
                f"{large}: decisions need three recipes or more"
            )
        weights = bootstrap_weights(len(first), draws, seed)
        right = ((weights @ (order > 0)) * weights).sum(axis=1)
        with np.errstate(invalid="ignore"):  # a resample may hold one recipe only
            share = right / ((weights @ told) * weights).sum(axis=1)
        low, high = percentile_interval(share, ignore_nan=True)
        rows.append(
            (
                name, len(first), int(told.sum() // 2), float((order > 0).sum() / told.sum()),
                float(low), float(high), float(stats.spearmanr(first, second).statistic),
                first.argmin() == second.argmin(), first.argmax() == second.argmax(),
            )
        )  # fmt: skip
    names = ["small", "recipes", "pairs", "right", "low", "high", "spearman"]
    return pd.DataFrame(rows, columns=[*names, "agree_on_least", "agree_on_most"])
