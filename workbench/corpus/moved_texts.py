"""Where in a corpus texts stand that are not where they were scored.

A corpus that was sorted, cut into other files or compressed anew holds the same texts at other
places. Looking for their hashes tells this apart from changed texts, once something is amiss.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from workbench.core.progress import progress_bar
from workbench.corpus.document import CorpusError, Document
from workbench.corpus.reading import read_corpus

_COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")


class Place(NamedTuple):
    """Where a document lies.

    Attributes:
        source: the name of its source.
        row: its number in the source, from 0.
    """

    source: str
    row: int

    def __str__(self) -> str:
        return f"{self.source!r:.200} row {self.row}"


def places_of(corpus: Any, digests: Iterable[bytes], **columns: Any) -> dict[bytes, Place] | None:
    """The first place of each text that the corpus holds.

    Reads the corpus until all are found. What breaks it off ends the search with what was found.

    Args:
        corpus: any corpus that `read_corpus` takes.
        digests: SHA-256 of the texts in UTF-8, 32 bytes each.
        **columns: the names of the columns, as `read_corpus` takes them (id, text, domain).

    Returns:
        The places by digest; None for a corpus that can be read only once.
    """
    if isinstance(corpus, Iterator):
        return None
    left, places = set(digests), {}
    try:
        with progress_bar("looking for the texts", "doc", None) as done:
            for item in read_corpus(corpus, **columns):
                if not left:
                    break
                if isinstance(item, Document):
                    digest = hashlib.sha256(item.text.encode()).digest()
                    if digest in left:
                        left.discard(digest)
                        places[digest] = Place(item.source, item.row)
                done(1)
    except (CorpusError, OSError):
        pass  # the check that came before this search reports what stopped it
    return places


def renamed(source: str, names: Iterable[str]) -> str | None:
    """Of the names of a corpus, the one of a file that may be another one in another compression.

    Args:
        source: the name that is looked for.
        names: the names of the corpus.

    Returns:
        The name; None if there is none.
    """
    plain = _plain(source)
    return next((name for name in names if name != source and _plain(name) == plain), None)


def _plain(name: str) -> str:
    base, suffix = os.path.splitext(name)
    return base if suffix.lower() in _COMPRESSIONS else name
