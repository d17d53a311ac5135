"""The mask function that this package hands to transformers: it knows packed texts.

For a packed row transformers itself makes a bool mask (1, 1, T, T): 1 GiB at 32,768 tokens. Ours
makes none. Without a packed pass it is the stock function of the kernel, untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from workbench.models.packing.sequences import PackedSequences

_running: ContextVar[PackedSequences | None] = ContextVar("packed texts of a pass", default=None)


@contextmanager
def packed_row(packed: PackedSequences | None) -> Iterator[None]:
    """Let masks be asked for a row of packed texts, in this thread, for one block.

    Args:
        packed: the texts; None leaves what an outer block said.
    """
    if packed is None:
        yield
        return
    token = _running.set(packed)
    try:
        yield
    finally:
        _running.reset(token)


def span_mask(
    stock: Callable[..., torch.Tensor | None], kernel: str, *args: Any, **asked: Any
) -> torch.Tensor | None:
    """The mask of a row, as transformers' mask interface asks for it.

    Args:
        stock: the mask function of the kernel.
        kernel: "sdpa" or "eager".
        *args: handed to `stock`.
        **asked: the arguments of `stock` (sizes, mask_function, local_size, device).

    Returns:
        What `stock` gives; in a packed pass a stand-in of one byte (`PackedSequences.promise`), or
        None where each text is causal and the kernel needs no more than that.
    """
    packed = _running.get()
    if packed is None or args or asked["kv_length"] != packed.length:
        return stock(*args, **asked)
    local, skip = asked.get("local_size"), asked.get("allow_is_causal_skip", True)
    # As the stock function of SDPA has it: no mask where the local attention reaches every key.
    if kernel == "sdpa" and skip and (local is None or max(packed.lengths) < local):
        return None

    def make(length: int) -> torch.Tensor | None:
        # As if the text were alone: the mask that transformers made for a whole row had no padding
        # either, and counted the positions of each text from 0.
        own = {"q_length": length, "kv_length": length, "q_offset": 0, "kv_offset": 0}
        return stock(**{**asked, **own, "batch_size": 1, "attention_mask": None})

    return packed.promise(make, local, asked.get("device", "cpu"))
