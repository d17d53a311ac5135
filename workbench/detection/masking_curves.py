"""What is lost as more and more heads are masked: detected order against heads drawn at random.

A set of retrieval heads is worth something only if masking it hurts lookups far more than masking
as many other heads does, at every size of the set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from workbench.core.progress import progress_bar
from workbench.detection.probes import Probes
from workbench.detection.retrieval import answered, require_tokenizer
from workbench.masking.losses import losses_of_ids, require_texts
from workbench.masking.masks import require_fitting
from workbench.models.attention_hook import Mode
from workbench.models.head_scores import HeadScores, as_head_scores
from workbench.models.heads import HeadSet, heads_in
from workbench.models.model import Model

SETS = 6  # head sets in one pass; memory grows with it


def masking_curve(
    model: Model,
    scores: HeadScores | pd.DataFrame,
    probes: Probes,
    texts: Sequence[str] = (),
    *,
    influence: HeadScores | pd.DataFrame | None = None,
    sizes: Sequence[int] | None = None,
    draws: int = 5,
    mode: Mode = "uniform",
    max_tokens: int | None = 512,
    seed: int = 0,
    on_points: Callable[[pd.DataFrame], object] | None = None,
) -> pd.DataFrame:
    """Loss and retrieval accuracy with the first k heads masked, in detected and in random order.

    Args:
        model: the model, with no head masked.
        scores: scores of all heads, or a frame with layer, head, score; their descending order is
            the detected one (equal scores: lower layer and head first).
        probes: the probes whose answers are predicted, made with the model's tokenizer.
        texts: texts whose loss is measured, too; without texts there is no text_loss.
        influence: other scores, for one order more (for example `head_effects(...).scores`, the
            loss rise of each head masked alone).
        sizes: the numbers k of masked heads, at most half of all heads (default: 0 to a fifth of
            all heads in steps).
        draws: how many random orders, each over all heads that the largest detected set leaves
            over.
        mode: what a masked head does instead (see `masked`).
        max_tokens: how many tokens of each text are read (None: all).
        seed: seed of the random orders.
        on_points: is called with the rows that are measured so far, each time that there are more
            of them; None: nothing is called.

    Returns:
        One row a head set with order ("detected", "influence" or "random"), draw, heads (k),
        lookup_loss (mean nats a token of the probes' answers), accuracy (share of answer tokens
        that are the first choice, the true answer being fed), text_loss (mean nats a predicted
        token of `texts`; NaN without texts) and retention (accuracy divided by that without a mask;
        NaN if 0 is not among the sizes or the accuracy is 0 there).

    Raises:
        ValueError: sizes or draws outside their range, scores of another model, or probes of
            another tokenizer.
        TypeError: `texts` is a single text or holds anything else.
    """
    require_tokenizer(model, probes)
    require_fitting(model, HeadSet.top(scores, allow_ties=True), mode)
    require_texts(texts)
    every = model.head_count
    sizes = default_sizes(every) if sizes is None else sorted({int(k) for k in sizes})
    if not sizes or sizes[0] < 0 or 2 * sizes[-1] > every:
        raise ValueError(
            f"sizes must lie between 0 and {every // 2} (random sets come from the other half of "
            f"{every} heads), got {list(sizes)}"
        )
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    detected = heads_in(as_head_scores(scores).ranked())
    orders = [("detected", 0, detected)]
    if influence is not None:
        require_fitting(model, HeadSet.top(influence, allow_ties=True), mode)
        orders.append(("influence", 0, heads_in(as_head_scores(influence).ranked())))
    pool = HeadSet.of(detected[: sizes[-1]], model).complement().members
    for draw in range(draws):
        shuffled = np.random.default_rng([seed, draw]).permutation(len(pool))
        orders.append(("random", draw, [pool[i] for i in shuffled]))
    rows = [
        (name, draw, HeadSet.of(members[:k], model))
        for name, draw, members in orders
        for k in sizes
    ]
    measured: dict[HeadSet, tuple[float, float, float]] = {}  # no head masked is the same for all
    sets = list(dict.fromkeys(head_set for _, _, head_set in rows))
    ids = [ids[:max_tokens] for ids in model.encode_all(texts)]
    groups = [sets[i : i + SETS] for i in range(0, len(sets), SETS)]
    total = len(sets) * (len(probes) + len(ids))
    with progress_bar("masking more and more heads", "passes", total) as done:
        for group in groups:
            answers = []
            for probe in probes.items:
                answers.append(list(answered(model, probe, group, mode)))
                done(len(group))
            texts_lost = _text_losses(model, ids, group, mode)
            done(len(group) * len(ids))
            for head_set, (loss, accuracy), lost in zip(
                group, np.mean(answers, axis=0), texts_lost, strict=True
            ):
                measured[head_set] = (float(loss), float(accuracy), lost)
            if on_points is not None:
                on_points(_table(rows, measured))
    return _table(rows, measured)


def _table(
    rows: Sequence[tuple[str, int, HeadSet]], measured: Mapping[HeadSet, tuple[float, float, float]]
) -> pd.DataFrame:
    """Those of the rows (order, draw, head set) whose set is measured, with its numbers."""
    columns = ["order", "draw", "heads", "lookup_loss", "accuracy", "text_loss"]
    values = [
        (name, draw, len(head_set), *measured[head_set])
        for name, draw, head_set in rows
        if head_set in measured
    ]
    table = pd.DataFrame(values, columns=columns)
    whole = table.loc[table["heads"] == 0, "accuracy"].max()
    return table.assign(retention=table["accuracy"] / whole if whole > 0 else np.nan)


def default_sizes(total: int) -> list[int]:
    """Sizes from 0 and 1 to a fifth of all heads, up to nine, each larger by the same factor.

    Args:
        total: how many heads the model has.
    """
    last = max(1, total // 5)
    steps = np.geomspace(1, last, num=min(8, last)) if last > 1 else [1.0]
    return sorted({0, *(round(step) for step in steps)})


def _text_losses(
    model: Model, ids: Sequence[Sequence[int]], group: Sequence[HeadSet], mode: Mode
) -> list[float]:
    """Mean nats a predicted token over all texts, for each head set."""
    columns = list(losses_of_ids(model, ids, group, mode=mode))
    if not columns:
        return [float("nan")] * len(group)
    return [float(np.concatenate(column).mean()) for column in zip(*columns, strict=True)]
