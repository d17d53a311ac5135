"""Text made of lookups, for watching retrieval heads appear in a decoder that is trained on it.

A document is a list of made-up names, each with a value of several made-up words, in which names
come again with their value. The first time nothing tells the value; every later time it can only be
copied. Probes of the same form say how well a head does that.
"""

from __future__ import annotations

import numpy as np

from workbench.documents import Document
from workbench.models import Model
from workbench.probes import Probe, Probes

_BEGINNINGS = ("ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo")
_ENDINGS = ("bel", "dor", "gam", "mir", "nok", "tav")
WORDS = tuple(first + second for first in _BEGINNINGS for second in _ENDINGS)
VALUE_WORDS = 3


def lookup_text(n: int, pairs: int = 4, asked: int = 12, seed: int = 0) -> list[Document]:
    """`n` documents of `pairs` names with values, after which `asked` of them come again.

    Every word is one of WORDS, and no word comes twice among the pairs of a document.
    """
    if not 1 <= pairs <= len(WORDS) // (1 + VALUE_WORDS) or n < 1 or asked < 0:
        raise ValueError(
            f"lookup text has 1 to {len(WORDS) // (1 + VALUE_WORDS)} pairs a document, 1 document "
            f"or more and 0 questions or more; got pairs={pairs}, n={n}, asked={asked}"
        )
    documents = []
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        entries = _entries(rng, pairs)
        again = [entries[i] for i in rng.integers(pairs, size=asked)]
        text = "".join(f" {word}" for entry in [*entries, *again] for word in entry)
        documents.append(Document(f"lookup-{number}", text, "lookup", "lookup", number))
    return documents


def lookup_probes(model: Model, n: int = 32, pairs: int = 4, seed: int = 1) -> Probes:
    """`n` lookups of that form: all pairs, one name again, and its value as the answer."""
    items = []
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        entries = _entries(rng, pairs)
        at = int(rng.integers(pairs))
        words = [word for entry in [*entries, entries[at]] for word in entry]
        ids = [model.encode(f" {word}") for word in words]
        if any(len(one) != 1 for one in ids):
            raise ValueError(
                "lookup probes need a tokenizer in which each of their words is one token: "
                "train_tokenizer on lookup_text"
            )
        value = at * (1 + VALUE_WORDS) + 1
        answer = (len(ids) - VALUE_WORDS, len(ids))
        probe = Probe(tuple(one[0] for one in ids), answer, (value, value + VALUE_WORDS), pairs)
        items.append(probe)
    longest = max(len(one.ids) for one in items)
    return Probes(tuple(items), longest, seed, model.identity["tokenizer_sha256"], "lookup text")


def _entries(rng: np.random.Generator, pairs: int) -> list[list[str]]:
    chosen = rng.permutation(len(WORDS))[: pairs * (1 + VALUE_WORDS)]
    return [[WORDS[i] for i in entry] for entry in chosen.reshape(pairs, 1 + VALUE_WORDS)]
