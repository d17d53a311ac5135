"""Token losses of texts under one or many head sets.

The numbers come from the engine where it fits the model. The plain path stands here too: one
window and one head set at a time, no packing, no padding. The engine is held against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from workbench.attention import Mode
from workbench.engine import engine_of
from workbench.heads import HeadSet
from workbench.masking import masked, require_fitting, require_unmasked
from workbench.models import Model
from workbench.progress import gives_way
from workbench.token_prefix import encode_start

POSITIONS = 256  # logits in memory at once on the plain path: 256 x vocabulary


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
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{number}] is not a text but of type {type(text).__name__}")
    require_max_tokens(max_tokens, least=0)
    ids = [encode_start(model, text, max_tokens) for text in texts]
    return list(losses_of_ids(model, ids, heads, mode=mode, window=window))


def losses_of_ids(
    model: Model,
    texts: Sequence[Sequence[int]],
    heads: Sequence[HeadSet | None],
    *,
    mode: Mode = "uniform",
    window: int | None = None,
) -> Iterator[list[np.ndarray]]:
    """`token_losses` of texts that are tokens already (without BOS), one text after the other."""
    for one in heads:
        require_fitting(model, one, mode)
    require_unmasked(model)
    cut = [list(windows(model, ids, window)) for ids in texts]
    every = [one for pieces in cut for one in pieces]
    engine = engine_of(model) if heads else None
    if engine is not None:
        stream = engine.losses(every, heads, mode)
    else:
        stream = ([plain_losses(model, w, one, mode) for one in heads] for w in every)
    nothing = [np.zeros(0, np.float32)] * len(heads)
    for pieces in cut:
        parts = [next(stream) for _ in pieces] or [nothing]
        yield [np.concatenate(column) for column in zip(*parts, strict=True)]


def windows(model: Model, ids: Sequence[int], window: int | None = None) -> Iterator[list[int]]:
    """Cut token ids into windows of at most `window` tokens, each with the special prefix."""
    prefix = model.special_prefix
    room = require_window(model, window) - len(prefix)
    for start in range(0, len(ids), room):
        yield [*prefix, *ids[start : start + room]]


def require_window(model: Model, window: int | None) -> int:
    """`window`, or the model's context for None; ValueError if the model cannot read it."""
    least = max(2, 1 + len(model.special_prefix))
    window = model.context if window is None else window
    if not least <= window <= model.context:
        raise ValueError(
            f"window must lie between {least} and the model's context of {model.context} tokens, "
            f"got {window}"
        )
    return window


def require_max_tokens(max_tokens: int | None, least: int = 2) -> None:
    """Raise ValueError if reading `max_tokens` of a text would leave nothing to predict."""
    if max_tokens is not None and max_tokens < least:
        raise ValueError(f"max_tokens must be at least {least}, got {max_tokens}")


@gives_way
def plain_losses(
    model: Model, ids: Sequence[int], heads: HeadSet | None = None, mode: Mode = "uniform"
) -> np.ndarray:
    """Nats of each predicted token of one window under one head set, the plain way; float32."""
    row = torch.tensor([list(ids)], device=model.device)
    # With a prefix of several special tokens only the document's own tokens are predictions.
    first = max(len(model.special_prefix), 1)
    positions = torch.arange(first - 1, len(ids) - 1, device=model.device)
    if not len(positions):
        return np.zeros(0, np.float32)
    targets = row[0, positions + 1]
    with masked(model, heads, mode), torch.inference_mode():
        if model.head is None:
            logits = model.hf(input_ids=row, use_cache=False).logits[0, positions]
            return _cross_entropy(logits, targets).cpu().numpy()
        hidden = model.hidden(row)[0]
        parts = [
            _cross_entropy(model.head(hidden[some]), targets[some - first + 1])
            for some in positions.split(POSITIONS)
        ]
    return torch.cat(parts).cpu().numpy()


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
