"""The built-in scores of a document beyond the paper's, as functions of its token losses.

Each is defined once, here, and is a column of the score table; all come from the same passes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from workbench.scoring.columns.novelty import first_occurrences, novel_tokens

FORMED = ("contrast", "rise_controls", "spread_controls", "excess", "excess_relative")
_NO_CONTROLS = "no control sets were masked for the document"
# Why a built-in column may be missing for a document, in words.
WHY_MISSING = {
    "score_novel": "no novel token, or their base loss is 0",
    "contrast": "no retrievable token, or no token that comes for the first time",
    "rise_controls": _NO_CONTROLS,
    "spread_controls": "fewer than two control sets were masked for the document",
    "excess": _NO_CONTROLS,
    "excess_relative": _NO_CONTROLS,
}


class TokenLosses(NamedTuple):
    """What a column is computed of: the predicted tokens of a document, one entry each.

    The first token of a window without BOS has no prediction and is in none of the arrays but
    `ids`, of which `predicted` says which tokens the others hold.

    Attributes:
        ids: the tokens that were read, without special ones, (tokens,) of int.
        predicted: whether each of `ids` has a prediction, (tokens,) of bool.
        windows: the window or passage that each of `ids` was read in, (tokens,) of int.
        base: nats of each predicted token under the model as it is, (predicted,) of float32.
        masked: those with the heads masked.
        controls: those with each control set masked, (sets, predicted); no rows without controls.
    """

    ids: np.ndarray
    predicted: np.ndarray
    windows: np.ndarray
    base: np.ndarray
    masked: np.ndarray
    controls: np.ndarray

    @property
    def ids_by_window(self) -> np.ndarray:
        """The tokens, numbered so that no two of different windows are equal, (tokens,) of int.

        Nothing can be fetched from another window: the model does not see it.
        """
        return self.ids + self.windows * (self.ids.max(initial=0) + 1)


def contrast(losses: TokenLosses) -> float | None:
    """Mean rise on retrievable tokens less that on tokens that come for the first time.

    A token is retrievable if it came before, but never after the same token. What has not come
    before cannot be fetched, so its rise is the damage that masking does anyway. "Before" is in the
    same window or passage, since the model sees no other.

    Args:
        losses: of the document.

    Returns:
        Nats; None without a token of either kind.
    """
    rise = losses.masked.astype("float64") - losses.base
    ids = losses.ids_by_window
    first = first_occurrences(ids)
    retrievable = ~first & novel_tokens(ids)
    first, retrievable = first[losses.predicted], retrievable[losses.predicted]
    if not (first.any() and retrievable.any()):
        return None
    return float(rise[retrievable].mean() - rise[first].mean())


def formed(losses: TokenLosses) -> dict[str, float | None]:
    """The built-in columns that this module defines, for one document.

    Args:
        losses: of the document, which has a predicted token and a base loss above 0.

    Returns:
        A value for each of FORMED; None where it cannot be formed.
    """
    base, masked = (float(x.mean(dtype="float64")) for x in (losses.base, losses.masked))
    values: dict[str, float | None] = dict.fromkeys(FORMED)
    values["contrast"] = contrast(losses)
    if len(losses.controls):
        rises = losses.controls.mean(axis=1, dtype="float64") - base
        values["rise_controls"] = float(rises.mean())
        if len(rises) > 1:
            values["spread_controls"] = float(rises.std(ddof=1))
        values["excess"] = excess = masked - base - float(rises.mean())
        values["excess_relative"] = excess / base
    return values
