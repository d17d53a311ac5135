"""The slow, plain way to the same numbers, written apart from the package.

Masking: the stock eager kernel is run for its attention weights; those of the masked heads are
replaced by equal shares over what the mask lets them see; values are weighted again, every query
head with its own copy of the values. Losses: whole logits, log-softmax, one position at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def uniform_heads(hf: torch.nn.Module, heads: list[tuple[int, int]]) -> Iterator[None]:
    """Replace the eager kernel of `hf`'s modeling file while the block lasts."""
    assert hf.config._attn_implementation == "eager"
    modeling = sys.modules[type(hf).__module__]
    stock = modeling.eager_attention_forward

    def eager(module, query, key, value, attention_mask, **kwargs):
        _, weights = stock(module, query, key, value, attention_mask, **kwargs)
        weights = weights.clone()
        for head in [h for layer, h in heads if layer == module.layer_idx]:
            for b in range(weights.shape[0]):
                for i in range(weights.shape[2]):
                    shown = attention_mask[b % attention_mask.shape[0], 0, i] == 0
                    tokens = weights[b, head, i].sum()  # less than 1 where a sink takes a part
                    weights[b, head, i] = shown.float() / max(int(shown.sum()), 1) * tokens
        copies = value.repeat_interleave(query.shape[1] // value.shape[1], dim=1)
        return (weights @ copies).transpose(1, 2).contiguous(), weights

    modeling.eager_attention_forward = eager
    try:
        yield
    finally:
        modeling.eager_attention_forward = stock


@contextmanager
def replaced_heads(hf: torch.nn.Module, outputs: dict[tuple[int, int], torch.Tensor]):
    """Put outputs {(layer, head): (positions, size)} in the place of what these heads give out.

    A text that is longer than they are has them again from the second one on.
    """
    assert hf.config._attn_implementation == "eager"
    modeling = sys.modules[type(hf).__module__]
    stock = modeling.eager_attention_forward

    def eager(module, *args, **kwargs):
        output, weights = stock(module, *args, **kwargs)
        output = output.clone()
        for (layer, head), rows in outputs.items():
            if layer != module.layer_idx:
                continue
            for i in range(output.shape[1]):
                at = i
                while at >= len(rows):
                    at -= len(rows) - 1
                output[:, i, head] = rows[at]
        return output, weights

    modeling.eager_attention_forward = eager
    try:
        yield
    finally:
        modeling.eager_attention_forward = stock


def head_outputs(hf: torch.nn.Module, ids: list[int]) -> dict[tuple[int, int], torch.Tensor]:
    """What each head gives out at each position of a text: {(layer, head): (positions, size)}."""
    modeling = sys.modules[type(hf).__module__]
    stock, kept = modeling.eager_attention_forward, {}

    def eager(module, *args, **kwargs):
        output, weights = stock(module, *args, **kwargs)
        for head in range(output.shape[2]):
            kept[module.layer_idx, head] = output[0, :, head].clone()
        return output, weights

    modeling.eager_attention_forward = eager
    try:
        losses(hf, ids)
    finally:
        modeling.eager_attention_forward = stock
    return kept


def losses(hf: torch.nn.Module, ids: list[int]) -> list[float]:
    """-log p(ids[t+1] | ids[..t]) for every t, in nats."""
    with torch.no_grad():
        logits = hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()
    table = torch.log_softmax(logits, dim=-1)
    return [-float(table[t, ids[t + 1]]) for t in range(len(ids) - 1)]
