"""A small world of made-up words in which it is known which documents need retrieval.

Four kinds of documents, all of the same length: lookups, whose answers can only be fetched from the
document itself; verbatim repetition, which copying heads foretell; boilerplate with slips, which a
model knows by heart; and plain text of a bigram model. A score that is to find documents that need
retrieval has to choose the lookups. There are three sorts of them:

- "literal": names come again with their values, word for word (`lookup_text`);
- "new_contexts": a value comes again behind another word than before, so no bigram repeats;
- "programs": values are handed from variable to variable, and printed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from transformers import PreTrainedTokenizerFast

from workbench.corpus.document import Document
from workbench.detection.probes import Probe, Probes
from workbench.models.identity import tokenizer_sha256
from workbench.models.model import Model
from workbench.training.decoder import Decoder
from workbench.training.lookup_corpus import WORDS, lookup_probes, lookup_text, word_tokenizer
from workbench.training.pretraining import Recipe, Training, pretrain

Variant = Literal["literal", "new_contexts", "programs"]
MARKS = GIVES, IS, SAY = "gives", "is", "say"  # the words in front of an answer, or a name asked
LOOKUPS = 0.10
OTHERS = {"repetition": 15, "boilerplate": 15, "bigram": 60}  # how the rest is shared out
PAIRS = 6  # of the new contexts
SUCCESSORS = 5  # words that may follow a word in bigram text
SLIPS = 0.05  # share of a boilerplate's words that are replaced in a document
PASSAGE = (8, 16)  # least and most words of a passage that is repeated


def planted_world(
    n: int,
    variant: Variant = "literal",
    *,
    lookups: float = LOOKUPS,
    words: int = 64,
    seed: int = 0,
) -> list[Document]:
    """Documents of the four kinds, in mixed order.

    Which word follows which in bigram text, and the four boilerplates, are the same for every seed:
    a selector trained on one draw knows the language of all others.

    Args:
        n: number of documents.
        variant: of the lookups: "literal", "new_contexts" or "programs".
        lookups: their share; the rest is repetition, boilerplate and bigram text as 15 : 15 : 60.
        words: words of a document.
        seed: of the draws.

    Returns:
        The documents, of the domain "planted"; `carried["kind"]` is "lookup", "repetition",
        "boilerplate" or "bigram" (`planted_kinds`).

    Raises:
        ValueError: an unknown variant, or a number out of range.
    """
    _require(variant)
    if n < 1 or not 0 <= lookups <= 1 or words < 2 * PAIRS + 3:
        raise ValueError(
            f"a planted world has 1 document or more, a share of lookups from 0 to 1, and "
            f"{2 * PAIRS + 3} words or more a document; got n={n}, lookups={lookups}, words={words}"
        )
    asked = round(n * lookups)
    counts = {kind: (n - asked) * share // sum(OTHERS.values()) for kind, share in OTHERS.items()}
    counts["bigram"] = n - asked - counts["repetition"] - counts["boilerplate"]
    texts = [("lookup", text) for text in _lookups(variant, asked, words, seed)]
    for kind, count in counts.items():
        for number in range(count):
            rng = np.random.default_rng([seed, list(OTHERS).index(kind), number])
            texts.append((kind, _spelt(_MAKERS[kind](rng, words))))
    order = np.random.default_rng(seed).permutation(n)
    return [
        Document(
            f"{texts[i][0]}-{i}", texts[i][1], "planted", "planted", row,
            carried={"kind": texts[i][0]},
        )
        for row, i in enumerate(order)
    ]  # fmt: skip


def planted_kinds(documents: Sequence[Document]) -> list[str]:
    """The kind of each document of a planted world.

    Args:
        documents: what `planted_world` returned, or some of it.

    Returns:
        "lookup", "repetition", "boilerplate" or "bigram", one a document.

    Raises:
        ValueError: a document is of no planted world.
    """
    lacking = [document.doc_id for document in documents if "kind" not in document.carried]
    if lacking:
        raise ValueError(
            f"{len(lacking)} documents are of no planted world, for example {lacking[0]!r:.200}: "
            "give what planted_world returned"
        )
    return [str(document.carried["kind"]) for document in documents]


def planted_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each word of the planted world.

    Returns:
        The tokenizer, with an end token.
    """
    return word_tokenizer((*WORDS, *MARKS))


def planted_selector(
    variant: Variant = "literal",
    *,
    decoder: Decoder | None = None,
    steps: int = 2200,
    documents: int = 24_000,
    lookups: float = 0.55,
    beside: Variant | None = None,
    seed: int = 0,
    out: str | Path | None = None,
) -> Training:
    """Train a decoder in the planted world, on a mixture in which lookups are frequent.

    Heads that retrieve come up late: with 900 steps in place of 2,200 none does. Values in new
    contexts are not learnt in these steps alone (accuracy of the answers .08, with literal lookups
    beside them .99). What a score chooses depends on the selector: look at several.

    Args:
        variant: of the world.
        decoder: its shape; None: 3 layers of 4 heads, 64 wide.
        steps: optimizer steps, of 2,048 tokens each with the decoder's default.
        documents: how many are trained on; drawn apart from those of other seeds.
        lookups: their share.
        beside: a variant of which half of the documents are; None: "literal" for "new_contexts",
            and no other for the rest.
        seed: of the first weights, and of the documents.
        out: a folder to write to, from which a stopped run goes on; None: nothing is written.

    Returns:
        The model with its history.
    """
    decoder = decoder or Decoder(layers=3, width=64, heads=4, context=128)
    beside = beside or ("literal" if variant == "new_contexts" else variant)
    names = dict.fromkeys((variant, beside))
    worlds = [
        planted_world(
            documents // len(names), name, lookups=lookups, seed=1_000_000 + 2 * seed + number
        )
        for number, name in enumerate(names)
    ]
    return pretrain(
        [document for together in zip(*worlds, strict=True) for document in together],
        Recipe(decoder, steps=steps, batch=16, learning_rate=4e-3, warm_up=0.02),
        tokenizer=planted_tokenizer(), out=out, seed=seed,
    )  # fmt: skip


def planted_probes(
    model: Model, variant: Variant = "literal", n: int = 32, seed: int = 1
) -> Probes:
    """Lookups of the form of the world's: a document up to a question, and its answer.

    Args:
        model: a model trained with `planted_tokenizer`.
        variant: of the world.
        n: number of probes.
        seed: of the draws.

    Returns:
        The probes.

    Raises:
        ValueError: an unknown variant, or a word is not one token in the model's tokenizer.
    """
    _require(variant)
    if variant == "literal":
        return lookup_probes(model, n, seed=seed)
    probes = []
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        words, answers = _FORMS[variant](rng, 64)
        answer, value = answers[rng.integers(len(answers))]
        ids = [model.encode(f" {word}") for word in words[: answer + 1]]
        if any(len(tokens) != 1 for tokens in ids):
            raise ValueError(
                "planted probes need a tokenizer in which each of their words is one token: train "
                "the model with planted_tokenizer()"
            )
        flat = tuple(tokens[0] for tokens in ids)
        probes.append(Probe(flat, (answer, answer + 1), (value, value + 1), PAIRS))
    longest = max(len(probe.ids) for probe in probes)
    return Probes(
        tuple(probes), longest, seed, tokenizer_sha256(model.tokenizer), f"planted {variant}"
    )


def _require(variant: str) -> None:
    if variant not in get_args(Variant):
        raise ValueError(f"variant must be one of {', '.join(get_args(Variant))}, got {variant!r}")


def _spelt(words: Sequence[str]) -> str:
    return "".join(f" {word}" for word in words)


def _lookups(variant: Variant, count: int, words: int, seed: int) -> list[str]:
    if variant == "literal":
        return [d.text for d in lookup_text(count, words=words, seed=seed)] if count else []
    rngs = (np.random.default_rng([seed, 9, number]) for number in range(count))
    return [_spelt(_FORMS[variant](rng, words)[0]) for rng in rngs]


# ---- lookups: the words, and (place of an answer, place of its value) of each question ----------


Lookup = tuple[list[str], list[tuple[int, int]]]


def _new_contexts(rng: np.random.Generator, words: int) -> Lookup:
    """Names with values; then names again, the value each time behind another marking word."""
    chosen = [WORDS[i] for i in rng.permutation(len(WORDS))[: 2 * PAIRS]]
    text, answers = list(chosen), []
    marks = [rng.permutation(MARKS) for _ in range(PAIRS)]
    for turn in range(len(MARKS)):
        for pair in rng.permutation(PAIRS):
            answers.append((len(text) + 2, 2 * int(pair) + 1))
            text += [chosen[2 * pair], str(marks[pair][turn]), chosen[2 * pair + 1]]
    return text[:words], [(answer, value) for answer, value in answers if answer < words]


def _programs(rng: np.random.Generator, words: int) -> Lookup:
    """Short programs: two variables get a value, a third that of the first; two are printed."""
    order = rng.permutation(len(WORDS))
    text: list[str] = []
    answers: list[tuple[int, int]] = []
    for number in range(len(order) // 5):
        a, b, c, v, w = (WORDS[i] for i in order[5 * number : 5 * number + 5])
        start = len(text)
        text += [a, IS, v, b, IS, w, c, IS, a]
        for variable, value in ((c, start + 2), ((a, start + 2), (b, start + 5))[rng.integers(2)]):
            answers.append((len(text) + 2, value))
            text += [SAY, variable, text[value]]
    return text[:words], [(answer, value) for answer, value in answers if answer < words]


_FORMS: dict[str, Callable[[np.random.Generator, int], Lookup]] = {
    "new_contexts": _new_contexts,
    "programs": _programs,
}


# ---- the other kinds ----------------------------------------------------------------------------


@cache
def _language() -> tuple[list[list[str]], np.ndarray]:
    """The successors of every word, and the four boilerplates as runs of bigram text."""
    rng = np.random.default_rng(20260)
    successors = np.stack([rng.permutation(len(WORDS))[:SUCCESSORS] for _ in WORDS])
    boilerplates = [_chain(rng, 512, successors) for _ in range(4)]
    return boilerplates, successors


def _chain(rng: np.random.Generator, words: int, successors: np.ndarray) -> list[str]:
    text = [int(rng.integers(len(WORDS)))]
    for step in rng.integers(SUCCESSORS, size=words - 1):
        text.append(int(successors[text[-1], step]))
    return [WORDS[i] for i in text]


def _bigram(rng: np.random.Generator, words: int) -> list[str]:
    return _chain(rng, words, _language()[1])


def _repetition(rng: np.random.Generator, words: int) -> list[str]:
    passage = _bigram(rng, int(rng.integers(PASSAGE[0], PASSAGE[1] + 1)))
    return (passage * words)[:words]


def _boilerplate(rng: np.random.Generator, words: int) -> list[str]:
    boilerplates = _language()[0]
    text = boilerplates[rng.integers(len(boilerplates))][:words]
    return [
        WORDS[rng.integers(len(WORDS))] if slip else word
        for word, slip in zip(text, rng.random(words) < SLIPS, strict=True)
    ]


_MAKERS: dict[str, Callable[[np.random.Generator, int], list[str]]] = {
    "repetition": _repetition,
    "boilerplate": _boilerplate,
    "bigram": _bigram,
}
