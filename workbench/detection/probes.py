"""Lookup probes: text in which the answer can only be copied from one known place.

One probe is a 3-shot key-value lookup (arXiv 2505.07293): an instruction, a JSON object whose keys
are random and whose values are natural sentences, three demonstrations, and a query key whose value
is the answer. Probes are drawn from a seed, can be saved, and have a digest, since a head set means
nothing without the text that it was detected on.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workbench.corpus.document import Document
from workbench.detection.sentences import LETTERS, WORDS, Rule, TooFewSentences, rules, sentences
from workbench.models.identity import tokenizer_sha256
from workbench.models.model import Model

INSTRUCTION = "Extract the value corresponding to the specified key from the JSON object below.\n\n"
SHOTS = 3
KEY_LENGTH = 32
VALUE_TOKENS = 30
_ALPHABET = np.array(list(string.ascii_letters + string.digits))


@dataclass(frozen=True)
class Probe:
    """One lookup as token ids.

    Attributes:
        ids: (T,) prompt and true answer, without special tokens.
        answer: positions [start, stop) of the answer in ids.
        value: positions [start, stop) of the same value inside the JSON object.
        pairs: how many pairs the object holds.

    Raises:
        ValueError: the value does not stand before the answer, or one of them not in `ids`.
    """

    ids: tuple[int, ...]
    answer: tuple[int, int]
    value: tuple[int, int]
    pairs: int

    def __post_init__(self) -> None:
        (start, stop), (first, last) = self.answer, self.value
        if not 0 <= first < last <= start < stop <= len(self.ids):
            raise ValueError(
                f"a probe needs its value before its answer inside {len(self.ids)} tokens, got "
                f"value {self.value} and answer {self.answer}"
            )


@dataclass(frozen=True)
class Probes:
    """A seeded, savable sequence of probes made with one tokenizer.

    Attributes:
        items: the probes.
        max_tokens: the largest length of a probe in tokens, BOS included.
        seed: the seed that they were drawn with.
        tokenizer_sha256: digest of the tokenizer that made them.
        variant: what was changed after they were drawn; "" for probes as drawn.
    """

    items: tuple[Probe, ...]
    max_tokens: int
    seed: int
    tokenizer_sha256: str
    variant: str = ""  # what was changed after they were drawn; "" for probes as drawn

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Probe]:
        return iter(self.items)

    def __getitem__(self, index: int) -> Probe:
        return self.items[index]

    def __repr__(self) -> str:
        tokens = [len(probe.ids) for probe in self.items]
        return (
            f"<Probes: {len(self)} lookups of {min(tokens)} to {max(tokens)} tokens, "
            f"{self.items[0].pairs} pairs in the first, seed {self.seed}"
            f"{', ' + self.variant if self.variant else ''}>"
        )

    @property
    def digest(self) -> str:
        """sha256 of everything in the probes: equal digests mean equal probes."""
        return hashlib.sha256(self._json().encode()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the probes as JSON.

        Args:
            path: the file to write.
        """
        Path(path).write_text(self._json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Probes:
        """Read what `save` wrote.

        Args:
            path: the file to read.

        Raises:
            ValueError: the file was not written by `save`.
        """
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            items = tuple(
                Probe(tuple(p["ids"]), tuple(p["answer"]), tuple(p["value"]), p["pairs"])
                for p in stored.pop("items")
            )
            return cls(items, **stored)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a file written by Probes.save: {error!r}") from error

    def _json(self) -> str:
        stored = asdict(self)
        if not self.variant:  # probes as drawn keep the digest that they had before variants
            del stored["variant"]
        return json.dumps(stored, sort_keys=True)


def make_probes(
    model: Model,
    n: int = 64,
    max_tokens: int = 1024,
    seed: int = 0,
    texts: Iterable[str | Document] | None = None,
) -> Probes:
    """Draw lookup probes, each close to and never above `max_tokens` tokens.

    The paper (arXiv 2505.07293) uses 800 probes of 4,096 tokens.

    Args:
        model: the model whose tokenizer makes the probes.
        n: how many probes.
        max_tokens: the largest length of a probe in tokens, answer and BOS included.
        seed: seed of keys, values and places.
        texts: texts or Documents, in any language, that the sentences come from (default: the
            environment corpus).

    Raises:
        ValueError: max_tokens is too small for a lookup with one pair more than the demonstrations,
            or larger than the model's context; the texts hold too few sentences; or the tokenizer
            cannot say which characters a token covers.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if max_tokens > model.context:
        raise ValueError(f"max_tokens is {max_tokens}, but the model reads only {model.context}")
    if not getattr(model.tokenizer, "is_fast", False):
        raise ValueError(
            "probes need to know which characters each token covers; this tokenizer cannot say. "
            "Load the model with a fast tokenizer"
        )
    plain = [
        text.text if isinstance(text, Document) else text
        for text in (_default_texts() if texts is None else texts)
    ]
    budget, digest = max_tokens - len(model.bos_ids), tokenizer_sha256(model.tokenizer)
    for rule in rules(plain):
        try:
            return Probes(_drawn(model, plain, rule, n, budget, seed), max_tokens, seed, digest)
        except TooFewSentences as error:
            lacking = error
    raise lacking


def _default_texts() -> list[Document]:
    from workbench.corpus.environment import environment_corpus

    return environment_corpus(max_documents=200, seed=0)


# ---- one probe --------------------------------------------------------------------------------


def _drawn(
    model: Model, texts: Sequence[str], rule: Rule, n: int, budget: int, seed: int
) -> tuple[Probe, ...]:
    """`n` lookups of values that this rule finds in the texts; TooFewSentences if it does not."""
    kept = sentences(texts, rule, lambda value: len(model.encode(value)) <= VALUE_TOKENS)
    if len(kept) < 4 * SHOTS:
        raise TooFewSentences(
            f"only {len(kept)} usable sentences in the texts; at least {4 * SHOTS} sentences of "
            f"{WORDS} words ({LETTERS} letters where words do not stand apart) to {VALUE_TOKENS} "
            "tokens are needed. Give more or longer prose"
        )
    rng = np.random.default_rng(seed)
    return tuple(_draw(model, kept, budget, rng) for _ in range(n))


def _draw(model: Model, values: Sequence[str], budget: int, rng: np.random.Generator) -> Probe:
    """The largest lookup that fits, with demonstrations and query at random places in it."""
    order = rng.permutation(len(values))
    keys = [random_key(rng) for _ in range(len(order))]
    pairs = [(key, values[i]) for key, i in zip(keys, order, strict=True)]
    asked = rng.permutation(_fitting(model, pairs, budget))
    # From the largest that might fit downwards: the size is not known before it is tokenized.
    for size in range(len(asked), SHOTS, -1):
        chosen = [int(i) for i in asked if i < size][: SHOTS + 1]
        probe = build_probe(model, pairs[:size], chosen)
        if len(probe.ids) <= budget and size == len(pairs) and len(probe.ids) < 0.8 * budget:
            raise TooFewSentences(
                f"{len(pairs)} usable sentences fill only {len(probe.ids)} of {budget} tokens: "
                "give more text, or lower max_tokens"
            )
        if len(probe.ids) <= budget:
            return probe
    raise ValueError(
        f"{budget} tokens are too few for a lookup with {SHOTS} demonstrations and a query: "
        "raise max_tokens (about 500 is the least for most tokenizers)"
    )


def random_key(rng: np.random.Generator) -> str:
    """A key of a lookup: 32 random letters and digits.

    Args:
        rng: draws them.
    """
    return "".join(rng.choice(_ALPHABET, KEY_LENGTH))


def _fitting(model: Model, pairs: Sequence[tuple[str, str]], budget: int) -> int:
    """How many pairs may fit at most, by tokenizing as many as `budget` could ever hold."""
    likely = min(len(pairs), max(SHOTS + 1, budget // 12))
    whole = _object(pairs[:likely])
    starts = [m.start() for m in re.finditer(r'(?<=[\n{])"', whole)]
    offsets = model.tokenizer(
        whole, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    ).offset_mapping
    token_starts = np.array([start for start, _ in offsets])
    # The demonstrations and the query repeat four pairs; 60 tokens is a floor for the rest.
    used = np.searchsorted(token_starts, starts)
    return int(np.clip((used < budget - 60).sum(), SHOTS + 1, likely))


def _object(pairs: Sequence[tuple[str, str]]) -> str:
    return "{" + ",\n".join(f'"{key}": "{value}"' for key, value in pairs) + "}"


def build_probe(
    model: Model,
    pairs: Sequence[tuple[str, str]],
    chosen: Sequence[int],
    asked_key: str | None = None,
) -> Probe:
    """The probe that demonstrates the first three of some pairs and asks for the last of them.

    Args:
        model: the model whose tokenizer makes the probe.
        pairs: keys and values of the JSON object, in order.
        chosen: indices into `pairs`: those demonstrated, and last the one asked for.
        asked_key: another key to ask with (a control: then no key leads to the answer).
    """
    text = INSTRUCTION + _object(pairs) + "\n\n"
    beside, value = pairs[chosen[-1]]
    in_object = text.index(beside) + KEY_LENGTH + len('": "')
    shown = [*(pairs[i] for i in chosen[:-1]), (asked_key or beside, value)]
    for key, of_key in shown:
        text += f'Key: "{key}"\nValue: "{of_key}"\n\n'
    text = text[: -len('"\n\n')]  # the answer ends with its last word
    encoded = model.tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    offsets = encoded.offset_mapping
    return Probe(
        tuple(encoded.input_ids),
        _span(offsets, len(text) - len(value), len(text)),
        _span(offsets, in_object, in_object + len(value)),
        len(pairs),
    )


def _span(offsets: Sequence[tuple[int, int]], start: int, stop: int) -> tuple[int, int]:
    """Positions of the tokens that lie in characters [start, stop), at least by half."""
    inside = [
        i
        for i, (a, b) in enumerate(offsets)
        if b > a and 2 * (min(b, stop) - max(a, start)) >= b - a and min(b, stop) > max(a, start)
    ]
    return inside[0], inside[-1] + 1
