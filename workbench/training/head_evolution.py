"""How retrieval heads come up in training: scores of every head along checkpoints.

This is the paper's Figure 2.

Checkpoints are whatever `load_model` reads: folders that `pretrain` wrote, or revisions of a model
on a hub. The same probes are put to all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.core.progress import track
from workbench.detection.probes import Probes, make_probes
from workbench.detection.retrieval import lookup_losses, retrieval_scores
from workbench.loading.load import load_model
from workbench.models.heads import cut_size
from workbench.models.model import Model


@dataclass(frozen=True)
class Evolution:
    """Scores of every head along the checkpoints of a training.

    Attributes:
        scores: one row a checkpoint and head: step, layer, head, score.
        course: one row a checkpoint: step, answer_loss (nats a token), answer_accuracy, final_heads
            (mean score, at that step, of the heads that score highest at the last one) and
            other_heads (of all others).
        final: how many heads of the last checkpoint are the final heads.
    """

    scores: pd.DataFrame
    course: pd.DataFrame
    final: int

    @property
    def appears(self) -> float:
        """The step at which the final heads reach half of their last score.

        Read off between checkpoints; the first one's step if they are there already, NaN if the
        last score is 0.
        """
        steps, scores = (self.course[name].to_numpy(float) for name in ("step", "final_heads"))
        if scores[0] >= scores[-1] / 2 > 0:
            return float(steps[0])
        return crossing(steps, scores, scores[-1] / 2) if scores[-1] > 0 else float("nan")

    @property
    def bends(self) -> float:
        """The step at which the answer loss is half way down from its first value to its last."""
        steps, loss = (self.course[name].to_numpy(float) for name in ("step", "answer_loss"))
        return crossing(steps, loss, (loss[0] + loss[-1]) / 2)

    def stays(self) -> pd.DataFrame:
        """How far each checkpoint has the heads of the last one.

        Returns:
            One row a checkpoint: step, spearman (of its scores with the last ones; NaN if all are
            equal) and shared (the share of the final heads that are among as many highest heads
            there; heads that tie with the next one are not).
        """
        wide = self.scores.pivot(index="step", columns=["layer", "head"], values="score")
        final = wide.iloc[-1]
        top = set(final.nlargest(self.final).index)
        rows = []
        for step, scores in wide.iterrows():
            rank = float(scores.corr(final, method="spearman")) if scores.nunique() > 1 else np.nan
            above = set(scores[scores > scores.nlargest(self.final + 1).iloc[-1]].index)
            rows.append((step, rank, len(top & above) / self.final))
        return pd.DataFrame(rows, columns=["step", "spearman", "shared"])


def evolution(
    checkpoints: Mapping[int, str | Path | Model],
    probes: Probes | Callable[[Model], Probes] | None = None,
    *,
    fraction: float = 0.05,
    revision_of: str | None = None,
) -> Evolution:
    """Retrieval scores and answers of every checkpoint on the same probes (the paper's Figure 2).

    Models are loaded one after the other and let go. Only the last is certified: in a model that
    has learnt nothing yet a mask changes next to nothing.

    Args:
        checkpoints: step (or tokens) to folder, hub id or model; with `revision_of` step to
            revision.
        probes: what to ask, or what makes it of the first model; None: 16 of the usual lookups.
        fraction: which share of the last checkpoint's heads are the final heads.
        revision_of: the hub id whose revisions the checkpoints are; None: they are no revisions.

    Returns:
        The scores and the answers along the checkpoints.

    Raises:
        ValueError: there are fewer than two checkpoints, they differ in shape or tokenizer, or too
            few heads of the last one score above 0.
    """
    if len(checkpoints) < 2:
        raise ValueError(f"evolution needs two checkpoints or more, got {len(checkpoints)}")
    steps = sorted(checkpoints)
    frames, course, shape = [], [], None
    for step in track(steps, "reading checkpoints", "checkpoint"):
        model = _loaded(checkpoints[step], revision_of, certify=step == steps[-1])
        shape = shape or (model.num_layers, model.num_heads)
        if shape != (model.num_layers, model.num_heads):
            raise ValueError(
                f"checkpoint {step} has {model.num_layers} x {model.num_heads} heads, the first "
                f"{shape[0]} x {shape[1]}: give checkpoints of one training"
            )
        if not isinstance(probes, Probes):
            probes = probes(model) if probes else make_probes(model, n=16, max_tokens=640)
        frame = retrieval_scores(model, probes, bootstrap=1).frame[["layer", "head", "score"]]
        frame.insert(0, "step", step)
        frames.append(frame)
        answers = lookup_losses(model, probes)
        course.append((step, answers["loss"].mean(), answers["accuracy"].mean()))
    scores = pd.concat(frames, ignore_index=True)
    size = cut_size(fraction, len(frames[-1]))
    final = frames[-1]["score"].nlargest(size).index
    if not frames[-1]["score"][final].min() > 0:
        raise ValueError(
            f"fewer than {size} heads of the last checkpoint score above 0: give a smaller "
            "fraction, or a later checkpoint"
        )
    table = pd.DataFrame(course, columns=["step", "answer_loss", "answer_accuracy"])
    table["final_heads"] = [frame["score"][final].mean() for frame in frames]
    table["other_heads"] = [frame["score"].drop(final).mean() for frame in frames]
    return Evolution(scores, table, size)


def crossing(steps: np.ndarray, values: np.ndarray, level: float) -> float:
    """The first step at which values reach a level from either side, linear between points.

    Args:
        steps: ascending, shape (points,).
        values: one a step, shape (points,).
        level: in the unit of the values.

    Returns:
        The step; NaN if the level is not reached.
    """
    side = np.sign(values - level)
    if side[0] == 0:
        return float(steps[0])
    over = np.flatnonzero(side != side[0])
    if not len(over):
        return float("nan")
    at = int(over[0])
    share = (level - values[at - 1]) / (values[at] - values[at - 1])
    return float(steps[at - 1] + share * (steps[at] - steps[at - 1]))


def _loaded(source: str | Path | Model, revision_of: str | None, certify: bool) -> Model:
    if isinstance(source, Model):
        return source
    if revision_of is not None:
        return load_model(revision_of, revision=str(source), certify=certify)
    return load_model(source, certify=certify)
