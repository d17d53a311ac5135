"""The one attention function that this package hands to transformers, and what it can change.

`transformers` lets a function be registered under a name (`AttentionInterface`); every decoder that
uses the interface then calls it with the per-head queries, keys and values, after rotary embedding,
and with the attention module itself. Ours calls the stock kernel and then, where a layer carries an
`Override`, replaces what the masked query heads put out. Where a layer carries an `Observer`, it
shows the observer what the kernel saw. There is no code for any single architecture, and a layer
that carries neither gets the stock kernel's result untouched.

`install` switches a model over and proves, with one short pass, that every layer goes through the
interface in a form that the override gets right. Whatever would be masked wrongly is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

Mode = Literal["uniform", "zero", "mean"]
KERNELS = ("sdpa", "eager")


class CannotMask(ValueError):
    """This model's attention cannot be masked head by head without getting it wrong."""


@dataclass(frozen=True)
class Override:
    """What replaces the output of some query heads of one layer.

    heads: the query heads; mode: what they put out instead; means: (len(heads), head size), the
    output of each under mode "mean".
    """

    heads: tuple[int, ...]
    mode: Mode
    means: torch.Tensor | None = None


@dataclass(frozen=True)
class Seen:
    """What one attention call saw and gave, as an observer gets it.

    query (B, H, Tq, D); key and value (B, KV, Tk, D), not repeated over the group; visible: see
    `visible_keys`; output (B, Tq, H, D).
    """

    layer: int
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    visible: torch.Tensor | Literal["causal", "all"]
    output: torch.Tensor


Observer = Callable[[Seen], None]


@dataclass(frozen=True)
class Site:
    """One decoder layer's attention, as the install pass found it."""

    module: torch.nn.Module
    layer: int
    heads: int
    kv_heads: int
    head_size: int  # of the values, hence of what a head puts out


_discovered: ContextVar[list[tuple[Site, str | None]] | None] = ContextVar(
    "discovered", default=None
)


# ---- the function -----------------------------------------------------------------------------


def _attention(
    kernel_name: str,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    output, weights = _kernel(kernel_name, module)(
        module, query, key, value, attention_mask, **kwargs
    )
    found = _discovered.get()
    if found is not None:
        found.append(_site(module, query, value, attention_mask, kwargs))
    override: Override | None = module.__dict__.get("workbench_override")
    observer: Observer | None = module.__dict__.get("workbench_observer")
    if override is None and observer is None:
        return output, weights
    visible = visible_keys(kernel_name, module, query, attention_mask, kwargs)
    if override is not None:
        output, weights = _overridden(override, output, weights, value, visible)
    if observer is not None:
        observer(Seen(int(module.layer_idx), query, key, value, visible, output))  # type: ignore[arg-type]
    return output, weights


for _name in KERNELS:
    AttentionInterface.register(f"workbench_{_name}", partial(_attention, _name))
    # Without its mask function under the same name the model would get no mask at all, and some
    # would then see the future.
    AttentionMaskInterface.register(f"workbench_{_name}", ALL_MASK_ATTENTION_FUNCTIONS[_name])


def _kernel(name: str, module: torch.nn.Module) -> Callable[..., Any]:
    """The stock kernel. The eager one lives beside the module's class, as transformers has it."""
    if name != "eager":
        return ALL_ATTENTION_FUNCTIONS[name]
    for cls in type(module).__mro__:
        eager = getattr(sys.modules.get(cls.__module__), "eager_attention_forward", None)
        if eager is not None:
            return eager
    raise CannotMask(f"no eager attention kernel is defined beside {type(module).__name__}")


def visible_keys(
    kernel_name: str,
    module: torch.nn.Module,
    query: torch.Tensor,
    attention_mask: torch.Tensor | None,
    kwargs: dict[str, Any],
) -> torch.Tensor | Literal["causal", "all"]:
    """Which keys each query may see: "causal", "all", or a bool tensor (B, 1 or H, Tq, Tk).

    Mirrors how the kernels read their mask: no mask means causal for SDPA (when there is more than
    one query) and everything for eager.
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


def uniform_output(
    value: torch.Tensor, kv_heads: list[int], visible: torch.Tensor | Literal["causal", "all"]
) -> torch.Tensor:
    """What uniform attention puts out: the mean of the values that each query may see.

    value (B, KV, Tk, D) and the KV head behind each wanted query head -> (B, len, Tq, D). Query i
    of a causal row spreads 1/(i+1) (METHOD section 2), so its output is a running mean; a query
    that sees nothing (padding) puts out 0. Sums are in float32. `visible` as in `visible_keys`; a
    tensor must have one row a wanted head, or one for all.
    """
    # Sibling query heads share their values: sum each KV head once.
    unique = sorted(set(kv_heads))
    back = [unique.index(one) for one in kv_heads]
    chosen = value[:, unique].float()
    if isinstance(visible, str):
        if visible == "all":
            mean = chosen.mean(dim=2, keepdim=True)
        else:
            steps = torch.arange(1, chosen.shape[2] + 1, device=value.device)
            mean = chosen.cumsum(dim=2) / steps[:, None]
        return mean[:, back].to(value.dtype)
    weights = visible.float()
    weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1)
    return (weights @ chosen[:, back]).to(value.dtype)


def _overridden(
    override: Override,
    output: torch.Tensor,
    weights: torch.Tensor | None,
    value: torch.Tensor,
    visible: torch.Tensor | Literal["causal", "all"],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    heads = list(override.heads)
    queries, query_heads = output.shape[1], output.shape[2]
    if torch.is_grad_enabled():  # autograd must not see its saved tensors change
        output = output.clone()
        weights = None if weights is None else weights.clone()
    if override.mode == "uniform":
        if isinstance(visible, torch.Tensor):
            visible = visible[:, heads] if visible.shape[1] > 1 else visible
        elif visible == "causal":
            value = value[:, :, :queries]  # a static cache is longer than what was written so far
        group = query_heads // value.shape[1]
        mean = uniform_output(value, [head // group for head in heads], visible)
        output[:, :, heads] = mean.transpose(1, 2).expand(-1, queries, -1, -1)
    elif override.mode == "zero":
        output[:, :, heads] = 0
    else:
        assert override.means is not None
        output[:, :, heads] = override.means.to(output)
    if weights is not None:  # a caller who asks for attentions sees what the heads now do
        pattern: torch.Tensor | float = 0.0
        if override.mode == "uniform":
            pattern = _uniform_pattern(visible, weights)
        weights[:, heads] = pattern
    return output, weights


def _uniform_pattern(
    visible: torch.Tensor | Literal["causal", "all"], weights: torch.Tensor
) -> torch.Tensor:
    if isinstance(visible, str):
        shown = torch.ones(weights.shape[-2:], dtype=torch.bool, device=weights.device)
        visible = (shown.tril() if visible == "causal" else shown)[None, None]
    return (visible / visible.sum(dim=-1, keepdim=True).clamp(min=1)).to(weights.dtype)


# ---- carrying overrides and observers ---------------------------------------------------------


@contextmanager
def carrying(
    sites: tuple[Site, ...],
    overrides: dict[int, Override] | None = None,
    observer: Observer | None = None,
) -> Iterator[None]:
    """Let the layers carry `overrides` (by layer) and the observer; take them away at the end.

    Taken away on every way out, so an error or an interrupt leaves the stock model behind.
    """
    try:
        for site in sites:
            if overrides and site.layer in overrides:
                site.module.__dict__["workbench_override"] = overrides[site.layer]
            if observer is not None:
                site.module.__dict__["workbench_observer"] = observer
        yield
    finally:
        for site in sites:
            if overrides:
                site.module.__dict__.pop("workbench_override", None)
            if observer is not None:
                site.module.__dict__.pop("workbench_observer", None)


def is_overridden(sites: tuple[Site, ...]) -> bool:
    """Whether any layer carries an override at this moment."""
    return any("workbench_override" in site.module.__dict__ for site in sites)


# ---- switching a model over -------------------------------------------------------------------


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
    token = _discovered.set([])
    try:
        with torch.inference_mode():
            hf(input_ids=sample_ids(hf), use_cache=False)
        return list(_discovered.get() or [])
    finally:
        _discovered.reset(token)


def _site(
    module: torch.nn.Module,
    query: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    kwargs: dict[str, Any],
) -> tuple[Site, str | None]:
    """The site of one call, and what about it the override would get wrong (None: nothing)."""
    problem = None
    if kwargs.get("s_aux") is not None:
        problem = "attention sinks (part of each row goes to no token)"
    elif kwargs.get("position_bias") is not None:
        problem = "a position bias added to the attention scores"
    elif getattr(module, "is_causal", True) is False:
        problem = "attention that is not causal"
    elif attention_mask is not None and attention_mask.dim() != 4:
        problem = f"an attention mask with {attention_mask.dim()} dimensions instead of 4"
    layer = getattr(module, "layer_idx", None)
    if layer is None:
        problem = problem or "attention modules that do not know their layer"
    site = Site(module, -1 if layer is None else int(layer), query.shape[1], *_kv(value))
    return site, problem


def _kv(value: torch.Tensor) -> tuple[int, int]:
    return value.shape[1], value.shape[3]


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
