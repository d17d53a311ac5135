"""Token losses of texts under one or many head sets: the plain path, one window at a time.

No batching and no padding, so a number depends on its text alone. Logits are made for a few hundred
positions at a time, never for a whole text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from workbench.attention import Mode
from workbench.heads import HeadSet
from workbench.masking import masked
from workbench.models import Model

POSITIONS = 256  # logits in memory at once: 256 x vocabulary


def token_losses(
    model: Model,
    texts: Sequence[str],
    heads: Sequence[HeadSet | None] = (None,),
    *,
    mode: Mode = "uniform",
    window: int | None = None,
    max_tokens: int | None = None,
) -> list[list[np.ndarray]]:
    """Cross-entropy in nats of every predicted token of every text under every head set.

    Returns losses with losses[i][k] the float32 array of text i under heads[k] (None: no head
    masked), one value for each predicted token, in order. A text longer than `window` tokens
    (default: the model's context) is cut into windows; the tokenizer's own BOS, if it has one, goes
    before each. The first token of a window without BOS has no prediction, so a text of n tokens in
    w windows gives n - w values (n with BOS), and a text of fewer than two tokens may give none.
    max_tokens reads only the beginning of each text. (METHOD section 3.)
    """
    if isinstance(texts, str):
        raise TypeError("texts is a list of texts, got a single string: pass [text]")
    if heads is None or isinstance(heads, HeadSet):
        raise TypeError("heads is a list with one entry a column, e.g. [None, heads]; got one set")
    result = []
    for text in texts:
        ids = model.encode(text)[:max_tokens]
        result.append(losses_of_ids(model, ids, heads, mode=mode, window=window))
    return result


def losses_of_ids(
    model: Model,
    ids: Sequence[int],
    heads: Sequence[HeadSet | None],
    *,
    mode: Mode = "uniform",
    window: int | None = None,
) -> list[np.ndarray]:
    """`token_losses` of one text that is tokens already (without BOS): one array a head set."""
    pieces = list(windows(model, ids, window))
    columns = []
    for one in heads:
        with masked(model, one, mode), torch.inference_mode():
            parts = [_window_losses(model, piece) for piece in pieces]
        columns.append(np.concatenate(parts) if parts else np.zeros(0, np.float32))
    return columns


def windows(model: Model, ids: Sequence[int], window: int | None = None) -> Iterator[list[int]]:
    """Cut token ids into windows of at most `window` tokens, each with the special prefix."""
    prefix = model.special_prefix
    window = model.context if window is None else window
    room = window - len(prefix)
    if room < 1 or window < 2 or window > model.context:
        raise ValueError(
            f"window must lie between {max(2, 1 + len(prefix))} and the model's context of "
            f"{model.context} tokens, got {window}"
        )
    for start in range(0, len(ids), room):
        yield [*prefix, *ids[start : start + room]]


def _window_losses(model: Model, ids: list[int]) -> np.ndarray:
    row = torch.tensor([ids], device=model.device)
    # With a prefix of several special tokens only the document's own tokens are predictions.
    first = max(len(model.special_prefix), 1)
    positions = torch.arange(first - 1, len(ids) - 1, device=model.device)
    if not len(positions):
        return np.zeros(0, np.float32)
    targets = row[0, positions + 1]
    if model.head is None:
        return _cross_entropy(model.logits(row, positions), targets).cpu().numpy()
    hidden = model.hidden(row)[0]
    parts = [
        _cross_entropy(model.head(hidden[some]), targets[some - first + 1])
        for some in positions.split(POSITIONS)
    ]
    return torch.cat(parts).cpu().numpy()


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
