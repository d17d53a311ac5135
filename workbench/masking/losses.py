"""Token losses of texts under one or many head sets.

The numbers come from packed passes where they fit the model, and from `masking.reference`, one
window and one head set at a time, where they do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from workbench.masking.masks import require_fitting, require_unmasked
from workbench.masking.packed import packed_passes
from workbench.masking.reference import plain_losses, require_max_tokens, windows
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model


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

    A text longer than `window` tokens is cut into windows; the tokenizer's own BOS, if it has one,
    goes before each. The first token of a window without BOS has no prediction, so a text of n
    tokens in w windows gives n - w values (n with BOS), and a text of fewer than two tokens may
    give none. See `workbench/METHOD.md`.

    Args:
        model: the model, with no head masked.
        texts: the texts.
        heads: the head sets to mask, one after the other (None: no head masked).
        mode: what a masked head does instead (see `masked`).
        window: tokens of a window with its BOS (default: the model's context).
        max_tokens: how many tokens of each text are read (default: all).

    Returns:
        losses with losses[i][k] the float32 array of text i under heads[k], one value for each
        predicted token, in order.

    Raises:
        TypeError: `texts` is a single text or holds anything else, or `heads` is a single set.
        ValueError: a window or number of tokens that the model cannot read, heads of another model,
            or heads that are masked already.
    """
    require_texts(texts)
    if heads is None or isinstance(heads, HeadSet):
        raise TypeError("heads is a list with one entry a column, e.g. [None, heads]; got one set")
    require_max_tokens(max_tokens, least=0)
    ids = [ids[:max_tokens] for ids in model.encode_all(texts)]
    return list(losses_of_ids(model, ids, heads, mode=mode, window=window))


def require_texts(texts: Sequence[str]) -> None:
    """Require a list of texts, and not one text, whose characters would be taken for texts.

    Args:
        texts: what was given.

    Raises:
        TypeError: it is a single text or holds anything else.
    """
    if isinstance(texts, str):
        raise TypeError("texts is a list of texts, got a single string: pass [text]")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{number}] is not a text but of type {type(text).__name__}")


def losses_of_ids(
    model: Model,
    texts: Sequence[Sequence[int]],
    heads: Sequence[HeadSet | None],
    *,
    mode: Mode = "uniform",
    window: int | None = None,
) -> Iterator[list[np.ndarray]]:
    """`token_losses` of texts that are tokens already, one text after the other.

    Args:
        model: the model, with no head masked.
        texts: token ids of each text, without special tokens.
        heads: the head sets to mask, one after the other (None: no head masked).
        mode: what a masked head does instead (see `masked`).
        window: tokens of a window with its BOS (default: the model's context).

    Yields:
        For each text one float32 array of nats a head set.
    """
    for head_set in heads:
        require_fitting(model, head_set, mode)
    require_unmasked(model)
    cut = [list(windows(model, ids, window)) for ids in texts]
    every = [tokens for pieces in cut for tokens in pieces]
    batches = packed_passes(model) if heads else None
    if batches is not None:
        stream = batches.losses(every, heads, mode)
    else:
        stream = (
            [plain_losses(model, tokens, head_set, mode) for head_set in heads] for tokens in every
        )
    nothing = [np.zeros(0, np.float32)] * len(heads)
    for pieces in cut:
        parts = [next(stream) for _ in pieces] or [nothing]
        yield [np.concatenate(column) for column in zip(*parts, strict=True)]


def passes_over(
    model: Model,
    windows: Sequence[Sequence[int]],
    heads: Sequence[HeadSet | None],
    mode: Mode = "uniform",
) -> int:
    """How many forward passes the losses of windows take, beside those over a reference set.

    Args:
        model: the model.
        windows: token ids with the special prefix, in the order in which they are read.
        heads: the head sets (None: no head masked).
        mode: what a masked head does instead (see `masked`).

    Returns:
        The number of passes, where the memory holds each of them.
    """
    batches = packed_passes(model)
    least = max(len(model.bos_ids), 1)  # what predicts nothing is not read
    if batches is None:
        return len(heads) * sum(len(window) > least for window in windows)
    rows = batches.rows(windows, mode, len(heads))
    return sum(any(len(w) > least for w in row) for row in rows)
