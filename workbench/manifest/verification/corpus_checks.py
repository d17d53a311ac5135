"""The checks of a manifest that need its corpus: sources that reach, texts that are the same.

Like those of `workbench.manifest.verification.file_checks` they return or raise. Files are found by
the names of their sources and read one after the other, sampled rows at their places; anything else
is streamed once.
"""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from workbench.core.progress import progress_bar
from workbench.corpus.document import Document, Skipped
from workbench.corpus.moved_texts import renamed
from workbench.corpus.random_access import CorpusHandle, ranges, reaches
from workbench.corpus.readers.rows import Columns, read_source
from workbench.corpus.sources import Source
from workbench.manifest.croissant import SELECTION_FILE
from workbench.manifest.selection_rows import SelectionRows, SourceRows
from workbench.manifest.verification.report import Failed, NotChecked

_QUIET = 2000  # fewer texts than this are hashed without a bar


def opened(corpus: Any, columns: Columns) -> CorpusHandle | Exception | None:
    """Open the corpus to check against.

    Args:
        corpus: anything that `read_corpus` takes, or None.
        columns: the names of its columns.

    Returns:
        The corpus, None without one, or the exception that stopped it from being opened, for a
        check to say.
    """
    try:
        return None if corpus is None else CorpusHandle(corpus, columns)
    except Exception as error:  # whatever a file system, a hub or a data set may raise
        return error


def _require_opened(corpus: CorpusHandle | Exception) -> None:
    if isinstance(corpus, Exception):
        raise corpus


def ranked_texts(files: dict[str, pathlib.Path]) -> tuple[SelectionRows, str]:
    """Each ranked row has a place and a text hash.

    Args:
        files: listed files that passed their own checks, by listed path.

    Returns:
        The rows in the order of the sources, and a detail.

    Raises:
        ValueError: when a hash is not one.
        NotChecked: when selection.parquet is not among the files.
    """
    if SELECTION_FILE not in files:
        raise NotChecked(f"{SELECTION_FILE} failed its own check, or is not listed")
    ranked = SelectionRows(files[SELECTION_FILE])
    return ranked, f"{len(ranked)} rows of {len(ranked.sources)} sources"


def sources(ranked: SelectionRows, corpus: CorpusHandle) -> tuple[bool, str]:
    """Each named source is a file of the corpus that reaches to its last ranked row.

    Args:
        ranked: the ranked rows.
        corpus: the corpus, or what stopped it from being opened, which is raised.

    Returns:
        True, and a detail.

    Raises:
        Failed: when a source is missing or ends early.
        NotChecked: when the corpus is not made of files.
    """
    _require_opened(corpus)
    if corpus.files is None:
        raise NotChecked("the corpus is not made of files; its texts can be checked all the same")
    missing, short = [], []
    with progress_bar("sources", "file", len(ranked.sources), bar=len(ranked.sources) > 50) as done:
        for name, _, last in ranked.sources.values():
            source, row = corpus.files.get(name), int(ranked.rows[last - 1])
            if source is None or source.kind == "unsupported":
                missing.append(name)
            elif not reaches(source, row):
                short.append((name, row))
            done(1)
    if missing or short:
        raise Failed(
            f"{len(missing)} of {len(ranked.sources)} sources are no files of this corpus, "
            f"{len(short)} end before their last ranked row; first: "
            f"{(missing + short)[:1]!r:.200}{_other_name(missing, corpus.files)}"
        )
    others = len(corpus.files.keys() - ranked.sources.keys())
    return True, f"all {len(ranked.sources)} are there and reach; {others} files have no ranked row"


def _other_name(missing: list[str], files: Iterable[str]) -> str:
    other = renamed(missing[0], files) if missing else None
    if other is None:
        return ""
    return (
        f". The corpus has {other!r:.200}, which may hold the same rows: give it the name that was "
        "scored (the level 'texts' says whether the texts are the same)"
    )


class Draws(NamedTuple):
    """How many texts to draw, and how.

    Attributes:
        hashed: how many ranked texts to hash; None for all.
        kept: how many of them to keep for scoring again.
        seed: of both draws.
    """

    hashed: int | None
    kept: int
    seed: int


def texts(
    ranked: SelectionRows, corpus: CorpusHandle, draws: Draws
) -> tuple[dict[int, Document], str]:
    """The drawn texts have the stated SHA-256.

    Args:
        ranked: the ranked rows.
        corpus: the corpus, or what stopped it from being opened, which is raised.
        draws: which texts to hash and keep.

    Returns:
        The documents to score again, by their row in selection.parquet, and a detail.

    Raises:
        Failed: when a text is another one, or is not there.
    """
    _require_opened(corpus)
    wanted = np.ones(len(ranked), bool)
    if draws.hashed is not None:
        wanted[:] = False
        wanted[ranked.draw(draws.hashed, draws.seed)] = True
    kept = np.isin(ranked.order, drawn_rows(len(ranked), draws.kept, draws.seed))
    wanted |= kept
    documents, changed, seen = {}, [], np.zeros(len(ranked), bool)
    total = int(wanted.sum())
    with progress_bar("texts", "doc", total, bar=total > _QUIET) as done:
        for place, text in _wanted_texts(ranked, corpus, wanted):
            done(int(not seen[place]))
            seen[place] = True
            if digest(text) != ranked.digests[place].tobytes():
                changed.append(place)
            elif kept[place]:
                source, row = ranked.key(place)
                where = int(ranked.order[place])
                documents[where] = Document(f"{source}#{row}", text, "all", source, row)
    missing = np.flatnonzero(wanted & ~seen).tolist()
    if changed or missing:
        raise Failed(_amiss(ranked, corpus, changed, missing))
    if total == len(ranked):
        return documents, f"all {total} ranked texts have the stated sha256"
    share = 1 - 0.05 ** (1 / total)
    return documents, (
        f"{total} drawn of {len(ranked)} ranked texts have the stated sha256: with 95 % "
        f"confidence, less than about {share:.2g} of all have another"
    )


def _amiss(
    ranked: SelectionRows, corpus: CorpusHandle, changed: list[int], missing: list[int]
) -> str:
    """What is wrong with the texts, and where in the corpus those stand that are not changed."""
    places = changed + missing
    wanted = {place: ranked.digests[place].tobytes() for place in places}
    problem = (
        f"{len(changed)} texts have another sha256 at their place, {len(missing)} places are not "
        f"in the corpus; first: {ranked.key(places[0])!r:.200}"
    )
    elsewhere = corpus.places_of(wanted.values())
    if elsewhere is None:  # a stream that is gone
        return problem
    moved = [place for place in places if wanted[place] in elsewhere]
    if not moved:
        return f"{problem}. None of these texts is anywhere in the corpus"
    source, row = ranked.key(moved[0])
    return (
        f"{problem}. {len(moved)} of these texts stand elsewhere in the corpus, that of "
        f"{source!r:.200} row {row} at {elsewhere[wanted[moved[0]]]}: they were moved, or "
        "copies of them stand there. If moved, give the corpus in the files and the order that "
        "were scored"
    )


def drawn_rows(rows: int, count: int, seed: int) -> np.ndarray:
    """Draw the documents that are scored again.

    Args:
        rows: how many rows selection.parquet has.
        count: how many to draw.
        seed: of the draw.

    Returns:
        int64 (count,), rows of selection.parquet in ascending order; all if there are no more.
    """
    random = np.random.default_rng(seed)
    return np.sort(random.choice(rows, size=min(count, rows), replace=False))


def digest(text: Any) -> bytes | None:
    """SHA-256 of a text.

    Args:
        text: any value.

    Returns:
        32 bytes; None for what is no text, as no document could be.
    """
    try:
        return hashlib.sha256(text.encode("utf-8")).digest()
    except (AttributeError, UnicodeEncodeError):
        return None


def _wanted_texts(
    ranked: SelectionRows, corpus: CorpusHandle, wanted: np.ndarray
) -> Iterator[tuple[int, Any]]:
    """Place and text of the wanted rows that the corpus holds."""
    if corpus.files is None:
        for item in corpus.stream():
            if isinstance(item, Document):
                place = ranked.find(item.source, item.row)
                if place is not None and wanted[place]:
                    yield place, item.text
        return
    for rows in ranked.sources.values():
        source = corpus.files.get(rows.name)
        places = rows.first + np.flatnonzero(wanted[rows.first : rows.last])
        if source is None or source.kind == "unsupported" or not len(places):
            continue
        yield from _texts_of(ranked, source, corpus.columns, rows, places)


def _texts_of(
    ranked: SelectionRows, source: Source, columns: Columns, of: SourceRows, places: np.ndarray
) -> Iterator[tuple[int, Any]]:
    where = dict(zip(ranked.rows[places].tolist(), places.tolist(), strict=True))
    for start, stop, offset in ranges(source, list(where), of.last - of.first):
        for item in read_source(source, columns, start, stop, offset):
            if item.row in where and not isinstance(item, Skipped):
                yield where[item.row], item.text
