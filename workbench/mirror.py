"""What masking costs on tasks: detected heads against random ones (the paper's Table 6).

Tasks that need their context should collapse, tasks that do not should survive, and random heads
of the same number should cost little. Every item is answered under every head set, so differences
are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from workbench.attention import Mode
from workbench.heads import HeadSet
from workbench.masking import require_fitting
from workbench.models import Model
from workbench.progress import counted
from workbench.retrieval import answered
from workbench.tasks import Task, asked

Measure = Literal["exact", "loss"]


def mirror(
    model: Model,
    heads: HeadSet,
    tasks: Sequence[Task],
    *,
    controls: int = 5,
    mode: Mode = "uniform",
    seed: int = 0,
) -> pd.DataFrame:
    """Answer every item of every task unmasked, with `heads` masked, and with random sets masked.

    controls: random sets of as many other heads. Returns one row an item and head set: task,
    needs_context, item, masked ("nothing", "detected" or "random"), draw, loss (mean nats a token
    of the true answer, which is fed), exact (1.0 if every token of it is the model's first choice,
    which is when greedy decoding would give it, else 0.0).

    Raises ValueError without heads, tasks or controls, or for an item that does not fit.
    """
    require_fitting(model, heads, mode)
    names = [one.name for one in tasks]
    if not heads or not tasks or controls < 1 or len(set(names)) < len(names):
        raise ValueError(
            f"a mirror needs heads, tasks of different names and a control at least; got "
            f"{len(heads)} heads, tasks {names}, {controls} controls"
        )
    random = [
        HeadSet.random(model, exclude=heads, seed=int(one))
        for one in np.random.default_rng(seed).integers(2**31, size=controls)
    ]
    columns = [("nothing", 0), ("detected", 0), *(("random", i) for i in range(controls))]
    items = [(task, i, asked(model, one)) for task in tasks for i, one in enumerate(task.items)]
    rows = []
    with counted("answering tasks", "item", len(items)) as done:
        for task, number, item in items:
            results = answered(model, item, [None, heads, *random], mode)
            for (masked, draw), (loss, share) in zip(columns, results, strict=True):
                exact = float(share == 1)
                rows.append((task.name, task.needs_context, number, masked, draw, loss, exact))
            done(1)
    return pd.DataFrame(
        rows, columns=["task", "needs_context", "item", "masked", "draw", "loss", "exact"]
    )


def mirror_summary(
    table: pd.DataFrame, measure: Measure = "exact", *, draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """One row a task: what it costs to mask detected heads, and random ones.

    table: what `mirror` returned; measure: "exact" (share of items answered) or "loss" (nats a
    token of the answer). Columns: task, needs_context, items, nothing, detected, random (mean of
    the draws), random_low and random_high (the worst and best draw, by value), change = detected -
    nothing, excess = detected - random, each with low and high: 95 % percentile bootstrap, paired
    over items (the random sets stay the drawn ones).
    """
    if measure not in ("exact", "loss"):
        raise ValueError(f"measure must be 'exact' or 'loss', got {measure!r}")
    rng = np.random.default_rng(seed)
    rows = []
    for (task, needs), part in table.groupby(["task", "needs_context"], sort=False):
        wide = part.pivot(index="item", columns=["masked", "draw"], values=measure)
        nothing, detected = (wide[name][0].to_numpy() for name in ("nothing", "detected"))
        controls = wide["random"].to_numpy()
        every, random = controls.mean(axis=0), controls.mean(axis=1)
        row = {
            "task": task, "needs_context": needs, "items": len(wide), "nothing": nothing.mean(),
            "detected": detected.mean(), "random": random.mean(), "random_low": every.min(),
            "random_high": every.max(),
        }  # fmt: skip
        picks = rng.integers(0, len(wide), size=(draws, len(wide)))
        for name, paired in (("change", detected - nothing), ("excess", detected - random)):
            row[name] = paired.mean()
            row[f"{name}_low"], row[f"{name}_high"] = np.percentile(
                paired[picks].mean(axis=1), [2.5, 97.5]
            )
        rows.append(row)
    return pd.DataFrame(rows)
