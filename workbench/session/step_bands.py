"""The steps of a text as bands of its tokens, each with its influence: what a text view shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from workbench.core.text import counted
from workbench.masking.token_changes import CONTINUED, TokenChanges
from workbench.scoring.step_scores import Steps, split_steps, step_of_tokens, steps_of


class StepBand(NamedTuple):
    """A step of a text, as far as its tokens are shown.

    Attributes:
        step: its number, from 0; a step in which no token ends has no band.
        first: number of its first token.
        last: number of the token behind its last one.
        tokens: how many of them are predicted.
        change: what masking costs it, nats, summed.
        rise: that over its loss without; NaN where it has none.
    """

    step: int
    first: int
    last: int
    tokens: int
    change: float
    rise: float


def bands_of(changes: TokenChanges, by: Steps = "blank line") -> list[StepBand]:
    """Cut the tokens that are shown into the steps of their text.

    Args:
        changes: the tokens with their losses.
        by: as in `split_steps`.

    Returns:
        The bands in order. Together they hold every token once, and their changes are those of
        `Session.steps` and `step_influence`.

    Raises:
        ValueError: there is no such way to cut, or the pieces of the function are not the text.
    """
    steps = split_steps("".join(piece for piece in changes.pieces if piece != CONTINUED), by)
    if not steps:
        return []
    table = steps_of(changes.pieces, changes.before, changes.after, steps)
    places = step_of_tokens(changes.pieces, steps)
    numbers, first, count = np.unique(places, return_index=True, return_counts=True)
    return [
        StepBand(step, start, start + size, row["tokens"], row["change"], row["rise"])
        for step, start, size, row in zip(
            numbers.tolist(), first.tolist(), count.tolist(),
            table.iloc[numbers].to_dict("records"), strict=True,
        )
    ]  # fmt: skip


def in_words(band: StepBand, steps: int) -> str:
    """What a band says of its step.

    Args:
        band: the band.
        steps: the number of the last step of the text, from 1.

    Returns:
        Such as "step 2 of 5: +1.24 nats over 12 tokens (+31 %)".
    """
    name = f"step {band.step + 1} of {steps}"
    if not band.tokens:
        return f"{name}: no token of it is predicted"
    share = "" if np.isnan(band.rise) else f" ({100 * band.rise:+.0f} %)"
    return f"{name}: {band.change:+.2f} nats over {counted(band.tokens, 'token')}{share}".replace(
        "-", "\u2212"
    )
