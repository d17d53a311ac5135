"""Columns of scores that were tried: functions of a document's token losses.

Each takes the tokens, (T,), and the losses in nats of the predicted ones, (T - 1,), unmasked, with
the detected heads masked, and with random sets of as many heads masked, (sets, T - 1). It gives a
number, higher is chosen first, or None where the document does not have it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Column = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float | None]

LONGEST = 5  # tokens of context; what matches further is verbatim repetition
LEAST, MOST = 0.5, 1.5  # nats: a token that masking costs less is not fetched, more is as good
NEAR = 0.02  # what a fetch counts against, so that one from nearer than that counts below 0


def raw(ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray) -> float:
    """The paper's score (arXiv 2505.07293, equation 5)."""
    return float((masked.mean() - base.mean()) / base.mean())


def low_base_loss(
    ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray
) -> float:
    """How well the model foretells the document as it is."""
    return -float(base.mean())


def nats(ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray) -> float:
    """The rise of the loss, in nats a token."""
    return float((masked - base).mean())


def novel(
    ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray
) -> float | None:
    """The paper's score over tokens whose bigram did not come before."""
    new = earlier_matches(ids)[0][1:] < 1
    return raw(ids, base[new], masked[new], controls) if new.any() else None


def random_heads(
    ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray
) -> float | None:
    """The paper's score of the random sets, their mean."""
    return raw(ids, base, controls.mean(axis=0), controls) if len(controls) else None


def excess(
    ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray
) -> float | None:
    """The rise above that of the random sets, in nats a token."""
    return float((masked - controls.mean(axis=0)).mean()) if len(controls) else None


def contrast(
    ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray
) -> float | None:
    """Rise on tokens that came before in another context, less that on tokens that never did."""
    matched, rise = earlier_matches(ids)[0][1:], masked - base
    fetchable, never = matched == 0, matched < 0
    if not fetchable.any() or not never.any():
        return None
    return float(rise[fetchable].mean() - rise[never].mean())


def fetched(ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray) -> float:
    """How much of the document is fetched from afar.

    A token counts if masking costs it half a nat or more, in full from 1.5 nats on; by how far back
    it last came in that context, as a share of the document, less .02. That share is 0 where it
    never came, and where more than five tokens before it came, too, for that is verbatim
    repetition.
    """
    taken = np.clip(masked - base - LEAST, 0, MOST - LEAST)
    return float((taken * (_far(ids) - NEAR)).mean())


def far_tokens(
    ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray
) -> float:
    """What `fetched` is without a model: how much of the document came before, far back."""
    return float(_far(ids).mean())


def fetched_at_random(
    ids: np.ndarray, base: np.ndarray, masked: np.ndarray, controls: np.ndarray
) -> float | None:
    """`fetched` with the random sets in the place of the detected heads, their mean."""
    if not len(controls):
        return None
    return float(np.mean([fetched(ids, base, control, controls) for control in controls]))


COLUMNS: dict[str, Column] = {
    "raw": raw, "low base loss": low_base_loss, "nats": nats, "novel": novel,
    "random heads": random_heads, "excess": excess, "contrast": contrast, "fetched": fetched,
    "far tokens, no model": far_tokens, "fetched, random heads": fetched_at_random,
}  # fmt: skip


def earlier_matches(ids: np.ndarray, most: int = LONGEST + 1) -> tuple[np.ndarray, np.ndarray]:
    """The longest earlier match of every token with its context.

    Args:
        ids: tokens, (T,).
        most: tokens of context that are compared.

    Returns:
        How many tokens right before it stood earlier with it behind them, (T,), at most `most`, -1
        if the token itself never came before; and how many tokens back that last was, (T,), 0 if
        never.
    """
    kinds, tokens = np.unique(np.asarray(ids), return_inverse=True)
    matched, back = np.full(len(tokens), -1), np.zeros(len(tokens), dtype=int)
    runs = tokens
    for length in range(min(most + 1, len(tokens))):
        # runs[i] numbers the tokens from i to i + length.
        order = np.argsort(runs, kind="stable")
        same = runs[order][1:] == runs[order][:-1]
        later = order[1:][same]
        matched[later + length], back[later + length] = length, later - order[:-1][same]
        runs = np.unique(runs[:-1] * len(kinds) + tokens[length + 1 :], return_inverse=True)[1]
    return matched, back


def _far(ids: np.ndarray) -> np.ndarray:
    """How far back each predicted token last came, as a share of the document, (T - 1,)."""
    matched, back = earlier_matches(ids)
    return np.where(matched <= LONGEST, back / len(back), 0.0)[1:]
