"""Growing a model in depth: its layers stacked several times, to be trained on (G_stack)."""

from __future__ import annotations

import copy

import torch

from workbench.models.attention_hook import OURS
from workbench.models.install import decoder_layers
from workbench.models.model import Model, from_transformers


def grown(model: Model, times: int = 4) -> Model:
    """Stack the layers of a model: layer i of the new one is layer i modulo l of the old.

    G_stack of Du and others (arXiv 2405.15319): a small model is trained for some tokens, stacked,
    and trained on (`pretrain(start=)`), which reaches a loss in fewer operations than training the
    large one from scratch does. `LAWS["g_stack"]` says for how many tokens; the source advises to
    grow 4 times.

    Args:
        model: the small model.
        times: how often its layers are stacked.

    Returns:
        A new model with as many times the layers, whose other weights are those of the small one.

    Raises:
        ValueError: `times` is below 1, or the layers are not in one list with numbered weights.
    """
    if not isinstance(times, int) or times < 1:
        raise ValueError(f"times is a whole number from 1, got {times!r:.50}")
    hf, blocks = model.hf, list(decoder_layers(model.hf, model.sites))
    holders = [
        name
        for name, module in hf.named_modules()
        if isinstance(module, torch.nn.ModuleList) and list(module) == blocks
    ]
    if len(holders) != 1:
        raise ValueError(f"{type(hf).__name__} does not keep its layers in one list")
    prefix, layers = f"{holders[0]}.", len(blocks)
    config = copy.deepcopy(hf.config)
    text = config.get_text_config()
    text.num_hidden_layers = layers * times
    if getattr(text, "layer_types", None) is not None:
        text.layer_types = list(text.layer_types) * times
    kernel = str(hf.config._attn_implementation).removeprefix(OURS)
    large = type(hf)._from_config(config, attn_implementation=kernel, dtype=model.dtype)
    old = hf.state_dict()
    with torch.no_grad():
        for name, weight in large.state_dict().items():
            source = name
            if name.startswith(prefix):
                number, rest = name.removeprefix(prefix).split(".", 1)
                source = f"{prefix}{int(number) % layers}.{rest}"
            weight.copy_(old[source])
    made = from_transformers(
        large.to(model.device), model.tokenizer, source=f"{model.source}, stacked {times} times",
        context=model.context,
    )  # fmt: skip
    made.simulate = model.simulate  # the weights are those, rounded as they were
    return made
