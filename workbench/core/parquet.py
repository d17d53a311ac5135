"""Parquet from anybody, read within bounds: a small file must not be able to fill the memory.

A page may declare two gigabytes in a few hundred bytes, a dictionary may hold one long value that
every row repeats, and a footer may speak of a billion rows. Arrow believes them all and takes the
memory first. Here the headers of the pages are read before the pages are, so what must be refused
is refused before it is taken. Files that are large because they hold much go on being streamed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core import thrift
from workbench.core.nested_columns import type_at

SMALL_PAGE = 64 << 20  # bytes that any page may have when decompressed
SMALL_TABLE = 256 << 20  # bytes that any table that is read whole may have in memory
MOST_EXPANSION = 100  # times its stored size that a larger page or table may have
BATCH_BYTES = 256 << 20  # bytes that a batch may have if every value of a column is its longest
BATCH_ROWS = 128  # of a batch of documents, whose values may all be long
LARGEST_FOOTER = 32 << 20  # bytes

_SLACK = 100  # bytes that writers of 2013 forgot to count
_HEADER_BYTES = 16 << 20  # of one page header; Arrow reads no longer ones either
# As the format numbers them: the fields of a page header, and the encodings.
_DATA, _DICTIONARY, _DATA_V2 = 5, 7, 8
_DELTA = (5, 6, 7)
_DELTA_BYTE_ARRAY = 7  # stores of each value what the one before does not have


class Page(NamedTuple):
    """What the header of a page says.

    Attributes:
        stored: bytes of the page in the file.
        declared: bytes of the page when decompressed.
        taken: bytes of memory that its values may take.
        shared: whether many rows may share the bytes of one value.
    """

    stored: int
    declared: int
    taken: int
    shared: bool


class Group(NamedTuple):
    """A row group.

    Attributes:
        rows: how many rows it holds.
        chunks: where the pages of each column lie, as (start, end) by its path. Two columns may
            share a path: one whose name holds a dot, and a nested one.
    """

    rows: int
    chunks: dict[str, list[tuple[int, int]]]


def groups_of(stream: IO[bytes]) -> list[Group]:
    """The row groups that the footer of a Parquet file states.

    Read here and not asked of Arrow, whose metadata object ends the process over a damaged one.

    Args:
        stream: the file, open for reading bytes, seekable.

    Raises:
        pa.ArrowInvalid: (a ValueError) there is no footer, or one of odd values.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - 8, 0))
    end = stream.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or length > size - 12:
        raise pa.ArrowInvalid("it is not a Parquet file, or its end is not there")
    if length > LARGEST_FOOTER:
        raise pa.ArrowInvalid(f"its footer is larger than {LARGEST_FOOTER >> 20} MiB")
    stream.seek(size - 8 - length)
    try:
        footer, _ = thrift.struct(stream.read(length))
        groups = [_group(stated) for stated in footer[4]]
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise pa.ArrowInvalid(f"its footer is damaged ({error!r:.100})") from None
    if sum(group.rows for group in groups) != footer[3]:
        raise pa.ArrowInvalid(f"its footer states {footer[3]} rows, its row groups other ones")
    return groups


def _group(stated: dict[int, Any]) -> Group:
    chunks: dict[str, list[tuple[int, int]]] = {}
    for column in stated[1]:
        about = column[3]
        first = about.get(11) or 0
        start = first if 0 < first < about[9] else about[9]
        if start < 0 or about[7] < 0:
            raise ValueError("a negative place")
        chunks.setdefault(b".".join(about[3]).decode(), []).append((start, start + about[7]))
    if stated[3] < 0:
        raise ValueError("a negative number of rows")
    return Group(stated[3], chunks)


def batches(
    file: pq.ParquetFile,
    stream: IO[bytes],
    columns: Sequence[str],
    groups: Sequence[int] | None = None,
    most_rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """The rows of some row groups, batch by batch, within bounds of memory.

    Args:
        file: opened with pre_buffer=False, so that it holds no more than it needs.
        stream: the same file, for the headers of the pages.
        columns: names of the columns to read, or paths into nested columns.
        groups: numbers of the row groups (default: all).
        most_rows: the most rows of a batch.

    Yields:
        Batches of `most_rows` rows or fewer.

    Raises:
        pa.ArrowInvalid: (a ValueError) for nested columns, for pages that would expand beyond
            bounds, and for row groups that hold other than the rows that they state.
    """
    check_single(file.schema_arrow, columns)
    stated = groups_of(stream)
    for place in range(len(stated)) if groups is None else groups:
        group, read = stated[place], 0
        if not group.rows:  # writers give such a group no pages, and nothing of it is read
            continue
        rows = min(most_rows, BATCH_BYTES // _longest_shared(group, stream, columns) or 1)
        # Handing a few rows of a column to another thread costs more than decoding them.
        threads, names = rows > BATCH_ROWS, list(columns)
        for batch in file.iter_batches(rows, [place], names, use_threads=threads):
            yield batch
            read += batch.num_rows
        if read != group.rows:
            raise pa.ArrowInvalid(f"row group {place} states {group.rows} rows and holds {read}")


def read_table(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> pa.Table:
    """A whole file as a table, its values checked; for files that are small beside the memory.

    Args:
        path: the Parquet file.
        columns: names of the columns to read (default: all).

    Raises:
        pa.ArrowInvalid: (a ValueError) for what `batches` refuses, and for a table that would take
            both more than SMALL_TABLE and more than MOST_EXPANSION times the bytes of its file.
    """
    with open(path, "rb") as stream, pq.ParquetFile(path, pre_buffer=False) as file:
        names = list(file.schema_arrow.names if columns is None else columns)
        most = max(SMALL_TABLE, MOST_EXPANSION * os.fstat(stream.fileno()).st_size)
        taken, parts = 0, []
        for batch in batches(file, stream, names, most_rows=1 << 16):
            taken += batch.nbytes
            if taken > most:
                raise pa.ArrowInvalid(
                    f"its rows take more than {most >> 20} MiB in memory, over {MOST_EXPANSION} "
                    "times the file: no table of scores compresses so far"
                )
            parts.append(batch)
        fields = [file.schema_arrow.field(name) for name in names]
        return pa.Table.from_batches(parts, pa.schema(fields, file.schema_arrow.metadata))


def check_pages(path: str | os.PathLike[str], columns: Sequence[str]) -> None:
    """Require pages that `batches` accepts, reading only their headers.

    For files that something else than Arrow is to read.

    Args:
        path: the Parquet file.
        columns: names of the columns, or paths into nested columns.

    Raises:
        pa.ArrowInvalid: (a ValueError) for pages that `batches` refuses.
    """
    with open(path, "rb") as stream:
        for group in groups_of(stream):
            if group.rows:
                _longest_shared(group, stream, columns)


def check_single(schema: pa.Schema, columns: Sequence[str]) -> None:
    """Require columns of single values: one nested value may be of any size.

    Args:
        schema: the schema of the file.
        columns: names of the columns, or paths into nested columns.

    Raises:
        pa.ArrowInvalid: (a ValueError) a column is nested.
    """
    for name in columns:
        kind = type_at(schema, name)
        kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        if pa.types.is_nested(kind):
            raise pa.ArrowInvalid(
                f"column {name!r:.100} holds values of type {kind!s:.100}; expected single values, "
                'which inside of nested columns are named with a dot, as in "meta.source"'
            )


def _longest_shared(group: Group, stream: IO[bytes], columns: Sequence[str]) -> int:
    """Bytes of the longest value, at most, that rows may share: what a batch may take a row.

    Raises pa.ArrowInvalid for a page that expands beyond bounds.
    """
    longest = 1
    for name in columns:
        if name not in group.chunks:
            raise pa.ArrowInvalid(f"a row group lacks the column {name!r:.100}")
        chunks = group.chunks[name]
        for page in itertools.chain.from_iterable(pages(stream, *chunk) for chunk in chunks):
            if page.taken > max(SMALL_PAGE, MOST_EXPANSION * page.stored):
                raise pa.ArrowInvalid(
                    f"a page of column {name!r:.100} would take {page.taken:,} "
                    f"bytes out of {page.stored:,}, more than {MOST_EXPANSION} times as many; if "
                    "that is what it holds, write the file again with a smaller data_page_size"
                )
            if page.shared:
                longest = max(longest, page.declared)
    return longest


def pages(stream: IO[bytes], start: int, end: int) -> Iterator[Page]:
    """The headers of the pages of one column of a row group.

    Args:
        stream: the file, open for reading bytes, seekable.
        start: the byte at which the pages begin.
        end: the byte at which they end.

    Raises:
        pa.ArrowInvalid: (a ValueError) a header is damaged, or states more bytes than the column
            has.
    """
    while start < end:
        page, length = _page_at(stream, start)
        start += length + page.stored
        if start > end + _SLACK:
            raise pa.ArrowInvalid(f"a page states {page.stored:,} bytes, more than its column has")
        yield page


def _page_at(stream: IO[bytes], start: int) -> tuple[Page, int]:
    """The header at `start` and its own length in bytes."""
    wanted = 512
    while True:
        stream.seek(start)
        data = stream.read(wanted)
        try:
            fields, length = thrift.struct(data)
            return _page(fields), length
        except IndexError:
            if len(data) < wanted or wanted > _HEADER_BYTES:
                raise pa.ArrowInvalid(f"the page header at byte {start} breaks off") from None
            wanted *= 8  # statistics in it may be long
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
            raise pa.ArrowInvalid(f"there is no page header at byte {start}") from None


def _page(fields: dict[int, Any]) -> Page:
    declared, stored = fields[2], fields[3]
    if declared < 0 or stored < 0:
        raise ValueError("a negative size")
    if dictionary := fields.get(_DICTIONARY):
        return Page(stored, declared, max(declared, 16 * dictionary[1]), True)
    data = fields.get(_DATA) or fields.get(_DATA_V2) or {}
    encoding = data.get(2 if _DATA in fields else 4)
    lengths = 4 * data[1] if encoding in _DELTA else 0
    return Page(stored, declared, max(declared, lengths), encoding == _DELTA_BYTE_ARRAY)
