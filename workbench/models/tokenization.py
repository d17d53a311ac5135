"""Text to token ids, the same way with every kind of tokenizer that transformers knows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from transformers import PreTrainedTokenizerBase as Tokenizer

_TRIED = 256  # texts that are tried out for what stands before them


def text_options(tokenizer: Tokenizer) -> dict[str, Any]:
    """How to call a tokenizer so that a text is nothing but text.

    No special token is added, and one that the text spells out ("<|im_end|>") is split like any
    other text.

    Args:
        tokenizer: the transformers tokenizer.

    Returns:
        Keyword arguments for its call.
    """
    options: dict[str, Any] = {"add_special_tokens": False, "verbose": False}
    # mistral-common never reads control tokens out of a text, and refuses to be asked not to.
    if type(tokenizer).__name__ != "MistralCommonBackend":
        options["split_special_tokens"] = True
    return options


def special_prefix_of(tokenizer: Tokenizer) -> list[int]:
    """The ids that a tokenizer puts before every text by itself (BOS, or nothing).

    Found by comparing a text with and without special tokens. Any text that becomes ordinary tokens
    will do, but not every tokenizer knows the same letters, so the texts are tokens of its own.

    Args:
        tokenizer: the transformers tokenizer.

    Raises:
        ValueError: no text shows it.
    """
    special = set(tokenizer.all_special_ids)
    for text in islice(_texts(tokenizer, special), _TRIED):
        try:
            plain = list(tokenizer(text, **text_options(tokenizer)).input_ids)
            whole = list(tokenizer(text).input_ids)
        except Exception:  # what the Rust side raises for a text it does not know
            continue
        if not plain or special.intersection(plain):
            continue
        for start in range(len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return whole[:start]
    if list(tokenizer("").input_ids):
        raise ValueError(
            "it is not clear which tokens this tokenizer puts before a text: of its "
            f"{len(tokenizer)} tokens, {len(special)} of them special, none reads back as ordinary "
            "text"
        )
    return []


def _texts(tokenizer: Tokenizer, special: set[int]) -> Iterator[str]:
    yield "a"
    for token in sorted(tokenizer.get_vocab().values()):
        if token not in special:
            text = tokenizer.decode([token])
            if isinstance(text, str) and text:
                yield text
