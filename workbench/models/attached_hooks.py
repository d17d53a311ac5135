"""Let attention layers carry masks and observers for as long as a `with` block lasts.

Every pass that masks, watches or packs goes through `attach_hooks`, which counts in each forward
pass the layers that used what they carry: a mask that did not reach the model is an error, never
an unmasked number.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from workbench.models.attention_hook import (
    KERNELS,
    NOTHING,
    OURS,
    SLOT,
    AttentionLayer,
    Load,
    Observer,
    PackedSequences,
    QueryKeyOverride,
)
from workbench.models.attention_override import CannotMask, Override
from workbench.models.packing.span_masks import packed_row


class MaskNotSeen(CannotMask):
    """A forward pass went by attention that should have been masked or watched."""


@contextmanager
def attach_hooks(
    sites: Sequence[AttentionLayer],
    overrides: Mapping[int, Sequence[Override]] | None = None,
    observer: Observer | None = None,
    packed: PackedSequences | None = None,
    query_key_overrides: Mapping[int, QueryKeyOverride] | None = None,
) -> Iterator[None]:
    """Attach overrides, an observer, packed texts or other queries and keys, for one block.

    Blocks may nest: overrides add up, every observer is shown every call, and what an outer block
    gave is there again after the inner one. All is taken away on every way out, so an error or an
    interrupt leaves the stock model behind. Compiled models run uncompiled meanwhile, since
    compiled code may keep what it saw before.

    Args:
        sites: the attention layers, `Model.sites`.
        overrides: what replaces the output of heads, by layer.
        observer: called with each attention call of these layers.
        packed: the bounds of packed texts, for all layers.
        query_key_overrides: what replaces queries and keys, by layer: a known pattern.

    Raises:
        MaskNotSeen: at the end of a forward pass in which a layer did not use what it carries, or
            at once where the model no longer calls this package's attention function.
    """
    reached: set[int] = set()
    loads = {}
    for site in sites:
        here = tuple((overrides or {}).get(site.layer, ()))
        query_key = (query_key_overrides or {}).get(site.layer)
        watch = () if observer is None else (observer,)
        if here or watch or packed is not None or query_key is not None:
            loads[site] = Load(here, watch, packed, query_key, (reached,))
    _require_ours(list(loads))
    wanted = {site.layer for site in loads}

    def begin(*_: Any) -> None:
        reached.clear()

    def end(*_: Any) -> None:
        """Raise MaskNotSeen where a layer was passed by (see above)."""
        if missing := sorted(wanted - reached):
            raise MaskNotSeen(
                f"{len(missing)} of {len(wanted)} layers (layer {missing[0]} first) did not use in "
                "this forward pass what they carry (a mask, an observer, the bounds of packed "
                "texts), so its numbers would be wrong. Something replaced the attention of the "
                "model, or the kernel that it calls, after the model was wrapped: undo that, or "
                "call from_transformers anew"
            )

    with ExitStack() as stack:
        stack.enter_context(_uncompiled())
        stack.enter_context(packed_row(packed))
        for site, load in loads.items():
            outer = site.module.__dict__.get(SLOT)
            stack.callback(_put, site.module, outer)
            _put(site.module, load.inside(outer))
        for decoder in {site.decoder for site in loads}:
            stack.callback(decoder.register_forward_pre_hook(begin).remove)
            stack.callback(decoder.register_forward_hook(end).remove)
        yield


def _put(module: torch.nn.Module, load: Load | None) -> None:
    if load is None:
        module.__dict__.pop(SLOT, None)
    else:
        module.__dict__[SLOT] = load


def _require_ours(sites: Sequence[AttentionLayer]) -> None:
    """Raise MaskNotSeen if the configuration of a layer names another attention function."""
    for site in sites:
        config: Any = getattr(site.module, "config", site.decoder.config)
        name = str(config._attn_implementation)
        if not name.startswith(OURS):
            raise MaskNotSeen(
                f"the attention implementation of this model is {name!r} by now, so nothing can be "
                "masked or watched. Something set it after the model was wrapped: call "
                f"model.hf.set_attn_implementation({OURS + (name if name in KERNELS else 'sdpa')!r}"
                ") to go on, or from_transformers anew"
            )


_uncompiled_blocks = 0
_uncompiled_lock = threading.Lock()
_stance: Any = None


@contextmanager
def _uncompiled() -> Iterator[None]:
    """Run what torch.compile made as plain Python, in every thread, until the last block ends."""
    global _uncompiled_blocks, _stance
    with _uncompiled_lock:  # the stance is one for the whole process
        if not _uncompiled_blocks:
            _stance = torch.compiler.set_stance("force_eager")
        _uncompiled_blocks += 1
    try:
        yield
    finally:
        with _uncompiled_lock:
            _uncompiled_blocks -= 1
            if not _uncompiled_blocks:
                _stance.__exit__(None, None, None)


def is_overridden(sites: Sequence[AttentionLayer]) -> bool:
    """Whether any layer carries an override at this moment.

    Args:
        sites: the attention layers, `Model.sites`.
    """
    return any(site.module.__dict__.get(SLOT, NOTHING).overrides for site in sites)
