"""Token losses of texts under one or many head sets.

The numbers come from packed passes where they fit the model, and from `masking.reference`, one
window and one head set at a time, where they do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from workbench.masking.masks import require_fitting, require_unmasked
from workbench.masking.packed import engine_of
from workbench.masking.reference import plain_losses, require_max_tokens, windows
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.models.token_prefix import encode_start


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
