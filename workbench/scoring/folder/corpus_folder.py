"""A run folder is of one corpus: what it is called by default, and what it holds the scores of.

A corpus may grow, shrink, be edited and be cut into shards anew, and its run goes on. Another
corpus would push the scores of the first one aside, so it is refused unless somebody asks for that.

The rule: two corpora are one if a tenth of the texts compared are in both. Compared are, of the
folder, the texts of its first 32 score files and of 32 others spread evenly; of the corpus, all, or
the first 1,000 rows where it can be read only once; the tenth is of the smaller of the two sets.
Places and ids do not count: a moved or renamed file holds the same texts, and every corpus has a
row 0. A folder in which nothing has a score is not yet one of any corpus.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.parquet import read_table
from workbench.core.progress import check_cancelled
from workbench.corpus.document import Document, Skipped
from workbench.corpus.reading import read_corpus, text_sha256
from workbench.scoring.folder.superseded import SUPERSEDED

SHARE = 0.1  # of the texts compared
AHEAD = 1_000  # rows of a corpus that can be read only once
_FILES = 32
_NAMED = 3  # sources that a message names


def default_folder(corpus: Any = None) -> str:
    """A folder for the run of a corpus, such that two corpora do not meet in one.

    Args:
        corpus: what `score_corpus` is given; None: text of the Python environment.

    Returns:
        `run-NAME-DIGEST`: for the same paths the same, whatever their files hold; what lies in
        memory is told apart by its first document, if that can be read.
    """
    if corpus is None:
        return "run-environment"
    paths = [corpus] if isinstance(corpus, str | os.PathLike) else corpus
    if isinstance(paths, list | tuple) and all(isinstance(p, str | os.PathLike) for p in paths):
        places = [_place(os.fsdecode(path)) for path in paths]
        name, identity = places[0].rstrip("/").split("/")[-1].split(".")[0], "\n".join(places)
    else:
        name, identity = "memory", ""
        if hasattr(corpus, "__len__"):  # else it can be read only once
            with contextlib.suppress(ValueError):  # whoever scores it is told
                texts = (row.text for row in read_corpus(corpus) if isinstance(row, Document))
                identity = next(texts, "")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "corpus"
    digest = hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()
    return f"run-{name}-{digest[:6]}"


def _place(path: str) -> str:
    """A path as it is called from everywhere; of a URL without the query, which may be signed."""
    return path.split("?")[0] if "://" in path else os.path.abspath(path)


class Held(NamedTuple):
    """What a folder holds.

    Attributes:
        texts: SHA-256 digests of some of its scored texts.
        name: what to call their corpus.
    """

    texts: frozenset[str]
    name: str


def held_by(folder: Path) -> Held | None:
    """A sample of the scores in a run folder.

    Args:
        folder: the run folder.

    Returns:
        What it holds; None where there are no scores.
    """
    paths = sorted(folder.glob("scores/part-*.parquet"), key=lambda path: (len(path.name), path))
    step = max(1, len(paths) // _FILES)
    texts: set[str] = set()
    sources: list[str] = []
    first = None
    for place in sorted({*range(_FILES), *range(0, _FILES * step, step)} & {*range(len(paths))}):
        check_cancelled()
        try:
            rows = read_table(paths[place]).select(["doc_id", "source", "text_sha256"]).to_pydict()
        except (OSError, ValueError, KeyError):
            continue  # damaged: its shard is scored again
        texts.update(rows["text_sha256"])
        sources += rows["source"]
        first = first or next(iter(rows["doc_id"]), None)
    return Held(frozenset(texts), _named(sources, first)) if texts else None


def require_same(folder: Path, held: Held, rows: Iterable[Document | Skipped]) -> None:
    """Read the present corpus as far as it takes to know that it is the one that `folder` holds.

    Args:
        folder: the run folder, for the message.
        held: what it holds.
        rows: the present corpus.

    Raises:
        ValueError: they are two corpora; the message names both.
    """
    looked: set[str] = set()
    shared: set[str] = set()
    sources: list[str] = []
    first = None
    for row in rows:
        check_cancelled()
        if not isinstance(row, Document):
            continue
        first = first or row.doc_id
        if row.source not in sources and len(sources) <= _NAMED:
            sources.append(row.source)
        digest = text_sha256(row.text)
        if digest in held.texts:
            shared.add(digest)
            if len(shared) >= SHARE * len(held.texts):
                return
        elif len(looked) < len(held.texts):  # only the smaller of both numbers is asked for
            looked.add(digest)
    if shared and len(shared) >= SHARE * min(len(looked | shared), len(held.texts)):
        return
    raise ValueError(
        f"{folder} holds the scores of another corpus: that one is {held.name}; the present one is "
        f"{_named(sources, first)}, and {len(shared):,} of its texts are among the "
        f"{len(held.texts):,} compared. Give another folder as out=, or overwrite=True, which sets "
        f"the scores of the former aside in {folder / SUPERSEDED}"
    )


def checked(
    folder: Path, held: Held | None, rows: Iterator[Document | Skipped]
) -> Iterator[Document | Skipped]:
    """Rows that can be read only once, after `require_same` has seen the first of them.

    Args:
        folder: the run folder.
        held: what it holds; None: there is nothing to compare.
        rows: the present corpus.

    Returns:
        All of `rows`.

    Raises:
        ValueError: as `require_same`.
    """
    if held is None:
        return rows
    ahead: list[Document | Skipped] = []

    def noted() -> Iterator[Document | Skipped]:
        for row in itertools.islice(rows, AHEAD):
            ahead.append(row)
            yield row

    require_same(folder, held, noted())
    return itertools.chain(ahead, rows)


def _named(sources: Iterable[str], first: str | None) -> str:
    """What a message calls a corpus."""
    names = list(dict.fromkeys(sources))
    if not names:
        return "one without any text"
    more = " and others" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more} (first document {first!r:.60})"
