"""Attention of all packed texts in one call a layer, where the layer and the device allow it.

A row of a hundred texts would take a hundred small launches a layer. `varlen_attn` of torch takes
the bounds of the texts and computes all of them: on CUDA, in half precision, causal, with grouped
queries and with a sliding window. Everything else (soft caps, attention sinks, chunks, kernels of
the model's own, other devices) goes text by text; `one_call` is where that is decided.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from workbench.models.attention_override import Override, Visible, override_output
from workbench.models.packing.sequences import PackedSequences

Varlen = Callable[..., Any]
HEAD_SIZES = range(8, 257, 8)  # those that the kernels behind `varlen_attn` take


class OneCall(NamedTuple):
    """How a layer's packed texts are computed at once.

    Attributes:
        kernel: `torch.nn.attention.varlen.varlen_attn`, or what has its signature.
        window: keys before the query that it sees, and behind it, as the kernel takes them: (-1, 0)
            causal, (W - 1, 0) a sliding window of W with the query itself.
    """

    kernel: Varlen
    window: tuple[int, int]


def one_call(
    packed: PackedSequences,
    kernel_name: str,
    query: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    options: Mapping[str, Any],
) -> OneCall | None:
    """Whether a layer computes its packed texts in one call; None: text by text.

    Args:
        packed: the texts of the row.
        kernel_name: the kernel that the model was loaded with; a user who asked for "eager" gets
            it.
        query: (B, H, T, D).
        value: (B, KV, T, D).
        mask: what the layer got as the mask of the row.
        options: the kernel's other arguments.
    """
    kernel = varlen_kernel(query)
    if kernel is None or kernel_name != "sdpa" or not packed.alike:
        return None
    if any(options.get(name) is not None for name in ("softcap", "s_aux", "position_bias")):
        return None
    if query.shape[-1] != value.shape[-1] or query.shape[-1] not in HEAD_SIZES:
        return None
    if mask is None:
        return OneCall(kernel, (-1, 0))
    local = packed.local(mask)
    # A chunk is local too, but only a layer with a sliding window tells its attention so.
    if local is not None and local == options.get("sliding_window"):
        return OneCall(kernel, (local - 1, 0))
    return None


def varlen_kernel(query: torch.Tensor) -> Varlen | None:
    """The kernel of torch for texts of many lengths, where it runs.

    Args:
        query: the queries: their device and dtype decide.

    Returns:
        `varlen_attn`; None without CUDA, on cards before compute capability 8.0, in float32, or
        where torch has none with grouped queries and windows.
    """
    if query.device.type != "cuda" or query.dtype not in (torch.float16, torch.bfloat16):
        return None
    return _varlen_attn() if torch.cuda.get_device_capability(query.device) >= (8, 0) else None


@lru_cache(maxsize=1)
def _varlen_attn() -> Varlen | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn if {"scale", "window_size", "enable_gqa"} <= known.keys() else None


def attend_at_once(
    call: OneCall,
    packed: PackedSequences,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float | None,
) -> torch.Tensor:
    """What attention puts out for all texts of all rows.

    Args:
        call: as `one_call` chose it.
        packed: the texts of each row.
        query: (B, H, T, D).
        key: (B, KV, T, D).
        value: (B, KV, T, D).
        scale: of the scores (None: 1 / sqrt(D)).

    Returns:
        The outputs (B, T, H, D).
    """
    rows, heads, tokens, _ = query.shape
    bounds, longest = packed.cumulative(rows, query.device)
    flat = [states.transpose(1, 2).flatten(0, 1) for states in (query, key, value)]
    output = call.kernel(
        *flat, bounds, bounds, longest, longest,
        scale=scale, window_size=call.window, enable_gqa=heads != key.shape[1],
    )  # fmt: skip
    return output.view(rows, tokens, heads, -1)


def override_at_once(
    packed: PackedSequences,
    override: Override,
    output: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
) -> None:
    """Replace, in place, what the override's heads put out in all texts of its rows.

    Text by text it is `override_output`, and so it is here for every mode that is not named.

    Args:
        packed: the texts of each row.
        override: the heads, the rows, and what they put out instead.
        output: (B, T, H, D), the kernel's output; changed in place.
        value: (B, KV, T, D).
        mask: what the layer got as the mask of the row.
    """
    rows, device = output[override.rows], output.device
    heads = packed.index(override.heads, device)
    if override.mode == "zero":
        rows.index_fill_(2, heads, 0)
    elif override.mode == "mean":
        assert override.means is not None
        means = override.means.to(output)  # it is there already, see `overrides_on`
        rows.index_copy_(2, heads, means.expand(*rows.shape[:2], -1, -1))
    elif override.mode == "uniform" and all(part is None for part in packed.masks(mask)):
        group = output.shape[2] // value.shape[1]
        behind = [head // group for head in override.heads]
        # Sibling query heads share their values: each KV head is summed once.
        unique = sorted(set(behind))
        chosen = value[override.rows].index_select(1, packed.index(unique, device))
        means = packed.running_means(chosen.transpose(1, 2).flatten(2).float())
        means = means.unflatten(2, (len(unique), -1))
        back = packed.index([unique.index(head) for head in behind], device)
        rows.index_copy_(2, heads, means.index_select(2, back).to(output.dtype))
    else:
        for text, part in zip(packed.slices, packed.masks(mask), strict=True):
            visible: Visible = "causal" if part is None else part
            override_output(override, output[:, text], None, value[:, :, text], visible)
