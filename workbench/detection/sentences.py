"""Natural sentences out of texts in any language, plain enough to be the values of a JSON object.

Quotes and backslashes would be escaped in JSON and tokenized differently from the answer; a final
stop would merge with the closing quote. Neither occurs in what is kept.

There are two rules. English and what looks like it follows the narrower one, which came first:
seeded probes are drawn from its sentences, so it may not change. Everything else is cut where
Unicode says that sentences end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

import regex  # unlike re, it knows the properties of Unicode

WORDS = 5  # at least, where words stand apart
LETTERS = 8  # at least, where they do not

# Scripts that are written without spaces between words; a space is a pause there.
_JOINED = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}"
    r"\p{Balinese}\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}]"
)
# Terminators and what closes behind them. Those of ASCII are points of numbers, too, so a space
# must follow; each run is looked at once, however long it is.
_END = regex.compile(
    r"(?<![.!?])[.!?]++[\p{Pe}\p{Pf}\"']*+(?:\s|$)"
    r"|[[\p{STerm}\u2026]--[.!?]][\p{STerm}\u2026\p{Pe}\p{Pf}\"']*+\s?",
    regex.V1,
)
_PAUSE = regex.compile(r"\p{Terminal_Punctuation}\s*")
_LETTER = regex.compile(r"[\p{L}\p{M}]")
# From a capital, or a letter of a script without them, to a letter.
_PLAIN = regex.compile(
    r"(?!\p{Ll})[\p{L}\p{N}][\p{L}\p{M}\p{N}\u200c\u200d ,;'()\-\u2013\u2014\u2019"
    r"\u00b7\u30fb\u3001\uff0c\uff1b\uff1a\uff08\uff09\u060c\u061b]+[\p{L}\p{M}]"
)
Rule = Callable[[str], Iterator[Sequence[str]]]


class TooFewSentences(ValueError):
    """The texts do not hold the sentences that are needed."""


def rules(texts: Sequence[str]) -> list[Rule]:
    """The rules to try for some texts, one after the other while there are too few sentences.

    Args:
        texts: plain texts.

    Returns:
        `english` and then `unicode` where at least half of the letters are A to Z, else `unicode`.
    """
    letters = sum(map(str.isalpha, "".join(texts)))
    latin = sum(len(re.findall("[A-Za-z]", text)) for text in texts)
    return [english, unicode] if 2 * latin >= letters else [unicode]


def sentences(texts: Iterable[str], rule: Rule, fits: Callable[[str], bool]) -> list[str]:
    """Distinct sentences in the order of the texts.

    Args:
        texts: plain texts.
        rule: `english` or `unicode`.
        fits: whether a sentence is short enough.
    """
    kept: dict[str, None] = {}
    for text in texts:
        for choices in rule(text):
            if fits(choices[0]):
                kept[choices[0]] = None
            else:
                kept.update((clause, None) for clause in choices[1:] if fits(clause))
    return list(kept)


def english(text: str) -> Iterator[Sequence[str]]:
    """Sentences of ASCII letters, digits and few signs, each alone in a sequence.

    Args:
        text: a plain text.
    """
    for piece in re.split(r"(?<=[.!?])\s+|\n\s*\n", text):
        sentence = " ".join(piece.split()).rstrip(".!?")
        words = sentence.split()
        plain = re.fullmatch(r"[A-Z][A-Za-z0-9 ,;'()-]+[a-z]", sentence)
        if plain and len(words) >= WORDS and sum(w.isalpha() for w in words) >= 0.7 * len(words):
            yield [sentence]


def unicode(text: str) -> Iterator[Sequence[str]]:
    """Sentences in any script; behind each its clauses, to be taken where it is too long.

    Args:
        text: a plain text.
    """
    for block in _blocks(unicodedata.normalize("NFC", text)):
        for piece in _END.split(block):
            clauses = _PAUSE.split(piece)
            if _JOINED.search(piece):
                clauses = [part for clause in clauses for part in clause.split()]
            choices = [bare for bare in map(_bare, (piece, *clauses)) if _natural(bare)]
            if choices and choices[0] == _bare(piece):
                yield choices
            else:
                yield from ([choice] for choice in choices)


def _blocks(text: str) -> Iterator[str]:
    """Lines, with those that were only wrapped: the next one goes on in lower case."""
    block: list[str] = []
    for line in (" ".join(raw.split()) for raw in text.splitlines()):
        if block and not line[:1].islower():
            yield " ".join(block)
            block = []
        if line:
            block.append(line)
    yield " ".join(block)


def _bare(piece: str) -> str:
    """Without the signs around it, but for parentheses, which belong to something inside."""
    around = {sign for sign in piece if unicodedata.category(sign)[0] in "PSZ"} - set(
        "()\uff08\uff09"
    )
    return piece.strip("".join(around))


def _natural(sentence: str) -> bool:
    if not _PLAIN.fullmatch(sentence):
        return False
    letters = len(_LETTER.findall(sentence))
    if letters < 0.7 * len(sentence.replace(" ", "")):
        return False
    return len(sentence.split()) >= WORDS or len(_JOINED.findall(sentence)) >= LETTERS
