"""A corpus that a manifest is compared with: files found by name, or a stream that is read once.

Files are looked at without being read whole where that can be done: how far they reach, and the
rows at given places.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from workbench.core.parquet import groups_of
from workbench.corpus.columns import Columns
from workbench.corpus.document import Document, Skipped
from workbench.corpus.moved_texts import Place, places_of
from workbench.corpus.readers import csv_rows
from workbench.corpus.readers.compression import decompressed
from workbench.corpus.readers.line_index import LineIndex
from workbench.corpus.readers.rows import paths_of
from workbench.corpus.reading import read_corpus
from workbench.corpus.sources import Source, opened, sources_of

_BLOCK = 1 << 20


class CorpusHandle:
    """The corpus that a manifest is compared with: files, or a stream that may be read only once.

    Attributes:
        columns: the names of the columns.
        files: the Source of each name where the corpus is made of files, else None.

    Args:
        corpus: any corpus that `read_corpus` takes.
        columns: the names of the columns.

    Raises:
        CorpusError: where `read_corpus` would raise it.
    """

    def __init__(self, corpus: Any, columns: Columns) -> None:
        """Raises CorpusError where `read_corpus` would."""
        self.columns = columns
        self._given = corpus
        self.files: dict[str, Source] | None = None
        if (paths := paths_of(corpus)) is not None:
            sources = {source.name: source for source in sources_of(paths)}
            if all(
                source.kind in ("jsonl", "csv", "parquet", "text", "unsupported")
                for source in sources.values()
            ):
                self.files = sources
        self._stream: Iterator[Document | Skipped] | None = None
        if self.files is None:
            self._stream = read_corpus(corpus, **columns.named())

    def places_of(self, digests: Iterable[bytes]) -> dict[bytes, Place] | None:
        """The first place of each text, by a pass of its own over the corpus.

        Args:
            digests: SHA-256 of the texts in UTF-8, 32 bytes each.
        """
        return places_of(self._given, digests, **self.columns.named())

    def stream(self) -> Iterator[Document | Skipped]:
        """All rows of the corpus that is not made of files, once."""
        assert self._stream is not None
        return self._stream


def reaches(source: Source, row: int) -> bool:
    """Whether a source has a row of this number.

    Args:
        source: the source.
        row: the number of the row, from 0; of JSON Lines, of the line.
    """
    if source.kind == "unsupported":
        return False
    if source.kind == "text":
        return row == 0
    if source.kind == "jsonl":
        return count_lines(source, row) > row
    if source.kind == "csv":
        return any(True for _ in csv_rows.records(source, row, 0))
    return row < sum(row_groups(source))


def row_groups(source: Source) -> list[int]:
    """Rows of each row group of a Parquet file.

    Args:
        source: the source.
    """
    with opened(source.path) as file:
        return [group.rows for group in groups_of(file)]


def count_lines(source: Source, row: int | None) -> int:
    """Count the lines of a JSON Lines file.

    Args:
        source: the source.
        row: the number of a line behind which counting stops (None: the end of the file).
    """
    lines, ended = 0, True  # ended: the last byte so far was the end of a line
    with opened(source.path) as file:
        stream = decompressed(file, source.compression)
        while (row is None or lines <= row) and (block := stream.read(_BLOCK)):
            lines, ended = lines + block.count(b"\n"), block[-1:] == b"\n"
    return lines + (not ended)


def ranges(source: Source, rows: list[int], ranked: int) -> Iterator[tuple[int, int, int]]:
    """Parts of a source that hold its wanted rows.

    A sample is read at its places: single lines of plain JSON Lines, row groups of Parquet.

    Args:
        source: the source.
        rows: the wanted rows, ascending, at least one.
        ranked: how many rows of the source are ranked.

    Yields:
        (start, stop, byte offset) of each part.
    """
    if is_plain_lines(source) and 4 * len(rows) < ranked:
        yield from _lines_at(source, rows)
    elif source.kind == "parquet" and len(rows) < ranked:
        ends = np.cumsum(row_groups(source))
        at = np.searchsorted(ends, rows, side="right")
        for group in np.unique(at):
            inside = [row for row, own in zip(rows, at, strict=True) if own == group]
            yield inside[0], inside[-1] + 1, 0
    else:
        yield rows[0], rows[-1] + 1, 0


def is_plain_lines(source: Source) -> bool:
    """Whether single lines can be read at their places.

    Args:
        source: the source.
    """
    return source.kind == "jsonl" and source.compression is None


def _lines_at(source: Source, rows: list[int]) -> Iterator[tuple[int, int, int]]:
    """Each wanted line of a plain JSON Lines file that it reaches to."""
    index = LineIndex(source)
    for row in rows:
        place = index.offset(row)
        if place is None:
            return
        yield row, row + 1, place
