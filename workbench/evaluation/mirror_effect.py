"""What masking costs on tasks: detected heads against random ones (the paper's Table 6).

Tasks that need their context should collapse, tasks that do not should survive, and random heads
of the same number should cost little. Every item is answered under every head set, so differences
are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.core.intervals import percentile_interval
from workbench.core.progress import progress_bar
from workbench.detection.retrieval import answered
from workbench.evaluation.tasks import Task, asked
from workbench.masking.masks import require_fitting
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model

KEYS = ("task", "needs_context", "item", "name", "masked", "draw")


def mirror(
    model: Model,
    heads: HeadSet,
    tasks: Sequence[Task],
    *,
    controls: int = 5,
    mode: Mode = "uniform",
    seed: int = 0,
) -> pd.DataFrame:
    """Masking cost on tasks: answer every item unmasked, with heads masked, and with random ones.

    Args:
        model: who answers.
        heads: the detected heads.
        tasks: what is asked, of different names.
        controls: random sets of as many other heads.
        mode: what masked heads put out.
        seed: of the random sets.

    Returns:
        One row an item and head set: task, needs_context, item, name, masked ("nothing", "detected"
        or "random"), draw, loss (mean nats a token of the true answer, which is fed), exact (1.0 if
        every token of it is the model's first choice, which is when greedy decoding would give it,
        else 0.0).

    Raises:
        ValueError: there are no heads, tasks or controls, two tasks share a name, or an item does
            not fit into the model's context.
    """
    require_fitting(model, heads, mode)
    names = [task.name for task in tasks]
    if not heads or not tasks or controls < 1 or len(set(names)) < len(names):
        raise ValueError(
            f"a mirror needs heads, tasks of different names and a control at least; got "
            f"{len(heads)} heads, tasks {names}, {controls} controls"
        )
    sets = mirror_sets(model, heads, controls, seed)
    items = [
        (task, i, item.name, asked(model, item))
        for task in tasks
        for i, item in enumerate(task.items)
    ]
    rows = []
    with progress_bar("answering tasks", "item", len(items)) as done:
        for task, number, name, item in items:
            results = answered(model, item, list(sets.values()), mode)
            for (masked, draw), (loss, share) in zip(sets, results, strict=True):
                answer = (masked, draw, loss, float(share == 1))
                rows.append((task.name, task.needs_context, number, name, *answer))
            done(1)
    columns = ["task", "needs_context", "item", "name", "masked", "draw", "loss", "exact"]
    return pd.DataFrame(rows, columns=columns)


def mirror_sets(
    model: Model, heads: HeadSet | None, controls: int = 5, seed: int = 0
) -> dict[tuple[str, int], HeadSet | None]:
    """The head sets that a mirror masks.

    Args:
        model: the model they belong to.
        heads: the detected heads; none: nothing alone is masked.
        controls: random sets of as many other heads.
        seed: of the random sets.

    Returns:
        (masked, draw) to the head set: ("nothing", 0) to None, ("detected", 0) to `heads`, and
        ("random", draw) to the random sets.
    """
    sets: dict[tuple[str, int], HeadSet | None] = {("nothing", 0): None}
    if heads:
        sets["detected", 0] = heads
        seeds = np.random.default_rng(seed).integers(2**31, size=controls)
        for draw, draw_seed in enumerate(seeds):
            sets["random", draw] = HeadSet.random(model, exclude=heads, seed=int(draw_seed))
    return sets


def mirror_summary(
    table: pd.DataFrame, measure: str = "exact", *, draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """What it costs, task by task, to mask detected heads, and random ones (the paper's Table 6).

    A mean rise is carried by the items of low loss: read it beside the loss.

    Args:
        table: what `mirror` returned, or any table of that form with a column of values.
        measure: "exact" (share of items answered), "loss" (nats a token of the answer), "rise"
            (loss / loss with nothing masked - 1, item by item), or the name of another column of
            values.
        draws: bootstrap draws of items.
        seed: of the draws.

    Returns:
        One row a task: task, needs_context, items, nothing, detected, random (mean of the draws),
        random_low and random_high (the lowest and highest draw), change = detected - nothing,
        excess = detected - random, each with low and high: 95 % percentile bootstrap, paired over
        items (the random sets stay the drawn ones).

    Raises:
        ValueError: the table has no such measure, or a rise is asked of a loss of 0.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for kept, part in _tasks(table):
        nothing, detected, controls = _by_item(part, measure)
        every, random = controls.mean(axis=0), controls.mean(axis=1)
        row = {
            **kept, "items": len(nothing), "nothing": nothing.mean(), "detected": detected.mean(),
            "random": random.mean(), "random_low": every.min(), "random_high": every.max(),
        }  # fmt: skip
        picks = rng.integers(0, len(nothing), size=(draws, len(nothing)))
        for name, paired in (("change", detected - nothing), ("excess", detected - random)):
            row[name] = paired.mean()
            row[f"{name}_low"], row[f"{name}_high"] = percentile_interval(
                paired[picks].mean(axis=1)
            )
        rows.append(row)
    return pd.DataFrame(rows)


def mirror_items(table: pd.DataFrame, measure: str = "rise") -> pd.DataFrame:
    """What it costs, item by item: which items are hurt?

    One item is one text: there is no interval over it.

    Args:
        table: as in `mirror_summary`.
        measure: as in `mirror_summary`.

    Returns:
        One row an item, those that the detected heads change most first: task, needs_context, item,
        name, nothing, detected, random (mean of the draws), random_low and random_high (over the
        draws), and base_loss (with nothing masked) where the table has losses: a rise is large
        where that is small.

    Raises:
        ValueError: as `mirror_summary`.
    """
    parts = []
    for kept, part in _tasks(table):
        nothing, detected, controls = _by_item(part, measure)
        names = part.groupby("item")["name"].first()
        columns = {
            **kept, "item": names.index, "name": names.to_numpy(), "nothing": nothing,
            "detected": detected, "random": controls.mean(axis=1),
            "random_low": controls.min(axis=1), "random_high": controls.max(axis=1),
        }  # fmt: skip
        if "loss" in part:
            columns["base_loss"] = _by_item(part, "loss")[0]
        parts.append(pd.DataFrame(columns))
    every = pd.concat(parts, ignore_index=True)
    cost = (every["detected"] - every["nothing"]).abs()
    return every.loc[cost.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _tasks(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each task with what is known of it, and its rows."""
    for task, part in table.groupby("task", sort=False):
        kept = {"task": task}
        if "needs_context" in part:
            kept["needs_context"] = part["needs_context"].iloc[0]
        yield kept, part


def _by_item(part: pd.DataFrame, measure: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One task's values under nothing (n,), detected (n,) and random heads (n, draws), by item."""
    column = "loss" if measure == "rise" else measure
    known = [str(name) for name in part if name not in KEYS]
    if column not in known:
        known += ["rise"] if "loss" in known else []
        raise ValueError(f"measure must be one of {', '.join(known)}, got {measure!r}")
    wide = part.pivot(index="item", columns=["masked", "draw"], values=column)
    if measure == "rise":
        base = wide["nothing"][0]
        if not (base > 0).all():
            raise ValueError(
                f"{(base <= 0).sum()} items of {part['task'].iloc[0]!r} have a loss of 0 with "
                "nothing masked, over which no rise is defined: take the measure 'loss'"
            )
        wide = wide.div(base, axis=0) - 1
    nothing, detected = (wide[name][0].to_numpy() for name in ("nothing", "detected"))
    return nothing, detected, wide["random"].to_numpy()
