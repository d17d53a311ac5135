"""Held-out documents that are not trained on in disguise: other sources, and no near-duplicates.

A document drawn at random from a corpus that nobody has deduplicated has its twin, its template or
the other half of its file among what is trained on; its loss then says what was memorised.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.corpus.deduplication import near_duplicates
from workbench.corpus.document import Document
from workbench.corpus.minhash import ngram_hashes, part_hashes

NGRAM = 13  # words, as in `shared_ngrams`


@dataclass(frozen=True, eq=False, repr=False)
class HeldOutSplit:
    """Documents to train on and documents to read.

    Attributes:
        training: to be trained on, in the order given.
        held_out: never to be trained on, in the order given.
        domains: one row a domain: domain, documents, training, held_out, taken_out, and by: whether
            whole sources were drawn ("source"), or single documents, since there are too few
            sources ("document").
        taken_out: the documents that are in neither part: doc_id, domain, source, row and overlap,
            the share of their 13-grams that stand in what is trained on.
    """

    training: list[Document]
    held_out: list[Document]
    domains: pd.DataFrame
    taken_out: pd.DataFrame

    def __repr__(self) -> str:
        return (
            f"HeldOutSplit: {len(self.training)} documents to train on, {len(self.held_out)} held "
            f"out, {len(self.taken_out)} in neither\n{self.domains.to_string(index=False)}"
        )


def held_out_split(
    documents: Iterable[Document],
    share: float = 0.1,
    seed: int = 0,
    *,
    group: Callable[[Document], Hashable] | None = None,
    threshold: float | None = 0.8,
    overlap: float = 0.25,
) -> HeldOutSplit:
    """Split documents into those to train on and held-out ones that are not these in disguise.

    Documents of one source, and near-duplicates (`near_duplicates`, whatever their domains, as far
    as it finds them), are drawn together, so that they never stand on both sides. Then held-out
    documents of which too much stands word for word in training documents are taken out. What is
    left may still share single passages with them, below `overlap`.

    Args:
        documents: the documents.
        share: of the documents of each domain that are drawn, in (0, 1), rounded up; fewer where
            what has to be drawn together is larger. One document of a domain is trained on at
            least.
        seed: of the draw.
        group: gives the source of a document, such as the package that a file belongs to. None: its
            `source` (in the environment corpus the file, so that a module and its docstrings are
            one); in a domain of fewer sources than would hold the share, such as a single JSONL
            file, each document is its own.
        threshold: of `near_duplicates`; None: only exact copies are drawn together, which needs no
            library.
        overlap: the share of its different 13-grams (words) that stand in training documents, from
            which on a held-out document is taken out.

    Returns:
        The two parts, with a report of what was taken out.

    Raises:
        ValueError: share or overlap is out of range, or no document can be held out.
        ImportError: the package datasketch is missing, and threshold is not None.
    """
    documents = list(documents)
    if not 0 < share < 1 or not 0 < overlap <= 1:
        raise ValueError(
            f"share is {share} and overlap {overlap}; expected 0 < share < 1 and 0 < overlap <= 1"
        )
    keys, by = _groups(documents, share, group)
    units = _units(documents, keys, threshold)
    drawn = _draw(documents, units, share, seed)
    training = [document for document, out in zip(documents, drawn, strict=True) if not out]
    overlaps = _overlaps(training, [d for d, out in zip(documents, drawn, strict=True) if out])
    held_out, taken = [], []
    for document, value in overlaps:
        if value < overlap:
            held_out.append(document)
        else:
            place = document.doc_id, document.domain, document.source, document.row
            taken.append((*place, value))
    if not held_out:
        raise ValueError(
            f"none of {len(documents)} documents can be held out ({len(taken)} overlap too much "
            "with the others, or all are of one source or near-duplicates): give more documents, "
            "another group=, or a higher overlap="
        )
    columns = ["doc_id", "domain", "source", "row", "overlap"]
    counts = [
        Counter(document.domain for document in part) for part in (documents, training, held_out)
    ]
    rows = [
        (domain, *(count[domain] for count in counts), by[domain]) for domain in sorted(counts[0])
    ]
    domains = pd.DataFrame(rows, columns=["domain", "documents", "training", "held_out", "by"])
    left = domains["documents"] - domains["training"] - domains["held_out"]
    domains.insert(4, "taken_out", left)
    return HeldOutSplit(training, held_out, domains, pd.DataFrame(taken, columns=columns))


def _groups(
    documents: Sequence[Document], share: float, group: Callable[[Document], Hashable] | None
) -> tuple[list[Hashable], dict[str, str]]:
    """What each document is drawn with, and by what each domain is drawn."""
    if group is not None:
        return [group(document) for document in documents], dict.fromkeys(
            (document.domain for document in documents), "source"
        )
    sources: dict[str, set[str]] = {}
    for document in documents:
        sources.setdefault(document.domain, set()).add(document.source)
    by = {
        domain: "source" if len(names) * share >= 1 else "document"
        for domain, names in sources.items()
    }
    keys: list[Hashable] = [
        _file(document.source)
        if by[document.domain] == "source"
        else (document.source, document.row)
        for document in documents
    ]
    return keys, by


def _file(source: str) -> str:
    """The file of a source; in the environment corpus the domain stands in front of it."""
    return source.split("/", 2)[2] if source.startswith("environment/") else source


def _units(
    documents: Sequence[Document], keys: Sequence[Hashable], threshold: float | None
) -> np.ndarray:
    """The number of the unit of each document: of one key, or near-duplicates, or both in turn."""
    plain = [
        Document(str(i), document.text, "all", "split", i) for i, document in enumerate(documents)
    ]  # in one domain, since near-duplicates are looked for inside a domain
    clusters = near_duplicates(plain, threshold=threshold).table
    alike = dict(zip(clusters["row"], clusters["cluster"], strict=True))
    root = list(range(len(documents)))

    def find(number: int) -> int:
        while root[number] != number:
            root[number] = root[root[number]]
            number = root[number]
        return number

    first: dict[tuple[str, Hashable], int] = {}
    for number, key in enumerate(keys):
        ties = [("key", key)]
        if number in alike:
            ties.append(("cluster", alike[number]))
        for tie in ties:
            root[find(number)] = find(first.setdefault(tie, number))
    return np.array([find(number) for number in range(len(documents))], dtype=int)


def _draw(documents: Sequence[Document], units: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Whether each document is held out; units are tried in the order of a seeded hash."""
    budget = {
        domain: min(math.ceil(share * count), count - 1)
        for domain, count in Counter(document.domain for document in documents).items()
    }
    members: dict[int, list[int]] = {}
    for number, unit in enumerate(units):
        members.setdefault(int(unit), []).append(number)

    def order(unit: int) -> str:
        places = sorted((documents[i].source, documents[i].row) for i in members[unit])
        return hashlib.sha256(f"{seed}:{places[0]}".encode()).hexdigest()

    drawn = np.zeros(len(documents), bool)
    for unit in sorted(members, key=order):
        needed = Counter(documents[number].domain for number in members[unit])
        if all(count <= budget[domain] for domain, count in needed.items()):
            drawn[members[unit]] = True
            for domain, count in needed.items():
                budget[domain] -= count
    return drawn


def _overlaps(
    training: Sequence[Document], held_out: Sequence[Document]
) -> list[tuple[Document, float]]:
    """Of each held-out document the share of its n-grams that stand in training documents."""

    def ngrams(document: Document) -> np.ndarray:
        return np.unique(ngram_hashes(part_hashes(document.text), NGRAM))

    wanted = [ngrams(document) for document in held_out]
    every = np.unique(np.concatenate([*wanted, np.zeros(0, np.uint64)]))
    there = np.zeros(len(every), bool)
    for document in training:  # one after the other: their n-grams are never held all at once
        there |= np.isin(every, ngrams(document), assume_unique=True)
    known = every[there]
    return [
        (document, float(np.isin(own, known).mean()) if len(own) else 0.0)
        for document, own in zip(held_out, wanted, strict=True)
    ]
