"""The one attention function that this package hands to transformers, and what layers can carry.

`transformers` lets a function be registered under a name (`AttentionInterface`); every decoder that
uses the interface then calls it with the per-head queries, keys and values, after rotary embedding,
and with the attention module itself. Ours calls the stock kernel and then, where a layer carries an
`Override`, replaces what the masked query heads put out. Where a layer carries observers, it shows
them what the kernel saw. A `QueryKeyOverride` gives the kernel other queries and keys: a head of
known behaviour, to try out detection on. There is no code for any single architecture, and a layer
that carries none of these gets the stock kernel's result untouched.

`workbench.models.attached_hooks` is the one way by which layers get a load.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from workbench.core.progress import check_cancelled
from workbench.models.attention_override import CannotMask as CannotMask
from workbench.models.attention_override import Mode as Mode
from workbench.models.attention_override import Override as Override
from workbench.models.attention_override import Visible, override_output, visible_keys
from workbench.models.packing.one_call import (
    OneCall,
    attend_at_once,
    one_call,
    override_at_once,
)
from workbench.models.packing.sequences import Branches as Branches
from workbench.models.packing.sequences import PackedSequences as PackedSequences
from workbench.models.packing.sequences import is_stand_in
from workbench.models.packing.span_masks import span_mask

KERNELS = ("sdpa", "eager")
OURS = "workbench_"  # before the name of the kernel that ours calls
SLOT = "workbench_load"  # on attention modules


@dataclass(frozen=True)
class AttentionCall:
    """What one attention call saw and gave, as an observer gets it.

    Attributes:
        layer: the decoder layer.
        query: (B, H, Tq, D).
        key: (B, KV, Tk, D), not repeated over the group.
        value: (B, KV, Tk, D), not repeated over the group.
        visible: which keys each query may see, as `visible_keys` gives it.
        output: (B, Tq, H, D).
        options: the kernel's other arguments (scaling, softcap).
        share: (B, H, Tq): what part of each row goes to tokens where the layer has attention sinks;
            None without sinks.
    """

    layer: int
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    visible: Visible
    output: torch.Tensor
    options: Mapping[str, Any] = field(default_factory=dict)
    share: torch.Tensor | None = None


Observer = Callable[[AttentionCall], None]
# (query, key) as the kernel would get them -> the ones that it gets: attention with a known pattern
QueryKeyOverride = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Load:
    """What one attention module carries: all that `attach_hooks` blocks around the pass gave it.

    Attributes:
        overrides: what replaces the output of heads.
        observers: called with each attention call.
        packed: the bounds of packed texts.
        query_key_override: what replaces queries and keys.
        reached: one set for each of these blocks, to which the layer is added whenever it has used
            its load.
    """

    overrides: tuple[Override, ...] = ()
    observers: tuple[Observer, ...] = ()
    packed: PackedSequences | None = None
    query_key_override: QueryKeyOverride | None = None
    reached: tuple[set[int], ...] = ()

    def inside(self, outer: Load | None) -> Load:
        """This load and that of an outer block; packing and queries of the inner one hold.

        Args:
            outer: the load of the outer block, if there is one.
        """
        if outer is None:
            return self
        return Load(
            outer.overrides + self.overrides,
            outer.observers + self.observers,
            self.packed or outer.packed,
            self.query_key_override or outer.query_key_override,
            outer.reached + self.reached,
        )


NOTHING = Load()


@dataclass(frozen=True)
class AttentionLayer:
    """One decoder layer's attention, as the install pass found it.

    Attributes:
        module: the attention module.
        decoder: the module around all layers, whose forward call is one pass.
        layer: the number of the layer, from 0.
        heads: query heads of the layer.
        kv_heads: key-value heads of the layer.
        head_size: size of a head's values, hence of what a head puts out.
    """

    module: torch.nn.Module
    decoder: torch.nn.Module
    layer: int
    heads: int
    kv_heads: int
    head_size: int


@dataclass(frozen=True)
class Call:
    """One attention call of the install pass.

    Attributes:
        module: the attention module.
        layer: the number of its layer; None where the module does not know it.
        heads: query heads of the layer.
        kv_heads: key-value heads of the layer.
        head_size: size of a head's values.
        problem: what an override would get wrong here; None: nothing.
    """

    module: torch.nn.Module
    layer: int | None
    heads: int
    kv_heads: int
    head_size: int
    problem: str | None


discovered: ContextVar[list[Call] | None] = ContextVar("discovered", default=None)


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
    check_cancelled()  # here a pass of any model can be left, and nothing stays behind
    load: Load = module.__dict__.get(SLOT, NOTHING)
    if load.packed is None:
        if attention_mask is not None and is_stand_in(attention_mask):
            raise CannotMask(
                f"{type(module).__name__} got the mask of the packed texts of another model: do "
                "not run one model from within a packed pass of another"
            )
        return _attend(load, kernel_name, module, query, key, value, attention_mask, **kwargs)
    call = one_call(load.packed, kernel_name, query, value, attention_mask, kwargs)
    if call is not None and load.query_key_override is None:
        return _attend_at_once(call, load, module, query, key, value, attention_mask, kwargs), None
    parts = []
    masks = load.packed.masks(attention_mask)
    for text, seen, mask in zip(load.packed.slices, load.packed.keys, masks, strict=True):
        q, k, v = query[:, :, text], key[:, :, seen], value[:, :, seen]
        parts.append(_attend(load, kernel_name, module, q, k, v, mask, **kwargs)[0])
    return torch.cat(parts, dim=1), None


def _attend_at_once(
    call: OneCall,
    load: Load,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    options: dict[str, Any],
) -> torch.Tensor:
    """`_attend` of all packed texts; (B, T, H, D)."""
    packed = load.packed
    assert packed is not None
    output = attend_at_once(call, packed, query, key, value, options.get("scaling"))
    if load.overrides and torch.is_grad_enabled():
        output = output.clone()  # autograd must not see its saved tensors change
    for override in load.overrides:
        override_at_once(packed, override, output, value, attention_mask)
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    for observer in load.observers:  # they are shown one text at a time, as ever
        for text, mask in zip(packed.slices, packed.masks(attention_mask), strict=True):
            q, k, v = query[:, :, text], key[:, :, text], value[:, :, text]
            visible = visible_keys("sdpa", module, q, mask, options)
            observer(AttentionCall(layer, q, k, v, visible, output[:, text], options))
    for reached in load.reached:
        reached.add(layer)
    return output


def _attend(
    load: Load,
    kernel_name: str,
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    if load.query_key_override is not None:
        query, key = load.query_key_override(query, key)
    output, weights = _kernel(kernel_name, module)(
        module, query, key, value, attention_mask, **kwargs
    )
    calls = discovered.get()
    if calls is not None:
        calls.append(_call(module, query, value, weights, attention_mask, kwargs))
    if load is NOTHING:
        return output, weights
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    if load.overrides or load.observers:
        visible = visible_keys(kernel_name, module, query, attention_mask, kwargs)
        sinks = kwargs.get("s_aux") is not None and weights is not None
        share = weights.sum(dim=-1) if sinks else None
    if load.overrides and torch.is_grad_enabled():
        output = output.clone()  # autograd must not see its saved tensors change
        weights = None if weights is None else weights.clone()
    for override in load.overrides:
        override_output(override, output, weights, value, visible, share)
    for observer in load.observers:
        observer(AttentionCall(layer, query, key, value, visible, output, kwargs, share))
    for reached in load.reached:
        reached.add(layer)
    return output, weights


for _name in KERNELS:
    AttentionInterface.register(OURS + _name, partial(_attention, _name))
    # Without its mask function under the same name the model would get no mask at all, and some
    # would then see the future.
    AttentionMaskInterface.register(
        OURS + _name, partial(span_mask, ALL_MASK_ATTENTION_FUNCTIONS[_name], _name)
    )


def _kernel(name: str, module: torch.nn.Module) -> Callable[..., Any]:
    """The stock kernel. The eager one lives beside the module's class, as transformers has it."""
    if name != "eager":
        return ALL_ATTENTION_FUNCTIONS[name]
    for cls in type(module).__mro__:
        eager = getattr(sys.modules.get(cls.__module__), "eager_attention_forward", None)
        if eager is not None:
            return eager
    raise CannotMask(f"no eager attention kernel is defined beside {type(module).__name__}")


def _call(
    module: torch.nn.Module,
    query: torch.Tensor,
    value: torch.Tensor,
    weights: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    kwargs: dict[str, Any],
) -> Call:
    problem = None
    if kwargs.get("s_aux") is not None and weights is None:
        problem = (
            "attention sinks with a kernel that does not tell what part of each row they take "
            "(load the model with attn_implementation='eager')"
        )
    elif kwargs.get("position_bias") is not None:
        problem = "a position bias added to the attention scores"
    elif getattr(module, "is_causal", True) is False:
        problem = "attention that is not causal"
    elif attention_mask is not None and attention_mask.dim() != 4:
        problem = f"an attention mask with {attention_mask.dim()} dimensions instead of 4"
    layer: Any = getattr(module, "layer_idx", None)
    if layer is None:
        problem = problem or "attention modules that do not know their layer"
    where = None if layer is None else int(layer)
    return Call(module, where, query.shape[1], value.shape[1], value.shape[3], problem)
