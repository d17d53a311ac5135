"""Switch a transformers model over to the attention function of this package, and back.

`install` proves, with one short pass, that every layer with softmax attention goes through
transformers' attention interface in a form that an override gets right. Whatever would be masked
wrongly is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from transformers import PreTrainedModel

from workbench.models.attention_hook import KERNELS, OURS, AttentionLayer, Call, discovered
from workbench.models.attention_override import CannotMask

_BEFORE = "workbench_before"  # on the model


@dataclass(frozen=True)
class _Before:
    """How a model was when it came.

    implementations: attention implementation by configuration; training: the modules that were in
    training mode.
    """

    implementations: tuple[tuple[Any, str | None], ...]
    training: tuple[torch.nn.Module, ...]


def install(hf: PreTrainedModel) -> tuple[AttentionLayer, ...]:
    """Route all attention of a model through this package's function, in eval mode.

    Layers without attention heads of their own (recurrent, convolutional: hybrid models) have no
    site. `uninstall` takes the model back to how it came.

    Args:
        hf: the transformers model; changed in place.

    Returns:
        The attention layers, in layer order.

    Raises:
        CannotMask: some attention layer does not go through the interface (ALiBi models with code
            of their own), adds a position bias, has sinks whose share the kernel does not give, or
            is not causal. The model is then as it was.
    """
    before = hf.config._attn_implementation
    kernel = str(before).removeprefix(OURS)
    if kernel not in KERNELS:
        raise CannotMask(
            f"attention implementation {before!r} cannot be overridden head by head; load the "
            f"model with attn_implementation set to one of {', '.join(map(repr, KERNELS))}"
        )
    if _BEFORE not in hf.__dict__:  # else it is wrapped already: it came as it came then
        hf.__dict__[_BEFORE] = _Before(
            tuple((config, config._attn_implementation) for config in _configs(hf)),
            tuple(module for module in hf.modules() if module.training),
        )
    try:
        hf.eval()
        hf.set_attn_implementation(OURS + kernel)
        return _sites(hf, _discover(hf))
    except BaseException:
        uninstall(hf)
        raise


def require_one_device(hf: PreTrainedModel) -> None:
    """Require that all weights of a model lie on one device, as far as its `device_map` says.

    Args:
        hf: the transformers model.

    Raises:
        ValueError: it was spread over several devices, or some of it lies on disk or nowhere.
    """
    given = getattr(hf, "hf_device_map", None) or {}
    places = {f"cuda:{at}" if isinstance(at, int) else str(at) for at in given.values()}
    if len(places) > 1 or places & {"disk", "meta"}:
        raise ValueError(
            f"the device_map of this {type(hf).__name__} has parts of it on "
            f"{', '.join(sorted(places))}; expected a model that lies whole on one device. Load it "
            "without device_map, or with device_map={'': 0} for the first card, and with "
            "dtype='bfloat16' where it would not fit otherwise: memory_needed(folder) and "
            "`workbench plan` say what it takes"
        )


def inside_adapters(hf: Any) -> PreTrainedModel:
    """The transformers model that a PEFT model wraps, adapters in place.

    Args:
        hf: a transformers model, which is returned as it is, or a PEFT model.

    Raises:
        TypeError: `hf` is neither, or its adapter puts learned vectors before every text.
    """
    if isinstance(hf, PreTrainedModel):
        return hf
    name = type(hf).__name__
    if not hasattr(hf, "get_base_model"):
        raise TypeError(
            f"hf must be a transformers model, got {name}: load one with "
            "AutoModelForCausalLM.from_pretrained(...), or use load_model(folder)"
        )
    if getattr(hf.active_peft_config, "is_prompt_learning", False):
        raise TypeError(
            f"{name} puts learned vectors before every text (prompt learning), which are no part "
            "of the model inside: only adapters that change layers (LoRA and its like) can be "
            "used here"
        )
    return hf.get_base_model()


def uninstall(hf: PreTrainedModel) -> None:
    """Put back the attention implementation and the training mode that a model came with.

    Args:
        hf: the transformers model; one that `install` did not change stays as it is.
    """
    before: _Before | None = hf.__dict__.pop(_BEFORE, None)
    if before is None:
        return
    for config, implementation in before.implementations:  # outer ones first: they set inner ones
        config._attn_implementation = implementation
    for module in before.training:
        module.training = True


def _configs(hf: PreTrainedModel) -> list[Any]:
    """The configurations of `hf` and of its parts, the outer ones first."""
    configs: list[Any] = []
    queue: list[Any] = [
        module.config for module in hf.modules() if isinstance(module, PreTrainedModel)
    ]
    while queue:
        config = queue.pop(0)
        if config is not None and not any(config is known for known in configs):
            configs.append(config)
            queue += [getattr(config, name, None) for name in config.sub_configs]
    return configs


def sample_ids(hf: PreTrainedModel) -> torch.Tensor:
    """Eight valid token ids, (1, 8): enough to see how a model computes.

    Args:
        hf: the transformers model.
    """
    return torch.arange(8, device=hf.device)[None] % vocabulary_size(hf)


def vocabulary_size(hf: PreTrainedModel) -> int:
    """How many tokens the model embeds.

    Args:
        hf: the transformers model.
    """
    weight = hf.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return len(weight)


def _discover(hf: PreTrainedModel) -> list[Call]:
    token = discovered.set([])
    try:
        with torch.inference_mode():
            hf(input_ids=sample_ids(hf), use_cache=False)
        return list(discovered.get() or [])
    finally:
        discovered.reset(token)


def _sites(hf: PreTrainedModel, calls: list[Call]) -> tuple[AttentionLayer, ...]:
    """The sites of a model's attention calls, in layer order; CannotMask for what is not right."""
    name = type(hf).__name__
    problems = sorted({call.problem for call in calls if call.problem})
    if problems:
        raise CannotMask(f"{name} cannot be masked rightly: it uses {'; '.join(problems)}")
    expected = _layers_with_heads(hf)
    if not calls or sorted(int(call.layer or 0) for call in calls) != expected:
        raise CannotMask(
            f"{name} sends {len(calls)} of its {len(expected)} layers with attention through "
            "transformers' attention interface; the others (recurrent layers, ALiBi or other "
            "attention with code of its own) cannot be masked. Models such as Llama, Mistral, "
            "Qwen, Gemma, GPT-2, GPT-NeoX, OLMo 2 and Phi can"
        )
    shapes = {(call.heads, call.kv_heads) for call in calls}
    if len({heads for heads, _ in shapes}) > 1 or any(heads % kv for heads, kv in shapes):
        raise CannotMask(
            f"{name} has layers of different head counts (query heads, KV heads): {sorted(shapes)}"
        )
    decoder = _decoder(hf, [call.module for call in calls])
    sites = [
        AttentionLayer(
            call.module, decoder, int(call.layer or 0), call.heads, call.kv_heads, call.head_size
        )
        for call in calls
    ]
    return tuple(sorted(sites, key=lambda site: site.layer))


def layer_count(hf: PreTrainedModel) -> int:
    """How many decoder layers the model has, with attention or without.

    Args:
        hf: the transformers model.
    """
    return int(hf.config.get_text_config().num_hidden_layers)


def _layers_with_heads(hf: PreTrainedModel) -> list[int]:
    """The layers that have attention heads, as the configuration tells of hybrid models."""
    kinds = getattr(hf.config.get_text_config(), "layer_types", None)
    every = range(layer_count(hf))
    if not kinds or len(kinds) < len(every):
        return list(every)
    # "hybrid" has both side by side; what is called linear attention is a recurrence.
    return [
        layer
        for layer in every
        if kinds[layer] == "hybrid"
        or ("attention" in kinds[layer] and kinds[layer] != "linear_attention")
    ]


def is_recurrent(hf: PreTrainedModel) -> bool:
    """Whether something besides attention takes part of a text on to the next token.

    The bounds of packed texts would not stop it.

    Args:
        hf: the transformers model.
    """
    return bool(hf._is_stateful) or len(_layers_with_heads(hf)) < layer_count(hf)


def _decoder(hf: PreTrainedModel, modules: Sequence[torch.nn.Module]) -> torch.nn.Module:
    """The module that runs all decoder layers: ids in, final hidden states out.

    The innermost one around all attention modules that is no part of the list of layers. A model's
    own `base_model` is not always that: some call its parts themselves (OPT), some have none.
    """
    names = {module: name for name, module in hf.named_modules()}
    paths = [names[module].split(".") for module in modules]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    path = [parts[0] for parts in shared]
    for end in range(len(path), 0, -1):
        if isinstance(hf.get_submodule(".".join(path[:end])), torch.nn.ModuleList):
            path = path[: end - 1]
            break
    return hf.get_submodule(".".join(path))


def decoder_layers(hf: PreTrainedModel, sites: Sequence[AttentionLayer]) -> list[torch.nn.Module]:
    """The decoder layers, found as the one list of modules that holds each attention in its place.

    Args:
        hf: the transformers model.
        sites: its attention layers, from `install`.

    Raises:
        LookupError: there is no such list.
    """
    for module in hf.modules():
        if not isinstance(module, torch.nn.ModuleList) or len(module) != layer_count(hf):
            continue
        if all(any(m is site.module for m in module[site.layer].modules()) for site in sites):
            return list(module)
    raise LookupError("its decoder layers do not lie in one list")
