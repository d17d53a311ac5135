"""Attention weights of some queries, computed anew from what a layer's kernel saw.

The fast kernels give no weights, and a whole T x T pattern of every head is never wanted. So
whoever watches a layer (`AttentionCall`) gets the rows of a few queries from their scores with all
keys.
"""

from __future__ import annotations

import torch

from workbench.models.attention_hook import AttentionCall

# Largest difference of what is made anew from what the kernel put out, as a share of the kernel's
# largest entry.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6, torch.float16: 2e-2, torch.bfloat16: 6e-2}


def attention_weights(seen: AttentionCall, rows: torch.Tensor) -> torch.Tensor:
    """The attention weights of some queries of batch row 0, of every head, masked or not.

    They are computed with the kernel's own scaling, soft cap and mask. Where the layer has
    attention sinks, a row sums to less than 1: the sink takes the rest.

    Args:
        seen: one attention call, as an observer gets it.
        rows: the positions of the queries, (R,).

    Returns:
        The weights (H, R, keys), float32; 0 for keys that a query may not see.
    """
    kv_heads, keys, size = seen.key.shape[1:]
    # In float32 at least: the softmax makes more of what rounding does to large scores.
    precise = torch.promote_types(seen.query.dtype, torch.float32)
    query = seen.query[0, :, rows].to(precise).reshape(kv_heads, -1, size)  # groups are neighbours
    scaling = seen.options.get("scaling")
    scores = (query @ seen.key[0].to(precise).transpose(1, 2)) * (scaling or size**-0.5)
    cap = seen.options.get("softcap")
    if cap is not None:
        scores = torch.tanh(scores / cap) * cap
    scores = scores.reshape(-1, len(rows), keys).masked_fill(hidden_keys(seen, rows), -torch.inf)
    return _without_sinks(seen, rows, scores.softmax(dim=-1).float())


def uniform_weights(seen: AttentionCall, rows: torch.Tensor) -> torch.Tensor:
    """The attention weights of a head under mode "uniform", in some queries of batch row 0.

    Args:
        seen: one attention call, as an observer gets it.
        rows: the positions of the queries, (R,).

    Returns:
        The weights (H, R, keys), float32: the same for every key that a query may see.
    """
    heads, keys = seen.query.shape[1], seen.key.shape[2]
    shown = (~hidden_keys(seen, rows)).float().expand(heads, len(rows), keys)
    return _without_sinks(seen, rows, shown / shown.sum(dim=-1, keepdim=True).clamp(min=1))


def _without_sinks(seen: AttentionCall, rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """What is left of weights that sum to 1 where an attention sink takes a part of each row."""
    return weights if seen.share is None else weights * seen.share[0][:, rows, None].float()


def deviation(made: torch.Tensor, output: torch.Tensor) -> float | None:
    """How far an output made anew misses the one that the kernel gave.

    Args:
        made: the output made anew.
        output: what the kernel put out, of the same shape.

    Returns:
        The largest difference as a share of the kernel's largest entry; None if that is no more
        than rounding explains in this dtype.
    """
    kernel = output.float()
    off, largest = (made - kernel).abs().max(), kernel.abs().max()
    if off <= TOLERANCE.get(output.dtype, 6e-2) * largest:
        return None
    return float(off / largest)


def hidden_keys(seen: AttentionCall, rows: torch.Tensor) -> torch.Tensor:
    """Which keys some queries of batch row 0 may not see.

    Args:
        seen: one attention call, as an observer gets it.
        rows: the positions of the queries, (R,).

    Returns:
        True for hidden keys; bool (1 or H, 1 or R, 1 or keys).
    """
    if isinstance(seen.visible, torch.Tensor):
        return ~seen.visible[0][:, rows]
    if seen.visible == "causal":
        keys = torch.arange(seen.key.shape[2], device=rows.device)
        return (keys > rows[:, None])[None]
    return torch.zeros(1, 1, 1, dtype=torch.bool, device=rows.device)
