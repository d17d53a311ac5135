"""Which tokens of a document are novel: the document itself has not spelled them out before.

Copying heads help most where text repeats, so the plain score ranks repetition first. The score
over novel tokens counts only those that no earlier occurrence of the same few preceding tokens
already foretells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def novel_tokens(ids: Sequence[int] | np.ndarray, context: int = 1) -> np.ndarray:
    """Which tokens are novel.

    Token i is not if the `context` tokens before it stood earlier in `ids` with the same token
    after them; with fewer tokens before it, it is novel.

    Args:
        ids: the tokens of a document.
        context: how many tokens before a token are compared, at least 1.

    Returns:
        For each token whether it is novel, (tokens,) of bool.

    Raises:
        ValueError: context is below 1.
    """
    if context < 1:
        raise ValueError(f"context must be at least 1 token, got {context}")
    novel = np.ones(len(ids), dtype=bool)
    novel[context:] = False
    # Each run of context + 1 tokens gets a number, one token more at a time.
    kinds, tokens = np.unique(np.asarray(ids, dtype=np.int64), return_inverse=True)
    runs = tokens
    for further in range(1, min(context, len(ids) - 1) + 1):
        pairs = runs[:-1] * len(kinds) + tokens[further:]
        runs = np.unique(pairs, return_inverse=True)[1]
    if len(ids) > context:
        novel[context + np.unique(runs, return_index=True)[1]] = True  # where each comes first
    return novel


def first_occurrences(ids: Sequence[int] | np.ndarray) -> np.ndarray:
    """Which tokens come for the first time.

    Args:
        ids: the tokens of a document.

    Returns:
        For each token whether the document has not had it before, (tokens,) of bool.
    """
    first = np.zeros(len(ids), dtype=bool)
    first[np.unique(np.asarray(ids, dtype=np.int64), return_index=True)[1]] = True
    return first
