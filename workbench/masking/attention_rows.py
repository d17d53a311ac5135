"""Where heads look: the attention of some heads from one place in a text, under a mask or none.

Every other number of a token is about how it is *predicted*, which happens at the token before it.
So is a row: "predicted" is the row of the position that predicts the token, from which a head that
copies looks at the token's earlier copy. "read" is the row of the token's own position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch

from workbench.masking.masks import require_fitting
from workbench.masking.reference import windows
from workbench.masking.residual_cache import ResidualCache, streams_of
from workbench.masking.token_changes import pieces_of
from workbench.models.attention_hook import AttentionCall, Mode
from workbench.models.attention_weights import attention_weights, deviation, uniform_weights
from workbench.models.heads import Head, HeadSet
from workbench.models.model import Model

When = Literal["predicted", "read"]


@dataclass(frozen=True, eq=False)
class AttentionRow:
    """The attention weights of some heads (H of them) from one place in a text of n tokens.

    Attributes:
        heads: the heads.
        token: the number of the token that the row belongs to.
        when: whether the row is that of the position where the token is "predicted" (the one before
            it) or "read" (its own).
        pieces: the text of each token (n).
        weights: (H, n) float32, what part of each head's attention goes to each token; 0 for those
            that the position does not see.
        bos: (H,) float32, what part goes to the special tokens in front of the window, which are no
            part of the text.
        sink: (H,) float32, what part the attention sink of the layer takes; 0 where it has none.
        masked: the heads among these that are masked in this pass. Under mode "uniform" their
            weights are the same for all that they may see; under "zero" and "mean" they look at
            nothing, and all their weights are 0.
    """

    heads: tuple[Head, ...]
    token: int
    when: When
    pieces: tuple[str, ...]
    weights: np.ndarray
    bos: np.ndarray
    sink: np.ndarray
    masked: tuple[Head, ...] = ()

    @property
    def mean(self) -> np.ndarray:
        """The weights of each token (n,), mean over the heads."""
        return self.weights.mean(axis=0)

    def top(self, count: int = 3) -> list[tuple[int, float]]:
        """The tokens that the heads look at most.

        Args:
            count: how many at most.

        Returns:
            Token numbers with their weights (mean over the heads), the largest first; none of
            weight 0.
        """
        mean = self.mean
        order = np.argsort(-mean, kind="stable")[:count]
        return [(int(i), float(mean[i])) for i in order if mean[i] > 0]

    def describe(self, count: int = 3) -> str:
        """Where the heads look, in words.

        Args:
            count: how many tokens are named, at most.
        """
        one = len(self.heads) == 1
        who = f"{self.heads[0]} looks" if one else f"{len(self.heads)} heads, on average, look"
        parts = [
            f"{self.pieces[i]!r} {weight:.2f} (token {i})"
            for i, weight in self.top(count)
            if weight >= 0.005  # else it would be said to be 0.00
        ]
        for name, share in (("BOS", self.bos), ("the attention sink", self.sink)):
            if share.mean() >= 0.005:
                parts.append(f"{name} {share.mean():.2f}")
        how = f"when token {self.token} is {self.when}"
        masked = f" ({len(self.masked)} of {len(self.heads)} masked)" if self.masked else ""
        return f"{who} at: {', '.join(parts) or 'nothing'}, {how}{masked}"

    def table(self) -> pd.DataFrame:
        """The weights as a frame.

        Returns:
            One row a token: token (index), text, and one column a head, named after it.
        """
        columns = {str(head): row for head, row in zip(self.heads, self.weights, strict=True)}
        frame = pd.DataFrame({"text": self.pieces, **columns})
        frame.index.name = "token"
        return frame


def attention_row(
    model: Model,
    text: str | Sequence[int],
    heads: HeadSet,
    token: int,
    *,
    masked: HeadSet | None = None,
    mode: Mode = "uniform",
    when: When = "predicted",
) -> AttentionRow:
    """Where heads look from one token of a text.

    The model runs with `masked` masked, so the row of a head above a masked one is what that head
    does then. A text longer than the model's context is read in windows, as everywhere: a token
    looks at those of its own window alone.

    Args:
        model: the model, with no head masked.
        text: the text, or its token ids without special tokens.
        heads: the heads whose attention is wanted, at least one.
        token: the index of the token in the text's tokens.
        masked: the head set to mask in the pass (None: no head masked).
        mode: what a masked head does instead, "uniform", "zero" or "mean" (see `masked`).
        when: "predicted" for the row of the position before the token, which predicts it; "read"
            for that of the token itself.

    Returns:
        The weights of each head on each token of the text.

    Raises:
        TypeError: `heads` or `masked` is no HeadSet.
        ValueError: there is no such token, it has no prediction under when="predicted", no head is
            given, heads do not fit the model, or the weights cannot be reproduced.
    """
    if isinstance(text, str):
        ids: Sequence[int] = model.encode(text)
        pieces = pieces_of(model, text, ids)
    else:
        ids = list(text)
        pieces = tuple(str(model.tokenizer.decode([i])) for i in ids)
    return row_of(model, streams_of(model), ids, pieces, heads, token, masked, mode, when)


def row_of(
    model: Model,
    streams: ResidualCache,
    ids: Sequence[int],
    pieces: tuple[str, ...],
    heads: HeadSet,
    token: int,
    masked: HeadSet | None = None,
    mode: Mode = "uniform",
    when: When = "predicted",
) -> AttentionRow:
    """`attention_row` of a text that is encoded already.

    Args:
        model: the model, with no head masked.
        streams: the cache of the model's residual streams.
        ids: token ids of the text, without special tokens.
        pieces: the text of each of them.
        heads: as in `attention_row`.
        token: as in `attention_row`.
        masked: as in `attention_row`.
        mode: as in `attention_row`.
        when: as in `attention_row`.

    Returns:
        What `attention_row` returns.

    Raises:
        TypeError: as in `attention_row`.
        ValueError: as in `attention_row`.
    """
    if when not in get_args(When):
        raise ValueError(f"when must be one of {', '.join(get_args(When))}, got {when!r}")
    require_fitting(model, heads, mode)
    require_fitting(model, masked, mode)
    if not heads:
        raise ValueError("no head is given: name at least one, HeadSet.parse('L17H3', model)")
    window, start, row = _place(model, ids, token, when)
    whole = np.zeros((len(heads), len(ids)), np.float32)
    bos, sink = np.zeros((2, len(heads)), np.float32)
    prefix = len(model.bos_ids)
    inside = whole[:, start : start + len(window) - prefix]
    by_layer, masked_by_layer = heads.by_layer(), masked.by_layer() if masked else {}
    first = {layer: heads.members.index((layer, own[0])) for layer, own in by_layer.items()}

    def look(seen: AttentionCall) -> None:
        own = by_layer[seen.layer]
        weights = _weights(seen, row, own, masked_by_layer.get(seen.layer, ()), mode).cpu().numpy()
        at = slice(first[seen.layer], first[seen.layer] + len(own))
        bos[at] = weights[:, :prefix].sum(axis=1)
        inside[at] = weights[:, prefix:]
        if seen.share is not None:
            looks = weights.any(axis=1)  # what is masked with "zero" or "mean" does not
            sink[at] = looks * (1 - seen.share[0, own, row].float().cpu().numpy())

    streams.watch(window, tuple(by_layer), look, masked, mode)
    off = (masked & heads).members if masked else ()
    return AttentionRow(heads.members, token, when, pieces, whole, bos, sink, off)


def _place(model: Model, ids: Sequence[int], token: int, when: When) -> tuple[list[int], int, int]:
    """The window of a token, the number of the window's first token, and the row in the window."""
    prefix = len(model.bos_ids)
    start = 0
    for window in windows(model, ids):
        own = len(window) - prefix
        row = prefix + token - start - (when == "predicted")
        if start <= token < start + own and row >= 0:
            return window, start, row
        start += own
    reason = (
        " that does not begin a window, or when='read' for the row of the token itself"
        if when == "predicted"
        else ""
    )
    raise ValueError(
        f"no head looks from token {token} when it is {when}: give one of 0 to {len(ids) - 1}"
        f"{reason}"
    )


def _weights(
    seen: AttentionCall, row: int, heads: Sequence[int], masked: Sequence[int], mode: Mode
) -> torch.Tensor:
    """The weights of some heads of one layer in which some are masked, (len(heads), keys)."""
    at = torch.tensor([row], device=seen.query.device)
    weights = attention_weights(seen, at)[:, 0]
    free = [head for head in range(len(weights)) if head not in masked]
    if free:  # of the whole layer: a single head may put out next to nothing but rounding
        value = seen.value[0].float().repeat_interleave(len(weights) // seen.value.shape[1], dim=0)
        made = torch.einsum("hk,hkd->hd", weights[free], value[free])
        off = deviation(made, seen.output[0, row, free])
        if off is not None:
            raise ValueError(
                f"the attention weights of layer {seen.layer} cannot be reproduced from its "
                f"queries and keys: with them the layer's output is missed by {off:.1%} of its "
                "largest entry"
            )
    hidden = [head for head in heads if head in masked]
    if hidden:
        weights[hidden] = uniform_weights(seen, at)[hidden, 0] if mode == "uniform" else 0.0
    return weights[list(heads)]
