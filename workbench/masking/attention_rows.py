"""Where heads look: the attention of some heads from one place in a text, under a mask or none.

Every other number of a token is about how it is *predicted*, which happens at the token before it.
So is a row: "predicted" is the row of the position that predicts the token, from which a head that
copies looks at the token's earlier copy. "read" is the row of the token's own position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
        mode: what a masked head does instead (see `masked`).
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

    def read(window: list[int]) -> HeadQueries:
        return head_queries(model, streams_of(model), window, heads, masked, mode)

    return row_of(model, ids, pieces, token, when, read)


@dataclass(frozen=True, eq=False)
class HeadQueries:
    """The queries and keys of some heads in one window of a text: any of their rows follows.

    Attributes:
        heads: the heads.
        masked: those of them that are masked in the pass.
        mode: what a masked head does instead.
        calls: the attention call of each layer with such heads, as if it had these heads alone,
            each with keys of its own, and without values and outputs.
    """

    heads: HeadSet
    masked: HeadSet
    mode: Mode
    calls: tuple[AttentionCall, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the queries and keys."""
        return sum(call.query.nbytes + call.key.nbytes for call in self.calls)

    def row(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the heads look from one position.

        Args:
            position: in the window, special prefix included.

        Returns:
            The weights (H, keys) float32, and what part an attention sink takes (H,).
        """
        masked = self.masked.by_layer()
        weights, sink = [], []
        for call, own in zip(self.calls, self.heads.by_layer().values(), strict=True):
            at = torch.tensor([position], device=call.query.device)
            here = attention_weights(call, at)[:, 0]
            hidden = [own.index(head) for head in masked.get(call.layer, ())]
            if hidden:
                uniform = self.mode == "uniform"
                here[hidden] = uniform_weights(call, at)[hidden, 0] if uniform else 0.0
            weights.append(here)
            # Without sinks a row sums to 1, and a head that looks at nothing has none either.
            taken = 0.0 if call.share is None else 1 - call.share[0, :, position].float()
            sink.append(here.any(dim=-1) * taken)
        return torch.cat(weights).cpu().numpy(), torch.cat(sink).float().cpu().numpy()


def head_queries(
    model: Model,
    streams: ResidualCache,
    window: Sequence[int],
    heads: HeadSet,
    masked: HeadSet | None = None,
    mode: Mode = "uniform",
) -> HeadQueries:
    """Read the queries and keys of some heads in one window, and see that their rows are right.

    Args:
        model: the model, with no head masked.
        streams: the cache of the model's residual streams.
        window: token ids with the special prefix.
        heads: the heads, at least one.
        masked: the head set to mask in the pass (None: no head masked).
        mode: what a masked head does instead (see `masked`).

    Returns:
        The queries and keys.

    Raises:
        TypeError: `heads` or `masked` is no HeadSet.
        ValueError: no head is given, heads do not fit the model, or the weights that follow from
            queries and keys do not give the layer's output.
    """
    require_fitting(model, heads, mode)
    require_fitting(model, masked, mode)
    if not heads:
        raise ValueError("no head is given: name at least one, HeadSet.parse('L17H3', model)")
    masked = masked if masked is not None else HeadSet.of([], model)
    by_layer, masked_by_layer = heads.by_layer(), masked.by_layer()
    calls: dict[int, AttentionCall] = {}

    def look(seen: AttentionCall) -> None:
        _require_reproduced(seen, masked_by_layer.get(seen.layer, ()))
        calls[seen.layer] = _of_heads(seen, by_layer[seen.layer])

    streams.watch(window, tuple(by_layer), look, masked, mode)
    return HeadQueries(heads, masked & heads, mode, tuple(calls[layer] for layer in by_layer))


def row_of(
    model: Model,
    ids: Sequence[int],
    pieces: tuple[str, ...],
    token: int,
    when: When,
    read: Callable[[list[int]], HeadQueries],
) -> AttentionRow:
    """The row of a token of a text that is encoded already.

    Args:
        model: the model.
        ids: token ids of the text, without special tokens.
        pieces: the text of each of them.
        token: as in `attention_row`.
        when: as in `attention_row`.
        read: gives the queries and keys of a window.

    Returns:
        What `attention_row` returns.

    Raises:
        ValueError: there is no such token, or none that is predicted under when="predicted".
    """
    if when not in get_args(When):
        raise ValueError(f"when must be one of {', '.join(get_args(When))}, got {when!r}")
    window, start, position = _place(model, ids, token, when)
    queries = read(window)
    weights, sink = queries.row(position)
    prefix = len(model.bos_ids)
    whole = np.zeros((len(weights), len(ids)), np.float32)
    whole[:, start : start + len(window) - prefix] = weights[:, prefix:]
    return AttentionRow(
        queries.heads.members, token, when, pieces, whole, weights[:, :prefix].sum(axis=1), sink,
        queries.masked.members,
    )  # fmt: skip


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


def _require_reproduced(seen: AttentionCall, masked: Sequence[int]) -> None:
    """Raise ValueError unless the weights of the last query give what the layer put out there.

    All heads but the masked ones are compared: a single one may put out hardly more than rounding.
    """
    heads, last = seen.query.shape[1], seen.query.shape[2] - 1
    free = [head for head in range(heads) if head not in masked]
    if not free:
        return
    weights = attention_weights(seen, torch.tensor([last], device=seen.query.device))[free, 0]
    value = seen.value[0].float().repeat_interleave(heads // seen.value.shape[1], dim=0)[free]
    off = deviation(torch.einsum("hk,hkd->hd", weights, value), seen.output[0, last, free])
    if off is not None:
        raise ValueError(
            f"the attention weights of layer {seen.layer} cannot be reproduced from its queries "
            f"and keys: with them the layer's output is missed by {off:.1%} of its largest entry"
        )


def _of_heads(seen: AttentionCall, heads: list[int]) -> AttentionCall:
    """A layer's call as if it had these heads alone, each with keys of its own; for their rows."""
    group = seen.query.shape[1] // seen.key.shape[1]
    visible = seen.visible
    if isinstance(visible, torch.Tensor) and visible.shape[1] > 1:
        visible = visible[:, heads]
    nothing = seen.value.new_empty(0)
    return replace(
        seen, query=seen.query[:1, heads], key=seen.key[:1, [head // group for head in heads]],
        value=nothing, output=nothing, visible=visible,
        share=None if seen.share is None else seen.share[:, heads],
    )  # fmt: skip
