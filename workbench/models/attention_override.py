"""What a masked head puts out instead: the arithmetic behind every mask, apart from any model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

# "mean" and "resample" may name their reference set, as in "mean:mine".
Mode = Literal["uniform", "zero", "mean", "resample"]
Visible = torch.Tensor | Literal["causal", "all"]
BLOCK = 1024  # queries whose equal shares are in memory at once: a float for each key they may see


class CannotMask(ValueError):
    """This model's attention cannot be masked head by head without getting it wrong."""


@dataclass(frozen=True)
class Override:
    """What replaces the output of some query heads of one layer.

    Attributes:
        heads: the query heads.
        mode: what they put out instead.
        means: the output of each under mode "mean", (len(heads), head size), and under "resample",
            (tokens, len(heads), head size).
        rows: the rows of the batch that it holds for (default: all).
    """

    heads: tuple[int, ...]
    mode: Mode
    means: torch.Tensor | None = None
    rows: slice = field(default_factory=lambda: slice(None))


def visible_keys(
    kernel_name: str,
    module: torch.nn.Module,
    query: torch.Tensor,
    attention_mask: torch.Tensor | None,
    kwargs: dict[str, Any],
) -> Visible:
    """Which keys each query may see.

    Mirrors how the kernels read their mask: no mask means causal for SDPA (when there is more than
    one query) and everything for eager.

    Args:
        kernel_name: the kernel, "sdpa" or "eager".
        module: the attention module.
        query: (B, H, Tq, D).
        attention_mask: the mask that the kernel gets, bool or to be added to the scores, or None.
        kwargs: the kernel's other arguments.

    Returns:
        "causal", "all", or a bool tensor (B, 1 or H, Tq, Tk), True where visible.

    Raises:
        CannotMask: the mask carries a bias instead of only "visible" and "hidden".
    """
    if attention_mask is None:
        causal = kwargs.get("is_causal")
        causal = getattr(module, "is_causal", True) if causal is None else causal
        return "causal" if kernel_name == "sdpa" and causal and query.shape[2] > 1 else "all"
    if attention_mask.dtype == torch.bool:
        return attention_mask
    visible = attention_mask == 0
    if not (visible | (attention_mask <= torch.finfo(attention_mask.dtype).min)).all():
        raise CannotMask(
            "the attention mask carries a bias (ALiBi or relative positions) instead of only "
            "'visible' and 'hidden'; uniform attention is not defined by it"
        )
    return visible


def uniform_output(value: torch.Tensor, kv_heads: list[int], visible: Visible) -> torch.Tensor:
    """What uniform attention puts out: the mean of the values that each query may see.

    Query i of a causal row spreads 1/(i+1) over the positions up to itself (the mask of arXiv
    2505.07293, see `workbench/METHOD.md`), so its output is a running mean; a query that sees
    nothing (padding) puts out 0. Sums are in float32.

    Args:
        value: (B, KV, Tk, D).
        kv_heads: the KV head behind each wanted query head.
        visible: as `visible_keys` gives it; a tensor must have one row a wanted head, or one for
            all.

    Returns:
        The outputs (B, len(kv_heads), Tq, D) in the dtype of `value`; Tq is 1 where all queries see
        the same.
    """
    # Sibling query heads share their values: sum each KV head once.
    unique = sorted(set(kv_heads))
    back = [unique.index(head) for head in kv_heads]
    chosen = value[:, unique].float()
    if isinstance(visible, str):
        if visible == "all":
            mean = chosen.mean(dim=2, keepdim=True)
        else:
            steps = torch.arange(1, chosen.shape[2] + 1, device=value.device)
            mean = chosen.cumsum(dim=2) / steps[:, None]
        return mean[:, back].to(value.dtype)
    if visible.shape[1] > 1:  # every head has a mask of its own
        return _mean_of_visible(chosen[:, back], visible).to(value.dtype)
    batch, heads, keys, size = chosen.shape
    # One mask for all heads: their values side by side are one wide head.
    side_by_side = chosen.transpose(1, 2).reshape(batch, 1, keys, heads * size)
    mean = _mean_of_visible(side_by_side, visible)
    mean = mean.view(batch, -1, heads, size).transpose(1, 2)
    return mean[:, back].to(value.dtype)


def _mean_of_visible(values: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Mean over the visible keys: values (B, H, Tk, D), visible (B or 1, H or 1, Tq, Tk).

    Shares are made for some queries at a time, over the keys that any of them sees, so that a long
    text takes memory in proportion to its length.
    """
    parts = []
    for part in visible.split(BLOCK, dim=2):
        keys = slice(None)
        if visible.shape[2] > BLOCK:
            seen = part.flatten(0, 2).any(dim=0).nonzero()
            keys = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1)
        shares = part[..., keys].float()
        shares /= shares.sum(dim=-1, keepdim=True).clamp(min=1)
        parts.append(shares @ values[:, :, keys])
    return torch.cat(parts, dim=2)


def override_output(
    override: Override,
    output: torch.Tensor,
    weights: torch.Tensor | None,
    value: torch.Tensor,
    visible: Visible,
    share: torch.Tensor | None = None,
) -> None:
    """Replace, in place, what the override's heads put out in its rows.

    Args:
        override: the heads, the rows, and what they put out instead.
        output: (B, Tq, H, D), the kernel's output; changed in place.
        weights: (B, H, Tq, Tk), the attention pattern where the kernel gives one; changed in place.
        value: (B, KV, Tk, D).
        visible: which keys each query may see, as `visible_keys` gives it.
        share: (B, H, Tq): what part of each row goes to tokens where an attention sink takes the
            rest, which uniform attention leaves to it (None: there are no sinks).
    """
    heads, rows = list(override.heads), override.rows
    output, value = output[rows], value[rows]
    queries, query_heads = output.shape[1], output.shape[2]
    if isinstance(visible, torch.Tensor):
        visible = visible[rows] if visible.shape[0] > 1 else visible
        visible = visible[:, heads] if visible.shape[1] > 1 else visible
    if override.mode == "uniform":
        if isinstance(visible, str) and visible == "causal":
            value = value[:, :, :queries]  # a static cache is longer than what was written so far
        group = query_heads // value.shape[1]
        mean = uniform_output(value, [head // group for head in heads], visible)
        if share is not None:
            mean = mean * share[rows][:, heads, :, None].to(mean.dtype)
        output[:, :, heads] = mean.transpose(1, 2).expand(-1, queries, -1, -1)
    elif override.mode == "zero":
        output[:, :, heads] = 0
    else:
        assert override.means is not None
        output[:, :, heads] = _at_positions(override.means, queries, value.shape[2]).to(output)
    if weights is not None:  # a caller who asks for attentions sees what the heads now do
        pattern = _uniform_pattern(visible, weights) if override.mode == "uniform" else 0.0
        if share is not None:
            pattern = pattern * share[rows][:, heads, :, None]
        weights[rows][:, heads] = pattern


def _at_positions(outputs: torch.Tensor, queries: int, keys: int) -> torch.Tensor:
    """Outputs for so many positions: the same at each, or those of a text, gone through again."""
    if outputs.dim() == 2:
        return outputs
    if keys > queries:
        raise CannotMask(
            "mode 'resample' puts in what heads give at the same places of another text, so a text "
            f"is read in one pass, without a cache; here {queries} tokens follow {keys - queries}"
        )
    at = torch.arange(queries, device=outputs.device)
    count = len(outputs)  # the first token, which many heads look at for want of another, once
    return outputs[torch.where(at < count, at, 1 + (at - 1) % max(count - 1, 1))]


def _uniform_pattern(visible: Visible, weights: torch.Tensor) -> torch.Tensor:
    if isinstance(visible, str):
        shown = torch.ones(weights.shape[-2:], dtype=torch.bool, device=weights.device)
        visible = (shown.tril() if visible == "causal" else shown)[None, None]
    return (visible / visible.sum(dim=-1, keepdim=True).clamp(min=1)).to(weights.dtype)
