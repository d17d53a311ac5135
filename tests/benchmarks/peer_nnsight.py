"""nnsight: the masked heads' part of what enters the output projection becomes a running mean.

This is its fastest exact way: the stock SDPA kernel stays on, and no pattern is ever made.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import torch
from nnsight import NNsight

from benchmarks.contestants import load_hf

if TYPE_CHECKING:
    from benchmarks.contestants import Heads, Logits, Spec


def logits_of(spec: Spec) -> Logits:
    hf = load_hf(spec, "sdpa")
    traced = NNsight(hf)
    kv_heads = hf.config.num_key_value_heads
    group = hf.config.num_attention_heads // kv_heads

    def passed(ids: torch.Tensor, heads: Heads | None) -> torch.Tensor:
        pairs = groupby(sorted(heads or []), key=lambda pair: pair[0])
        layers = {layer: [head for _, head in some] for layer, some in pairs}
        length = ids.shape[1]
        steps = torch.arange(1, length + 1)[:, None, None]
        with torch.inference_mode(), traced.trace(input_ids=ids, use_cache=False):
            for layer, inside in layers.items():
                attention = traced.model.layers[layer].self_attn
                values = attention.v_proj.output.view(1, length, kv_heads, -1)
                mean = values.cumsum(dim=1) / steps
                heads_out = attention.o_proj.input.view(1, length, kv_heads * group, -1).clone()
                heads_out[:, :, inside] = mean[:, :, [head // group for head in inside]]
                attention.o_proj.input = heads_out.view(1, length, -1)
            logits = traced.output.logits.save()
        return logits

    return passed
