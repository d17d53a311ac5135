"""Broken on purpose: what does a score listen to?

Each document is changed in one respect and scored again. A score that follows the argument falls
when its sentences are shuffled; one that follows copying rises when a passage is repeated.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from workbench.core.frames import TableLike, as_html, frame_of
from workbench.core.intervals import mean_interval
from workbench.corpus.document import Document, Skipped
from workbench.corpus.reading import text_sha256

KINDS = ("shuffled", "swapped", "renamed", "repeated", "header")
HEADER = (
    'Licensed under the Apache License, Version 2.0 (the "License");\n'
    "you may not use this file except in compliance with the License.\n"
    "You may obtain a copy of the License at\n\n"
    "    http://www.apache.org/licenses/LICENSE-2.0\n\n"
)  # the notice that this licence says to put in front of files
LENGTHS = (0.75, 1.25)  # a changed document has as many characters as the original, within these
_PIECE = re.compile(r".+?(?:(?<=[.!?])\s+|\n+|$)", re.DOTALL)  # a sentence or line, and its end
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_ONE_LETTER_WORDS = {"a", "A", "I"}
_CODE_WORDS = {*keyword.kwlist, "self", "cls", "None", "True", "False"}
_LETTERS = ("aeiou", "bcdfghjklmnpqrstvwxz")


class _Cannot(Exception):
    """Why a document cannot be changed."""


def counterfactuals(
    documents: Sequence[Document], kinds: Sequence[str] = KINDS, *, seed: int = 0
) -> list[Document | Skipped]:
    """Every document, changed in each way.

    - "shuffled": its sentences (lines, where these end first) in another order;
    - "swapped": from the middle on it is another document of its domain;
    - "renamed": names and identifiers that come twice or more are other ones, the same throughout;
    - "repeated": its second half is its first half once more;
    - "header": a licence notice in front, and as much off the end.

    Args:
        documents: the originals.
        kinds: which changes.
        seed: of all draws; what becomes of a document depends on the seed, its text and, if it is
            swapped, the other documents of its domain.

    Returns:
        For each document, in order, and each kind: the changed document, about as long, or a
        Skipped with the reason why there is none. The source is that of the original behind
        "<kind>/"; `carried` holds "counterfactual" (the kind) and "original" (the doc_id).

    Raises:
        ValueError: there is no such kind, or no document.
    """
    unknown = [kind for kind in kinds if kind not in _CHANGES]
    if unknown or not kinds or not documents:
        raise ValueError(
            f"counterfactuals need a document, and kinds out of {', '.join(KINDS)}; got "
            f"{len(documents)} documents and {list(kinds)}"
        )
    domains: dict[str, list[Document]] = {}
    for document in documents:
        domains.setdefault(document.domain, []).append(document)
    changed: list[Document | Skipped] = []
    for document in documents:
        digest = int(text_sha256(document.text)[:16], 16)
        for kind in kinds:
            rng = np.random.default_rng([seed, KINDS.index(kind), digest])
            source = f"{kind}/{document.source}"
            try:
                text = _CHANGES[kind](document, domains[document.domain], rng)
            except _Cannot as reason:
                changed.append(
                    Skipped(document.doc_id, document.domain, source, document.row, str(reason))
                )
                continue
            carried = {**document.carried, "counterfactual": kind, "original": document.doc_id}
            changed.append(replace(document, text=text, source=source, carried=carried))
    return changed


def _shuffled(document: Document, _: Sequence[Document], rng: np.random.Generator) -> str:
    pieces = _PIECE.findall(document.text)
    texts = [piece.rstrip() for piece in pieces]
    filled = [i for i, text in enumerate(texts) if text]
    if len({texts[i] for i in filled}) < 3:
        raise _Cannot("fewer than three different sentences or lines")
    ends = [piece[len(text) :] for piece, text in zip(pieces, texts, strict=True)]
    order = filled
    while [texts[i] for i in order] == [texts[i] for i in filled]:
        order = [filled[i] for i in rng.permutation(len(filled))]
    for place, new in zip(filled, [texts[i] for i in order], strict=True):
        texts[place] = new
    return "".join(text + end for text, end in zip(texts, ends, strict=True))


def _swapped(document: Document, domain: Sequence[Document], rng: np.random.Generator) -> str:
    middle = _middle(document.text)
    need = len(document.text) - middle
    halves = [other.text[_middle(other.text) :] for other in domain if other.text != document.text]
    long = [half for half in halves if len(half) >= LENGTHS[0] * need]
    if not long:
        raise _Cannot("no other document of its domain has a second half of this length")
    half = long[int(rng.integers(len(long)))]
    return document.text[:middle] + _cut(half, need)


def _renamed(document: Document, _: Sequence[Document], rng: np.random.Generator) -> str:
    text = document.text
    words = list(_WORD.finditer(text))
    counts = Counter(word[0] for word in words)
    begins = {word[0] for word in words if not _begins_sentence(text, word.start())}
    names = [word for word, n in counts.items() if n > 1 and _is_name(word, word in begins)]
    if not names:
        raise _Cannot("no name or identifier comes twice")
    new: dict[str, str] = {}
    taken = set(counts)
    for name in names:
        for _attempt in range(100):
            new[name] = _alike(name, rng)
            if new[name] not in taken:
                break
        else:
            raise _Cannot("no free name of this form is left")
        taken.add(new[name])
    return _WORD.sub(lambda word: new.get(word[0], word[0]), text)


def _is_name(word: str, inside: bool) -> bool:
    """Whether a word is a name: by a capital inside a sentence, a digit, or as an identifier.

    Args:
        word: the word.
        inside: whether it also stands where no sentence begins.
    """
    if word in _CODE_WORDS or word in _ONE_LETTER_WORDS or not re.search("[A-Za-z]", word):
        return False
    if len(word) == 1 or "_" in word or re.search("[0-9]", word) or re.search("[a-z][A-Z]", word):
        return True
    return inside and word[0].isupper() and word[1:].islower()


def _begins_sentence(text: str, at: int) -> bool:
    before = text[:at].rstrip(" \t\"'(")
    return not before or before[-1] in ".!?:\n"


def _alike(name: str, rng: np.random.Generator) -> str:
    """Another name of the same form: vowels for vowels, consonants for consonants."""

    def letter(old: str) -> str:
        alphabet = _LETTERS[old.lower() not in "aeiou"]
        drawn = alphabet[int(rng.integers(len(alphabet)))]
        return drawn.upper() if old.isupper() else drawn

    return re.sub("[A-Za-z]", lambda old: letter(old[0]), name)


def _repeated(document: Document, _: Sequence[Document], rng: np.random.Generator) -> str:
    middle = _middle(document.text)
    first = document.text[:middle]
    return first + _cut(first, len(document.text) - middle)


def _header(document: Document, _: Sequence[Document], rng: np.random.Generator) -> str:
    if len(document.text) < 2 * len(HEADER):
        raise _Cannot(f"shorter than two headers ({2 * len(HEADER)} characters)")
    return HEADER + _cut(document.text, len(document.text) - len(HEADER))


_CHANGES: dict[str, Callable[[Document, Sequence[Document], np.random.Generator], str]] = {
    "shuffled": _shuffled,
    "swapped": _swapped,
    "renamed": _renamed,
    "repeated": _repeated,
    "header": _header,
}


def _middle(text: str) -> int:
    """Where the sentence or line begins that is nearest to the middle; else a word."""
    half = len(text) // 2
    starts = [piece.end() for piece in _PIECE.finditer(text)]
    near = [at for at in starts if abs(at - half) <= len(text) // 8]
    if near:
        return min(near, key=lambda at: abs(at - half))
    space = text.find(" ", half)
    if half == 0 or space < 0 or space - half > len(text) // 8:
        raise _Cannot("no sentence, line or word begins near its middle")
    return space + 1


def _cut(text: str, length: int) -> str:
    """The beginning of a text, at most so long, up to white space if there is some near by."""
    if len(text) <= length:
        return text
    end = max(text.rfind(" ", 0, length + 1), text.rfind("\n", 0, length + 1))
    return text[: end if end > LENGTHS[0] * length else length]


# ---- the response -------------------------------------------------------------------------------


class _Missing(NamedTuple):
    kind: str
    column: str
    reason: str


@dataclass(frozen=True, repr=False)
class PairedResponse:
    """How columns of scores answer to a change of the text.

    Attributes:
        frame: one row a kind of change and column: kind, column, n (pairs in which both texts have
            a value), missing (pairs in which one has none), before and after (means), difference
            (mean of after - before), low, high (95 % percentile bootstrap over pairs), spread
            (standard deviation of the column over the documents before) and standardised
            (difference / spread).
        left_out: kind, column and reason of what has no row.
    """

    frame: pd.DataFrame
    left_out: pd.DataFrame

    def __repr__(self) -> str:
        return f"{self._heading()}\n{self.frame.round(3)!r}{self._gaps()}"

    def _repr_html_(self) -> str:
        gaps = as_html("left out:", self.left_out) if len(self.left_out) else ""
        return as_html(self._heading(), self.frame.round(3), index=True) + gaps

    def _heading(self) -> str:
        kinds, columns = self.frame["kind"].nunique(), self.frame["column"].nunique()
        return f"Paired response: {kinds} kinds of change, {columns} columns"

    def _gaps(self) -> str:
        return "".join(
            f"\nleft out: {row.kind}, {row.column}: {row.reason}"
            for row in self.left_out.itertuples()
        )


def paired_response(
    before: TableLike,
    after: TableLike,
    columns: Sequence[str],
    *,
    by: str = "kind",
    key: str = "doc_id",
    draws: int = 2000,
    seed: int = 0,
) -> PairedResponse:
    """How much each column changes, paired by text.

    Args:
        before: one row an original.
        after: one row a changed document, with the key of its original.
        columns: numeric columns of both tables; a missing value is NaN or None.
        by: the column of `after` with the kind of change.
        key: the column that pairs the rows; once a document in `before`, and once a document and
            kind in `after`.
        draws: bootstrap draws of pairs.
        seed: of the draws.

    Returns:
        The mean difference of every kind and column, with its interval; what cannot be formed is
        left out with a reason.

    Raises:
        ValueError: a column is missing, or a key comes twice.
    """
    old, new = frame_of(before), frame_of(after)
    _require_columns(old, [key, *columns], "before")
    _require_columns(new, [key, by, *columns], "after")
    if old[key].duplicated().any() or new.duplicated([key, by]).any():
        raise ValueError(
            f"{key!r} must come once in `before`, and once for each {by} in `after`: give another "
            "key, or leave the doubles out"
        )
    rows, gaps = [], []
    for kind, part in new.groupby(by, sort=False):
        pairs = old[[key, *columns]].merge(part[[key, *columns]], on=key, suffixes=("", " after"))
        for column in columns:
            first = pairs[column].to_numpy(float, na_value=np.nan)
            second = pairs[f"{column} after"].to_numpy(float, na_value=np.nan)
            there = np.isfinite(first) & np.isfinite(second)
            spread = float(np.nanstd(old[column].to_numpy(float, na_value=np.nan)))
            if there.sum() < 2 or not spread > 0:
                reason = (
                    f"{there.sum()} pairs have a value in both texts, two are needed"
                    if there.sum() < 2
                    else "the column is the same for all documents before"
                )
                gaps.append(_Missing(str(kind), column, reason))
                continue
            difference = (second - first)[there]
            (low,), (high,) = mean_interval(difference[:, None], draws, seed)
            mean = float(difference.mean())
            rows.append({
                "kind": kind, "column": column, "n": int(there.sum()),
                "missing": int((~there).sum()), "before": first[there].mean(),
                "after": second[there].mean(), "difference": mean, "low": low, "high": high,
                "spread": spread, "standardised": mean / spread,
            })  # fmt: skip
    names = ["kind", "column", "n", "missing", "before", "after", "difference", "low", "high",
             "spread", "standardised"]  # fmt: skip
    return PairedResponse(
        pd.DataFrame(rows, columns=names), pd.DataFrame(gaps, columns=list(_Missing._fields))
    )


def _require_columns(frame: pd.DataFrame, names: Sequence[str], table: str) -> None:
    lacking = [name for name in names if name not in frame]
    if lacking:
        raise ValueError(
            f"`{table}` has no column {', '.join(map(repr, lacking))}; it has "
            f"{', '.join(map(str, frame.columns))}"
        )
