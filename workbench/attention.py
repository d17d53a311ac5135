"""The one attention function that this package hands to transformers, and what it can change.

`transformers` lets a function be registered under a name (`AttentionInterface`); every decoder that
uses the interface then calls it with the per-head queries, keys and values, after rotary embedding,
and with the attention module itself. Ours calls the stock kernel and then, where a layer carries an
`Override`, replaces what the masked query heads put out. Where a layer carries an `Observer`, it
shows the observer what the kernel saw. A `Planted` pattern gives the kernel other queries and keys:
a head of known behaviour, to try out detection on. There is no code for any single architecture,
and a layer that carries none of these gets the stock kernel's result untouched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from workbench.progress import stop_if_asked

Mode = Literal["uniform", "zero", "mean"]
KERNELS = ("sdpa", "eager")
SLOTS = (  # on attention modules
    "workbench_overrides", "workbench_observer", "workbench_spans", "workbench_planted"
)  # fmt: skip


class CannotMask(ValueError):
    """This model's attention cannot be masked head by head without getting it wrong."""


@dataclass(frozen=True)
class Override:
    """What replaces the output of some query heads of one layer.

    heads: the query heads; mode: what they put out instead; means: (len(heads), head size), the
    output of each under mode "mean"; rows: the rows of the batch that it holds for.
    """

    heads: tuple[int, ...]
    mode: Mode
    means: torch.Tensor | None = None
    rows: slice = field(default_factory=lambda: slice(None))


class Spans:
    """Texts that lie end to end in every row of a batch: each attends to itself alone.

    bounds: (start, stop) of each text. One object serves all layers of a pass.
    """

    def __init__(self, bounds: Sequence[tuple[int, int]]) -> None:
        self.slices = [slice(start, stop) for start, stop in bounds]
        self._masks: dict[int, tuple[torch.Tensor, list[torch.Tensor | None]]] = {}

    def masks(self, whole: torch.Tensor | None) -> list[torch.Tensor | None]:
        """The part of the layer's mask (B, 1, T, T) for each text; None where that is causal."""
        if whole is None:
            return [None] * len(self.slices)
        if id(whole) not in self._masks:  # layers of one kind share their mask
            parts = [whole[..., one, one] for one in self.slices]
            self._masks[id(whole)] = whole, [None if _is_causal(one) else one for one in parts]
        return self._masks[id(whole)][1]


def _is_causal(mask: torch.Tensor) -> bool:
    """Whether a bool mask says no more than "nothing after yourself" (SDPA needs no mask then)."""
    if mask.dtype != torch.bool:
        return False
    causal = torch.ones(mask.shape[-2:], dtype=torch.bool, device=mask.device).tril()
    return bool((mask == causal).all())


@dataclass(frozen=True)
class Seen:
    """What one attention call saw and gave, as an observer gets it.

    query (B, H, Tq, D); key and value (B, KV, Tk, D), not repeated over the group; visible: see
    `visible_keys`; output (B, Tq, H, D); options: the kernel's other arguments (scaling, softcap).
    """

    layer: int
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    visible: torch.Tensor | Literal["causal", "all"]
    output: torch.Tensor
    options: Mapping[str, Any] = field(default_factory=dict)


Observer = Callable[[Seen], None]
# (query, key) as the kernel would get them -> the ones that it gets: attention with a known pattern
Planted = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Site:
    """One decoder layer's attention, as the install pass found it."""

    module: torch.nn.Module
    layer: int
    heads: int
    kv_heads: int
    head_size: int  # of the values, hence of what a head puts out


discovered: ContextVar[list[tuple[Site, str | None]] | None] = ContextVar(
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
    stop_if_asked()  # here a pass of any model can be left, and nothing stays behind
    spans: Spans | None = module.__dict__.get("workbench_spans")
    if spans is None:
        return _attend(kernel_name, module, query, key, value, attention_mask, **kwargs)
    parts = []
    for one, mask in zip(spans.slices, spans.masks(attention_mask), strict=True):
        q, k, v = query[:, :, one], key[:, :, one], value[:, :, one]
        parts.append(_attend(kernel_name, module, q, k, v, mask, **kwargs)[0])
    return torch.cat(parts, dim=1), None


def _attend(
    kernel_name: str,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    planted: Planted | None = module.__dict__.get("workbench_planted")
    if planted is not None:
        query, key = planted(query, key)
    output, weights = _kernel(kernel_name, module)(
        module, query, key, value, attention_mask, **kwargs
    )
    found = discovered.get()
    if found is not None:
        found.append(_site(module, query, value, attention_mask, kwargs))
    overrides: Sequence[Override] = module.__dict__.get("workbench_overrides", ())
    observer: Observer | None = module.__dict__.get("workbench_observer")
    if not overrides and observer is None:
        return output, weights
    visible = visible_keys(kernel_name, module, query, attention_mask, kwargs)
    if overrides and torch.is_grad_enabled():  # autograd must not see its saved tensors change
        output = output.clone()
        weights = None if weights is None else weights.clone()
    for override in overrides:
        override_output(override, output, weights, value, visible)
    if observer is not None:
        layer = int(module.layer_idx)  # type: ignore[arg-type]
        observer(Seen(layer, query, key, value, visible, output, kwargs))
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


def override_output(
    override: Override,
    output: torch.Tensor,
    weights: torch.Tensor | None,
    value: torch.Tensor,
    visible: torch.Tensor | Literal["causal", "all"],
) -> None:
    """Replace, in place, what the override's heads put out in its rows."""
    heads, rows = list(override.heads), override.rows
    output, value = output[rows], value[rows]
    queries, query_heads = output.shape[1], output.shape[2]
    if isinstance(visible, torch.Tensor):
        visible = visible[rows] if visible.shape[0] > 1 else visible
        visible = visible[:, heads] if visible.shape[1] > 1 else visible
    if override.mode == "uniform":
        if isinstance(visible, str) and visible == "causal":
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
        uniform = override.mode == "uniform"
        weights[rows][:, heads] = _uniform_pattern(visible, weights) if uniform else 0.0


def _uniform_pattern(
    visible: torch.Tensor | Literal["causal", "all"], weights: torch.Tensor
) -> torch.Tensor:
    if isinstance(visible, str):
        shown = torch.ones(weights.shape[-2:], dtype=torch.bool, device=weights.device)
        visible = (shown.tril() if visible == "causal" else shown)[None, None]
    return (visible / visible.sum(dim=-1, keepdim=True).clamp(min=1)).to(weights.dtype)


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
    where = -1 if layer is None else int(layer)
    return Site(module, where, query.shape[1], value.shape[1], value.shape[3]), problem


# ---- carrying overrides and observers ---------------------------------------------------------


@contextmanager
def carrying(
    sites: Sequence[Site],
    overrides: Mapping[int, Sequence[Override]] | None = None,
    observer: Observer | None = None,
    spans: Spans | None = None,
    planted: Mapping[int, Planted] | None = None,
) -> Iterator[None]:
    """Let the layers carry overrides and planted attention (both by layer), an observer and spans.

    All are taken away on every way out, so an error or an interrupt leaves the stock model behind.
    """
    carried = []
    try:
        for site in sites:
            here = (overrides or {}).get(site.layer)
            pattern = (planted or {}).get(site.layer)
            for slot, load in zip(SLOTS, (here, observer, spans, pattern), strict=True):
                if load is not None:
                    carried.append((site.module, slot))
                    site.module.__dict__[slot] = load
        yield
    finally:
        for module, slot in carried:
            module.__dict__.pop(slot, None)


def is_overridden(sites: Sequence[Site]) -> bool:
    """Whether any layer carries an override at this moment."""
    return any(SLOTS[0] in site.module.__dict__ for site in sites)
