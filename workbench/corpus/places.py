"""One document of a corpus by its place, without reading what lies before it where that can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.core.progress import progress_bar
from workbench.corpus.columns import Columns, RawRow
from workbench.corpus.document import CorpusError, Document, Skipped
from workbench.corpus.random_access import is_plain_lines
from workbench.corpus.readers.line_index import LineIndex
from workbench.corpus.readers.remote import is_remote
from workbench.corpus.readers.rows import open_corpus, paths_of, read_source
from workbench.corpus.reading import read_corpus, to_document
from workbench.corpus.sources import Source, file_signature, sources_of


class CorpusPlaces:
    """A corpus of which single documents are asked for.

    A plain JSON Lines file is read at the place of the line, a Parquet file from the row group on,
    a compressed file over the lines before; rows in memory are taken out. What comes as a stream
    (the hub, documents that were put together by hand) is read from its beginning.

    Args:
        corpus: any corpus that `read_corpus` takes.
        **columns: the names of the columns by role, as `read_corpus` takes them.
    """

    def __init__(self, corpus: Any, **columns: Any) -> None:
        """columns: names of the columns by role, as `read_corpus` takes them."""
        self._corpus, self._columns = corpus, Columns(**columns)
        self._sources: dict[str, Source] = {}
        self._indexes: dict[str, tuple[Any, LineIndex]] = {}

    def find(self, source: str, row: int) -> Document | Skipped | None:
        """What lies at a place.

        Args:
            source: the name of the source.
            row: the number of the row, from 0.

        Returns:
            The document or the skipped row; None where nothing lies there.

        Raises:
            CorpusError: the corpus cannot be read, as in `read_corpus`.
        """
        paths = paths_of(self._corpus)
        if paths is None:
            return self._in_memory(source, row) or self._in_stream(source, row)
        here = self._named(paths, source)
        if here is None:
            return None
        if here.kind == "hub":
            return self._in_stream(source, row)
        try:
            offset = self._offset(here, row)
        except OSError as error:
            raise CorpusError(f"{source}: the file cannot be read: {error!s:.300}") from error
        if offset is None:
            return None
        item = next(read_source(here, self._columns, row, row + 1, offset), None)
        return to_document(item) if isinstance(item, RawRow) else item

    def is_quick(self, source: str) -> bool:
        """Whether a row is found without reading those before it, and without a network.

        Args:
            source: the name of the source.

        Returns:
            True for rows in memory, plain JSON Lines, Parquet and text files on disk.

        Raises:
            CorpusError: the corpus cannot be read, as in `read_corpus`.
        """
        paths = paths_of(self._corpus)
        if paths is None:
            return isinstance(self._corpus, Sequence) or any(
                hasattr(self._corpus, name) for name in ("iloc", "slice", "select")
            )
        here = self._named(paths, source)
        if here is None or is_remote(here.path):
            return False
        return is_plain_lines(here) or here.kind in ("parquet", "text")

    def _named(self, paths: list[Any], source: str) -> Source | None:
        if source not in self._sources:
            self._sources = {each.name: each for each in sources_of(paths)}
        return self._sources.get(source)

    def _offset(self, source: Source, row: int) -> int | None:
        """Where to begin to read, as far as that is known; None if the file ends before the row."""
        if not is_plain_lines(source):
            return 0
        now = file_signature(source)
        before, index = self._indexes.get(source.name, (None, None))
        if index is None or before != now:  # the file is another one by now
            index = LineIndex(source)
            self._indexes[source.name] = now, index
        return index.offset(row)

    def _in_memory(self, source: str, row: int) -> Document | Skipped | None:
        corpus = self._corpus
        part: Any = None
        if isinstance(corpus, Sequence):
            part = [item for item in corpus[row : row + 1] if isinstance(item, Mapping)]
        elif hasattr(corpus, "itertuples"):
            part = corpus.iloc[row : row + 1]
        elif hasattr(corpus, "slice") and hasattr(corpus, "num_rows"):  # an Arrow table
            part = corpus.slice(row, 1)
        elif hasattr(corpus, "select") and hasattr(corpus, "info") and row < len(corpus):
            part = corpus.select([row])
        if part is None:
            return None
        try:
            item = next(open_corpus(part, self._columns), None)
        except CorpusError:  # this row lacks a column that others have
            return None
        if item is None or item.source != source:
            return None
        return to_document(item._replace(row=row)) if isinstance(item, RawRow) else None

    def _in_stream(self, source: str, row: int) -> Document | Skipped | None:
        with progress_bar("looking for the text", "doc", None) as done:
            for item in read_corpus(self._corpus, **self._columns.named()):
                done(1)
                if (item.source, item.row) == (source, row):
                    return item
        return None
