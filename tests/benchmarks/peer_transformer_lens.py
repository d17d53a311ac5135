"""TransformerLens: the pattern of the masked heads is replaced where its hook shows it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from transformer_lens.model_bridge import TransformerBridge

if TYPE_CHECKING:
    from benchmarks.contestants import Heads, Logits, Spec


def logits_of(spec: Spec) -> Logits:
    bridge = TransformerBridge.boot_transformers(spec["model"], dtype=torch.float32, device="cpu")

    def passed(ids: torch.Tensor, heads: Heads | None) -> torch.Tensor:
        with torch.inference_mode():
            hooks = _hooks(heads, ids.shape[1]) if heads else []
            return bridge.run_with_hooks(ids, return_type="logits", fwd_hooks=hooks)

    return passed


def _hooks(heads: Heads, length: int) -> list[tuple[str, Callable[..., torch.Tensor]]]:
    steps = torch.arange(1, length + 1, dtype=torch.float32)
    uniform = torch.ones(length, length).tril() / steps[:, None]

    def hook_for(inside: list[int]) -> Callable[..., torch.Tensor]:
        def replace(pattern: torch.Tensor, hook: Any) -> torch.Tensor:
            pattern[:, inside] = uniform
            return pattern

        return replace

    layers = groupby(sorted(heads), key=lambda pair: pair[0])
    return [
        (f"blocks.{layer}.attn.hook_pattern", hook_for([head for _, head in pairs]))
        for layer, pairs in layers
    ]
