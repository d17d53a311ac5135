"""A text token by token: what each is, what it loses under a mask, what is predicted instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from workbench.masking.masks import masked, replacements
from workbench.masking.reference import windows
from workbench.masking.residual_cache import ResidualCache, can_resume
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model

CONTINUED = "\N{MIDLINE HORIZONTAL ELLIPSIS}"  # a token that holds only part of a character


@dataclass(frozen=True, eq=False)
class TokenChanges:
    """The losses of every token of a text under two head sets.

    Attributes:
        pieces: the text of each token (n of them, together the text read).
        ids: the token ids (n,).
        before: (n,) float32 nats under the set compared with, NaN where a token has no prediction
            (the first of a window without BOS).
        after: (n,) float32 nats under the set of interest, NaN as in `before`.
        left_out: tokens of the text not read.
    """

    pieces: tuple[str, ...]
    ids: tuple[int, ...]
    before: np.ndarray
    after: np.ndarray
    left_out: int = 0

    @property
    def change(self) -> np.ndarray:
        """The change of each loss, after - before, in nats a token.

        Positive where the token became harder to predict.
        """
        return self.after - self.before

    @property
    def rise(self) -> float:
        """Relative rise of the mean loss; NaN for a text without a prediction.

        The AttentionInfluence score when compared with no mask (equation 5 of arXiv 2505.07293).
        """
        before, after = (_mean(losses) for losses in (self.before, self.after))
        return (after - before) / before if before else float("nan")

    @property
    def means(self) -> tuple[float, float]:
        """Mean nats a predicted token before and after."""
        return _mean(self.before), _mean(self.after)

    def describe(self) -> str:
        """The relative rise and the means in words, what matters most first."""
        before, after = self.means
        if before != before:  # NaN
            return "nothing in this text is predicted"
        rise = f"{self.rise:+.0%}" if abs(self.rise) >= 0.005 else "no change"
        return f"{rise}: {before:.2f} → {after:.2f} nats a token"

    @property
    def colour_max(self) -> float:
        """End of the colour scale in nats, a step that holds 99 % of the tokens.

        The least of 1, 1.5, 2, 3, 4, 6, ...; in steps, so that the colours of two head sets are
        alike most of the time.
        """
        change = np.abs(self.change[np.isfinite(self.change)])
        top = float(np.quantile(change, 0.99, method="inverted_cdf")) if len(change) else 1.0
        step = max(0, int(np.floor(np.log2(max(top, 1e-9)))))
        return next(r for r in (2.0**step, 1.5 * 2**step, 2.0 ** (step + 1)) if r >= top)

    @property
    def reach(self) -> float:
        """The former name of `colour_max`."""
        return self.colour_max

    def table(self) -> pd.DataFrame:
        """The tokens as a frame.

        Returns:
            One row a token: token (index), text, before, after, change (nats).
        """
        columns = {"text": self.pieces, "before": self.before, "after": self.after}
        frame = pd.DataFrame({**columns, "change": self.change})
        frame.index.name = "token"
        return frame


class TokenPrediction(NamedTuple):
    """One of the most probable next tokens.

    Attributes:
        text: the token's text.
        probability: its probability, in [0, 1].
    """

    text: str
    probability: float


def pieces_of(model: Model, text: str, ids: Sequence[int]) -> tuple[str, ...]:
    """The part of a text that each of its tokens stands for.

    White space belongs to the token after it; a token that begins inside a character is CONTINUED.

    Args:
        model: the model whose tokenizer made the tokens.
        text: the text.
        ids: its tokens, `model.encode(text)` or their beginning.

    Returns:
        One piece a token.
    """
    if not model.tokenizer.is_fast:
        return tuple(str(model.tokenizer.decode([i])) for i in ids)
    encoded = model.tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, verbose=False,
        return_offsets_mapping=True,
    )  # fmt: skip
    # Some tokenizers leave the space before a word out of its span, so only the ends are used.
    ends = [stop for _, stop in encoded["offset_mapping"][: len(ids)]]
    if ends and len(ids) == len(encoded["input_ids"]):
        ends[-1] = len(text)
    starts = [0, *ends]
    return tuple(text[a:b] or CONTINUED for a, b in zip(starts, ends, strict=False))


def aligned(model: Model, ids: Sequence[int], losses: np.ndarray) -> np.ndarray:
    """Losses of the predicted tokens as one value a token.

    Args:
        model: the model that computed them.
        ids: token ids of the text, without special tokens.
        losses: nats of each predicted token, in order.

    Returns:
        Nats (len(ids),) float32, NaN without a prediction.
    """
    spread = np.full(len(ids), np.nan, np.float32)
    skipped = max(1 - len(model.bos_ids), 0)  # without BOS, the first of each window
    taken = place = 0
    for window in windows(model, ids):
        own = len(window) - len(model.bos_ids)
        count = max(own - skipped, 0)
        spread[place + own - count : place + own] = losses[taken : taken + count]
        taken, place = taken + count, place + own
    return spread


def guesses(
    model: Model,
    streams: ResidualCache,
    ids: Sequence[int],
    token: int,
    heads: HeadSet | None = None,
    mode: Mode = "uniform",
    count: int = 5,
) -> list[TokenPrediction]:
    """The most probable tokens in the place of one token of a text.

    Args:
        model: the model, with no head masked.
        streams: the cache of the model's residual streams.
        ids: token ids of the text, without special tokens.
        token: the index of the token in `ids`.
        heads: the head set to mask (None: no head masked).
        mode: what a masked head does instead (see `masked`).
        count: how many tokens are wanted.

    Returns:
        The tokens with their probabilities, the most probable first.

    Raises:
        ValueError: the token has no prediction.
    """
    prefix = len(model.bos_ids)
    start = 0
    for window in windows(model, ids):
        own = len(window) - prefix
        if start <= token < start + own and prefix + token - start > 0:
            return _guesses(model, streams, window, prefix + token - start - 1, heads, mode, count)
        start += own
    raise ValueError(
        f"token {token} has no prediction: give one of 0 to {len(ids) - 1} that does not begin a "
        "window"
    )


def _guesses(
    model: Model,
    streams: ResidualCache,
    window: list[int],
    position: int,
    heads: HeadSet | None,
    mode: Mode,
    count: int,
) -> list[TokenPrediction]:
    with torch.inference_mode():
        if model.head is not None and can_resume(model):
            hidden = streams.hidden(window, heads, mode)
            logits = model.head(hidden[position : position + 1])[0]
        else:
            row = torch.tensor([window], device=model.device)
            at = torch.tensor([position], device=model.device)
            means = replacements(model, mode, window) if heads else None
            with masked(model, heads, mode, means=means):
                logits = model.logits(row, at)[0]
        top = logits.float().softmax(dim=-1).topk(min(count, logits.shape[-1]))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return [TokenPrediction(str(model.tokenizer.decode([i])), value) for i, value in pairs]


def _mean(losses: np.ndarray) -> float:
    known = losses[np.isfinite(losses)]
    return float(known.mean(dtype="float64")) if len(known) else float("nan")
