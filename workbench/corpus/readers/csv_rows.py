"""CSV and TSV with a header: one row a record, each value a string as it stands in the file.

A value in quotes may hold line ends, so only reading from the start shows at which byte a record
begins; `offsets` does that once, and a reader of a range of rows then begins there.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator
from typing import IO

from workbench.core.files import LONGEST_LINE, lines_of
from workbench.corpus.document import Skipped
from workbench.corpus.readers.compression import decompressed
from workbench.corpus.readers.formats import check_start
from workbench.corpus.readers.remote import opened
from workbench.corpus.sources import Source

Record = tuple[int, list[str] | Skipped]


def header(source: Source) -> list[str]:
    """The names of the columns, from the first record.

    Args:
        source: the source.

    Raises:
        ValueError: there is no header.
    """
    with opened(source.path) as file:
        return _Records(file, source).header


def records(source: Source, start: int, offset: int) -> Iterator[Record]:
    """The records behind the header, numbered from 0; blank lines are none.

    Args:
        source: the source.
        start: the first record that is wanted.
        offset: the byte at which it begins in an uncompressed file; 0 where that is not known.

    Yields:
        The number of a record and its values; a Skipped in their place if it is not UTF-8, or has
        more or fewer values than the header.

    Raises:
        ValueError: quotes do not match: what follows could be read in several ways.
    """
    with opened(source.path) as file:
        lines = _Records(file, source)
        if offset and file.seekable():
            lines.go_to(start, offset)
        for row, values, _ in lines:
            if row >= start:
                yield row, values


def offsets(source: Source, rows: Iterable[int]) -> dict[int, int]:
    """The byte at which each of the wanted records of an uncompressed file begins.

    Args:
        source: the source.
        rows: the numbers of the wanted records.
    """
    wanted = set(rows)
    with opened(source.path) as file:
        return {row: begins for row, _, begins in _Records(file, source) if row in wanted}


class _Records:
    """An iterator over (row, values, byte at which they begin)."""

    def __init__(self, file: IO[bytes], source: Source) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))  # for the whole process
        self._file, self._name = file, source.name
        self._stream = decompressed(file, source.compression)
        check_start(self._stream.peek(16))  # type: ignore[attr-defined]
        self._read, self._row, self._undecodable = 0, 0, False
        line = self._stream.readline(LONGEST_LINE)
        self._pending = line
        is_tabs = re.search(r"\.tsv(\.\w+)?$", source.name.lower())
        self._delimiter = "\t" if is_tabs else _delimiter(line)
        self._reader = self._new_reader()
        self.header = self._next(0) or []
        if not self.header:
            raise ValueError("it has no header: expected the names of the columns in its first row")

    def go_to(self, row: int, offset: int) -> None:
        """Go on with the record of that number, which begins at that byte."""
        self._file.seek(offset)
        self._read, self._row = offset, row
        self._reader = self._new_reader()

    def _new_reader(self) -> Iterator[list[str]]:
        return csv.reader(self._lines(), delimiter=self._delimiter, strict=True)

    def _lines(self) -> Iterator[str]:
        """Each line of text, whether a record ends with it or not."""
        pending, self._pending = self._pending, b""
        if pending:
            yield self._text(pending.removeprefix(codecs.BOM_UTF8), len(pending))
        for line in lines_of(self._stream):
            if line is None:
                raise ValueError(f"a line of more than {LONGEST_LINE >> 20} MiB")
            yield self._text(line, len(line))

    def _text(self, line: bytes, size: int) -> str:
        self._read += size
        try:
            return line.decode()
        except UnicodeDecodeError:
            self._undecodable = True
            return line.decode(errors="replace")

    def _next(self, begins: int) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            reason = (
                "a line that ends in a lone carriage return" if "new-line" in str(error) else error
            )
            raise ValueError(f"the record at byte {begins:,}: {reason}") from error

    def __iter__(self) -> Iterator[tuple[int, list[str] | Skipped, int]]:
        while True:
            begins = self._read
            values = self._next(begins)
            if values is None:
                return
            if not values:
                continue
            reason = ""
            if self._undecodable:
                reason, self._undecodable = "invalid UTF-8", False
            elif len(values) != len(self.header):
                reason = f"{len(values)} values, but the header names {len(self.header)}"
            record = Skipped(None, None, self._name, self._row, reason) if reason else values
            yield self._row, record, begins
            self._row += 1


def _delimiter(line: bytes) -> str:
    """A comma, unless the header has none but what some spreadsheets write instead."""
    return next((sign for sign in ",;\t" if sign.encode() in line), ",")
