"""Text made of lookups, for watching retrieval heads appear in a decoder that is trained on it.

A document is a list of made-up names, each with a value of several made-up words; then names come
again with their value. The first time nothing tells the value; every later time it can only be
copied. Probes of the same form say how well a head does that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from workbench.corpus.document import Document
from workbench.detection.probes import Probe, Probes
from workbench.models.identity import tokenizer_sha256
from workbench.models.model import Model
from workbench.training.decoder import END

_BEGINNINGS = ("ba", "de", "fi", "go", "ku", "la", "mi")
_ENDINGS = ("bel", "dor", "gam", "mir", "nok", "tav")
WORDS = tuple(first + second for first in _BEGINNINGS for second in _ENDINGS)
UNKNOWN = "<|unknown|>"
VALUE_WORDS = (2, 4)  # least and most; a fixed length would let heads copy by distance alone


def lookup_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token a word of lookup text, and hardly any besides.

    A vocabulary with many tokens that never come would hold the training up: the decoder first
    learns to rule them out, and finds copying several times later (tried with 324 tokens).

    Returns:
        The tokenizer, with an end token.
    """
    return word_tokenizer(WORDS)


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each of some words, between white space.

    Args:
        words: the words, each once.

    Returns:
        The tokenizer, with an end token and one for unknown words.
    """
    special = {END: 0, UNKNOWN: 1}
    numbers = {word: number for number, word in enumerate(words, start=len(special))}
    inner = Tokenizer(WordLevel(special | numbers, unk_token=UNKNOWN))
    inner.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END, unk_token=UNKNOWN)


def lookup_text(n: int, pairs: int = 3, words: int = 64, seed: int = 0) -> list[Document]:
    """Documents of names with values, which then come again.

    Every word is one of WORDS, and no word comes twice among the pairs of a document.

    Args:
        n: number of documents.
        pairs: names with values in each.
        words: words of a document; pairs come again until there are so many.
        seed: of the draws.

    Returns:
        The documents, of the domain "lookup".

    Raises:
        ValueError: a number is out of range.
    """
    most = len(WORDS) // (1 + VALUE_WORDS[1])
    if not 1 <= pairs <= most or n < 1 or words < pairs * (1 + VALUE_WORDS[1]):
        raise ValueError(
            f"lookup text has 1 document or more, 1 to {most} pairs a document and "
            f"{1 + VALUE_WORDS[1]} words or more a pair; got n={n}, pairs={pairs}, words={words}"
        )
    documents = []
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        entries = _entries(rng, pairs)
        text = [word for entry in entries for word in entry]
        while len(text) < words:
            text += entries[rng.integers(pairs)]
        spelt = "".join(f" {word}" for word in text[:words])
        documents.append(Document(f"lookup-{number}", spelt, "lookup", "lookup", number))
    return documents


def lookup_probes(model: Model, n: int = 32, pairs: int = 3, seed: int = 1) -> Probes:
    """Lookups of the form of `lookup_text`: all pairs, one name again, and its value as the answer.

    Args:
        model: a model trained with `lookup_tokenizer`.
        n: number of probes.
        pairs: names with values in each.
        seed: of the draws.

    Returns:
        The probes.

    Raises:
        ValueError: a word is not one token in the model's tokenizer.
    """
    items = []
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        entries = _entries(rng, pairs)
        at = int(rng.integers(pairs))
        words = [word for entry in [*entries, entries[at]] for word in entry]
        ids = [model.encode(f" {word}") for word in words]
        if any(len(tokens) != 1 for tokens in ids):
            raise ValueError(
                "lookup probes need a tokenizer in which each of their words is one token: train "
                "the model with lookup_tokenizer()"
            )
        start = sum(map(len, entries[:at])) + 1
        length = len(entries[at]) - 1
        probe = Probe(
            tuple(tokens[0] for tokens in ids), (len(ids) - length, len(ids)),
            (start, start + length), pairs,
        )  # fmt: skip
        items.append(probe)
    longest = max(len(item.ids) for item in items)
    return Probes(tuple(items), longest, seed, tokenizer_sha256(model.tokenizer), "lookup text")


def _entries(rng: np.random.Generator, pairs: int) -> list[list[str]]:
    """A name and the words of its value, for each pair."""
    least, most = VALUE_WORDS
    lengths = 1 + rng.integers(least, most + 1, size=pairs)
    chosen = iter(rng.permutation(len(WORDS)))
    return [[WORDS[next(chosen)] for _ in range(length)] for length in lengths]
