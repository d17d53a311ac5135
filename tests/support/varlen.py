"""A plain computation with the signature of `torch.nn.attention.varlen.varlen_attn`, in float32.

The kernel itself runs on CUDA alone. This one stands in for it, so that everything around it can be
tested on the CPU; it also refuses what the kernel would refuse or, worse, would get wrong.
"""

from __future__ import annotations

import math

import pytest
import torch

from workbench.models.packing import one_call


def varlen_reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    return_aux: None = None,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
    seqused_k: None = None,
    block_table: None = None,
    num_splits: int | None = None,
) -> torch.Tensor:
    """Attention (T, H, D) of texts end to end: each with a whole matrix of scores of its own."""
    assert return_aux is None
    assert seqused_k is None
    assert block_table is None
    for bounds, states, longest in ((cu_seq_q, query, max_q), (cu_seq_k, key, max_k)):
        sizes = bounds.diff()
        assert bounds.dtype == torch.int32
        assert (int(bounds[0]), int(bounds[-1]), int(sizes.max())) == (0, len(states), longest)
        assert (sizes > 0).all()
    assert len(key) == len(value)
    assert all(states.stride(-1) == 1 for states in (query, key, value))
    heads, kv_heads = query.shape[1], key.shape[1]
    assert heads % kv_heads == 0
    assert enable_gqa or heads == kv_heads
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    left, right = window_size
    parts = []
    for start, stop in zip(cu_seq_q[:-1].tolist(), cu_seq_q[1:].tolist(), strict=True):
        q = query[start:stop].float().transpose(0, 1)
        k, v = (
            states[start:stop].float().transpose(0, 1).repeat_interleave(heads // kv_heads, dim=0)
            for states in (key, value)
        )
        behind = torch.arange(stop - start)[:, None] - torch.arange(stop - start)[None]
        hidden = torch.zeros_like(behind, dtype=torch.bool)
        if left >= 0:
            hidden |= behind > left
        if right >= 0:
            hidden |= -behind > right
        scores = (q @ k.transpose(1, 2) * scale).masked_fill(hidden, -torch.inf)
        parts.append((scores.softmax(dim=-1) @ v).transpose(0, 1))
    return torch.cat(parts).to(query.dtype)


def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """From now on packed attention takes one call a layer on the CPU too, with the reference.

    Returns the window of every call.
    """
    windows: list[tuple[int, int]] = []

    def counted(*args: object, **kwargs: object) -> torch.Tensor:
        windows.append(kwargs["window_size"])
        return varlen_reference(*args, **kwargs)

    monkeypatch.setattr(one_call, "varlen_kernel", lambda query: counted)
    monkeypatch.setattr(one_call, "HEAD_SIZES", range(1, 257))  # those of the small models
    return windows
