"""Switch a transformers model over to the attention function of this package.

`install` proves, with one short pass, that every layer goes through transformers' attention
interface in a form that an override gets right. Whatever would be masked wrongly is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from workbench.attention import KERNELS, CannotMask, Site, discovered


def install(hf: PreTrainedModel) -> tuple[Site, ...]:
    """Route all attention of `hf` through `_attention`; return its layers' sites in order.

    Raises CannotMask, and leaves the model as it was, if some layer does not go through the
    interface (ALiBi models with code of their own, recurrent or hybrid layers), adds attention
    sinks or a position bias, or is not causal.
    """
    before = hf.config._attn_implementation
    if str(before).startswith("workbench_"):
        before = str(before).removeprefix("workbench_")
    if before not in KERNELS:
        raise CannotMask(
            f"attention implementation {before!r} cannot be overridden head by head; load the "
            f"model with attn_implementation set to one of {', '.join(map(repr, KERNELS))}"
        )
    try:
        hf.set_attn_implementation(f"workbench_{before}")
        calls = _discover(hf)
        _check_calls(hf, calls)
    except BaseException:
        hf.set_attn_implementation(before)
        raise
    return tuple(site for site, _ in sorted(calls, key=lambda call: call[0].layer))


def sample_ids(hf: PreTrainedModel) -> torch.Tensor:
    """Eight valid token ids, (1, 8): enough to see how a model computes."""
    return torch.arange(8, device=hf.device)[None] % vocabulary_size(hf)


def vocabulary_size(hf: PreTrainedModel) -> int:
    """How many tokens the model embeds."""
    weight = hf.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return len(weight)


def _discover(hf: PreTrainedModel) -> list[tuple[Site, str | None]]:
    token = discovered.set([])
    try:
        with torch.inference_mode():
            hf(input_ids=sample_ids(hf), use_cache=False)
        return list(discovered.get() or [])
    finally:
        discovered.reset(token)


def _check_calls(hf: PreTrainedModel, calls: list[tuple[Site, str | None]]) -> None:
    name = type(hf).__name__
    layers = hf.config.get_text_config().num_hidden_layers
    problems = sorted({problem for _, problem in calls if problem})
    if problems:
        raise CannotMask(f"{name} cannot be masked rightly: it uses {'; '.join(problems)}")
    if sorted(site.layer for site, _ in calls) != list(range(layers)):
        raise CannotMask(
            f"{name} sends {len(calls)} of its {layers} layers through transformers' attention "
            "interface; the others (recurrent layers, ALiBi or other attention with code of its "
            "own) cannot be masked. Models such as Llama, Mistral, Qwen, Gemma, GPT-2, GPT-NeoX, "
            "OLMo 2 and Phi can"
        )
    shapes = {(site.heads, site.kv_heads) for site, _ in calls}
    if len({heads for heads, _ in shapes}) > 1 or any(heads % kv for heads, kv in shapes):
        raise CannotMask(
            f"{name} has layers of different head counts (query heads, KV heads): {sorted(shapes)}"
        )


def decoder_layers(hf: PreTrainedModel, sites: Sequence[Site]) -> list[torch.nn.Module]:
    """The decoder layers, found as the one list of modules that holds each attention in order.

    Raises LookupError if there is no such list.
    """
    for module in hf.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == len(sites):
            pairs = zip(module, sites, strict=True)
            if all(any(m is site.module for m in layer.modules()) for layer, site in pairs):
                return list(module)
    raise LookupError("its decoder layers do not lie in one list")
