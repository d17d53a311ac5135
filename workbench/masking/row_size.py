"""How much memory a row of packed texts takes, how long a row may be, and when it was too long."""

from __future__ import annotations

from typing import Any

import torch

LONGEST = 32  # rows of a device are at most so many times as long as those of a CPU
# What torch says where only CUDA's allocator has an error of its own: MPS, and the CPU's allocator.
_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def token_bytes(config: Any, dtype: torch.dtype, sets: int = 2) -> int:
    """Bytes that one token of a row takes while a pass runs: an estimate from above.

    For each head set the parts of the feed-forward layer and a few residual streams, of which
    attention's queries, keys and values are some.

    Args:
        config: the text configuration of the model.
        dtype: of its weights.
        sets: head sets that are computed side by side, no mask among them.
    """
    wide = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return sets * (3 * wide + 8 * config.hidden_size) * torch.finfo(dtype).bits // 8


def device_row_tokens(free: int, token: int, least: int) -> int:
    """Tokens of a row on a device: enough to keep it busy, few enough for half its free memory.

    A power of two times the least: cards of one kind then cut their rows alike, although a little
    more or less of their memory is free.

    Args:
        free: bytes of the device that nothing takes.
        token: bytes of a token, from `token_bytes`.
        least: tokens that a row has in any case.
    """
    times = min(max(1, free // (2 * token * least)), LONGEST)
    return least << (times.bit_length() - 1)


def row_of_sets(tokens: int, sets: int) -> int:
    """Tokens of a row of a device for more than two head sets, which share its memory.

    Args:
        tokens: of a row for two sets, one of them without a mask.
        sets: head sets that are computed side by side, no mask among them.
    """
    return max(1, 2 * tokens // max(sets, 2))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not do, on any device.

    Whoever computes less at a time then must leave the `except` block first: the error holds the
    frames of the pass that failed, and they its tensors.

    Args:
        error: what was raised. torch has a class for it on CUDA; on MPS and on the CPU it is a
            plain RuntimeError, and only its message tells.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)
