"""Which heads an action masks: a line of the grid, those of highest score, a random control."""

from __future__ import annotations

from workbench.models.geometry import HasGeometry
from workbench.models.head_scores import HeadScores
from workbench.models.heads import HeadSet


def toggled(masked: HeadSet, line: HeadSet) -> HeadSet:
    """All heads of a line masked, or none of them if all are masked now.

    Args:
        masked: the masked heads.
        line: the heads of a layer, or of one number in every layer.

    Returns:
        The heads to mask.
    """
    return masked - line if len(line & masked) == len(line) else masked | line


def highest(scores: HeadScores, count: int, allow_ties: bool = False) -> HeadSet:
    """The heads of highest score, counted.

    Args:
        scores: of all heads.
        count: how many heads.
        allow_ties: as in `HeadSet.top`: what happens if the next head has the same score.

    Returns:
        The heads, none for a count of 0.

    Raises:
        ValueError: `count` is out of range, or heads tie at the cut.
    """
    total = len(scores)
    if not 0 <= count < total:
        raise ValueError(f"count must lie between 0 and {total - 1}, got {count}")
    if count == 0:
        return HeadSet.of([], scores.geometry)
    return HeadSet.top(scores, count / total, allow_ties=allow_ties)


def control_for(heads: HeadSet, model: HasGeometry, seed: int) -> HeadSet:
    """As many heads drawn at random from the others.

    Args:
        heads: what the control is for.
        model: that they belong to.
        seed: of the draw.

    Returns:
        The control.

    Raises:
        ValueError: there is no head to draw a control for.
    """
    if not heads:
        raise ValueError("no head is masked, so there is nothing to draw a control for")
    return HeadSet.random(model, exclude=heads, seed=seed)
