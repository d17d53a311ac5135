"""Where in a corpus texts stand that are not where they were scored.

A corpus that was sorted, cut into other files or compressed anew holds the same texts at other
places. That is told apart from changed texts by looking for their hashes, once something is amiss.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from workbench.core.progress import counted
from workbench.corpus.document import CorpusError, Document
from workbench.corpus.reading import read_corpus

_COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")


class Place(NamedTuple):
    """Source and row of a document."""

    source: str
    row: int

    def __str__(self) -> str:
        return f"{self.source!r:.200} row {self.row}"


def places_of(corpus: Any, digests: Iterable[bytes], **columns: Any) -> dict[bytes, Place] | None:
    """The first place of each text that the corpus holds; None if it can be read only once.

    Args:
        corpus: as `read_corpus` takes it, with the names of its `columns` (id, text, domain).
        digests: SHA-256 of the texts in UTF-8, 32 bytes each.

    Reads the corpus until all are found. What breaks it off ends the search with what was found.
    """
    if isinstance(corpus, Iterator):
        return None
    left, found = set(digests), {}
    try:
        with counted("looking for the texts", "doc", None) as done:
            for one in read_corpus(corpus, **columns):
                if not left:
                    break
                if isinstance(one, Document):
                    digest = hashlib.sha256(one.text.encode()).digest()
                    if digest in left:
                        left.discard(digest)
                        found[digest] = Place(one.source, one.row)
                done(1)
    except (CorpusError, OSError):
        pass  # what stopped the search is told by the check that came before it
    return found


def renamed(source: str, names: Iterable[str]) -> str | None:
    """Of the names of a corpus, the one of a file that may be `source` in another compression."""
    plain = _plain(source)
    return next((name for name in names if name != source and _plain(name) == plain), None)


def _plain(name: str) -> str:
    base, suffix = os.path.splitext(name)
    return base if suffix.lower() in _COMPRESSIONS else name
