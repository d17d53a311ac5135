"""Token losses the plain way: one window and one head set at a time, no packing, no padding.

The packed passes (`workbench.masking.packed`) are compared with this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from workbench.core.progress import preemptible
from workbench.masking.masks import masked, replacements
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model

POSITIONS = 256  # logits in memory at once: 256 x vocabulary


def windows(model: Model, ids: Sequence[int], window: int | None = None) -> Iterator[list[int]]:
    """Cut token ids into windows, each with the special prefix.

    Args:
        model: the model that will read them.
        ids: token ids of a text, without special tokens.
        window: tokens of a window with its prefix (default: the model's context).

    Yields:
        The token ids of one window after the other.
    """
    prefix = model.bos_ids
    budget = require_window(model, window) - len(prefix)
    for start in range(0, len(ids), budget):
        yield [*prefix, *ids[start : start + budget]]


def require_window(model: Model, window: int | None) -> int:
    """The number of tokens in a window, if the model can read so many.

    Args:
        model: the model.
        window: tokens of a window with its special prefix (None: the model's context).

    Returns:
        `window`, or the model's context.

    Raises:
        ValueError: the window is longer than the context, or holds no prediction.
    """
    least = max(2, 1 + len(model.bos_ids))
    window = model.context if window is None else window
    if not least <= window <= model.context:
        raise ValueError(
            f"window must lie between {least} and the model's context of {model.context} tokens, "
            f"got {window}"
        )
    return window


def require_max_tokens(max_tokens: int | None, least: int = 2) -> None:
    """Require that the beginning of a text that is read holds something to predict.

    Args:
        max_tokens: how many tokens of a text are read (None: all).
        least: the smallest number allowed.

    Raises:
        ValueError: max_tokens is smaller.
    """
    if max_tokens is not None and max_tokens < least:
        raise ValueError(f"max_tokens must be at least {least}, got {max_tokens}")


@preemptible
def plain_losses(
    model: Model, ids: Sequence[int], heads: HeadSet | None = None, mode: Mode = "uniform"
) -> np.ndarray:
    """Losses of one window under one head set, by a pass of their own.

    Args:
        model: the model, with no head masked.
        ids: token ids of the window, with the special prefix.
        heads: the head set to mask (None: no head masked).
        mode: what a masked head does instead (see `masked`).

    Returns:
        Nats of each predicted token, float32.
    """
    row = torch.tensor([list(ids)], device=model.device)
    # With a prefix of several special tokens only the document's own tokens are predictions.
    first = max(len(model.bos_ids), 1)
    positions = torch.arange(first - 1, len(ids) - 1, device=model.device)
    if not len(positions):
        return np.zeros(0, np.float32)
    targets = row[0, positions + 1]
    means = replacements(model, mode, ids) if heads else None
    with masked(model, heads, mode, means=means), torch.inference_mode():
        if model.head is None:
            logits = model.hf(input_ids=row, use_cache=False).logits[0, positions]
            return _cross_entropy(logits, targets).cpu().numpy()
        hidden = model.hidden(row)[0]
        parts = [
            _cross_entropy(model.head(hidden[part]), targets[part - first + 1])
            for part in positions.split(POSITIONS)
        ]
    return torch.cat(parts).cpu().numpy()


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
