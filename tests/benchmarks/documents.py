"""Documents of mixed length for all contestants, as token ids, the same on every run.

The texts are those of the environment corpus; lengths lie between 64 and 1,024 tokens, short ones
more often than long ones, as in real corpora.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHORTEST, LONGEST = 64, 1024


def lengths(count: int, shortest: int = SHORTEST, longest: int = LONGEST) -> list[int]:
    """`count` lengths from shortest to longest, in order; half lie below twice the shortest."""
    if count < 2:
        raise ValueError(f"documents of mixed length: at least 2 of them, got {count}")
    ratio = longest / shortest
    return [round(shortest * ratio ** ((i / (count - 1)) ** 2)) for i in range(count)]


def cut(encoded: Iterable[Sequence[int]], wanted: Sequence[int]) -> list[list[int]]:
    """The beginning of one text for each wanted length, longest first served, then mixed.

    Raises ValueError if there are not enough texts that are long enough.
    """
    waiting = [list(ids) for ids in encoded]
    found = []
    for length in sorted(wanted, reverse=True):
        at = next((i for i, ids in enumerate(waiting) if len(ids) >= length), None)
        if at is None:
            raise ValueError(f"no text of {length} tokens is left: fewer documents, please")
        found.append(waiting.pop(at)[:length])
    random.Random(0).shuffle(found)
    return found


def corpus(tokenizer: PreTrainedTokenizerBase, wanted: Sequence[int]) -> list[list[int]]:
    """One document of the environment corpus for each wanted length."""
    return cut(_encoded(tokenizer, 4 * len(wanted)), wanted)


def long_document(tokenizer: PreTrainedTokenizerBase, length: int) -> list[int]:
    """One document of `length` tokens: documents of the corpus one after the other."""
    ids: list[int] = []
    for encoded in _encoded(tokenizer, 40):
        ids += encoded
        if len(ids) >= length:
            return ids[:length]
    raise ValueError(f"the corpus holds only {len(ids)} tokens, {length} are wanted")


def spread(documents: Sequence[list[int]], count: int) -> list[list[int]]:
    """`count` of the documents, evenly over their lengths, shortest and longest included."""
    ordered = sorted(documents, key=len)
    if count >= len(ordered):
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def digest(documents: Sequence[Sequence[int]]) -> str:
    """Says whether two runs scored the same tokens."""
    return hashlib.sha256(
        json.dumps([list(document) for document in documents]).encode()
    ).hexdigest()[:16]


def _encoded(tokenizer: PreTrainedTokenizerBase, count: int) -> Iterable[list[int]]:
    import workbench as wb

    if tokenizer("a").input_ids != tokenizer("a", add_special_tokens=False).input_ids:
        raise ValueError(
            "this tokenizer puts tokens around a text by itself; the contestants would differ in "
            "what they read"
        )
    for document in wb.environment_corpus(max_documents=count):
        yield list(tokenizer(document.text, add_special_tokens=False, verbose=False).input_ids)
