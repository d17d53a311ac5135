"""The rows of a corpus of any kind, in order and one by one.

Nothing is taken for granted about the values of a row; `workbench.corpus.reading` checks them. A
row that cannot even be decoded is a Skipped; what breaks a file, or all of the corpus, a
CorpusError.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, assert_never

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core import parquet
from workbench.core.files import LONGEST_LINE
from workbench.core.nested_columns import column_at
from workbench.corpus.columns import Columns, RawRow
from workbench.corpus.document import CorpusError, Document, Skipped
from workbench.corpus.readers import csv_rows, json_lines, saved_dataset
from workbench.corpus.readers.remote import is_remote, opened, without_credentials
from workbench.corpus.sources import HUB, Source, datasets_package, sources_of, utf8_name

LARGEST_TEXT = LONGEST_LINE  # bytes of one text file
LOOK_AHEAD = 1000  # rows that are held until each wanted column was seen in one of them
_RUN_ROWS = 1000  # of a batch, and
_RUN_BYTES = 16 << 20  # of memory, whose values are Python objects at one time


Rows = Iterator[RawRow | Skipped]


def open_corpus(corpus: Any, columns: Columns) -> Rows:
    """The rows of anything that `read_corpus` takes.

    Args:
        corpus: the corpus.
        columns: the names of its columns.

    Raises:
        CorpusError: the corpus is of no known kind, or cannot be read.
    """
    if (paths := paths_of(corpus)) is not None:
        return _paths(paths, columns)
    if _is_dataset(corpus):
        info = getattr(corpus, "info", None)  # a dict of splits has none
        return _dataset(corpus, getattr(info, "dataset_name", None) or "memory", columns)
    if hasattr(corpus, "itertuples"):
        return _frame(corpus, columns)
    if hasattr(corpus, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(corpus)
        names = columns.check(reader.schema, "memory")
        return _batches(reader, names, "memory", columns.labelled(reader.schema))
    if isinstance(corpus, Iterable) and not isinstance(corpus, bytes | Mapping):
        again = (lambda: enumerate(corpus)) if isinstance(corpus, Sequence) else None
        return _items(enumerate(corpus), "memory", columns, again)
    raise CorpusError(
        f"a corpus cannot be read from a {type(corpus).__name__}; give a path, a list of paths, "
        "'hf://owner/name', a data set, a frame, or an iterable of dicts or Documents."
    )


def paths_of(corpus: Any) -> list[Any] | None:
    """The paths that a corpus was given as.

    Args:
        corpus: anything that `read_corpus` takes.

    Returns:
        The paths; None for a corpus that was given in another way.
    """
    paths = [corpus] if isinstance(corpus, str | os.PathLike) else corpus
    if not isinstance(paths, list | tuple):
        return None
    return list(paths) if all(isinstance(path, str | os.PathLike) for path in paths) else None


def _paths(paths: Iterable[Any], columns: Columns) -> Rows:
    sources = sources_of(paths)  # refuses wrong paths now, not when the first row is asked for
    return (row for source in sources for row in read_source(source, columns))


def read_source(
    source: Source, columns: Columns, start: int = 0, stop: int | None = None, offset: int = 0
) -> Rows:
    """The rows of one source, or a range of them.

    Without an offset, and in a compressed file, the rows before the range are read over; in a
    Parquet file whole row groups are left out, in a saved data set all that comes before.

    Args:
        source: the source.
        columns: the names of the columns.
        start: the first row.
        stop: the row behind the last one (None: all).
        offset: where row `start` begins in a plain JSONL or CSV file, in bytes, if that is known
            (see `row_offsets`); else 0.

    Raises:
        CorpusError: the file breaks off, or lacks a column.
    """
    columns = columns.within(source.name, source.domain)
    if source.kind == "hub":
        rows = _hub(source, columns)
    elif source.kind == "unsupported":
        reason = utf8_name(source.reason or "not read")  # the file's name may stand in it
        rows = iter([Skipped(None, None, source.name, 0, reason)])
    elif source.kind == "dataset":
        rows = _saved(source, columns, start)
    elif source.kind == "parquet":
        rows = _parquet(source, columns, start)
    elif source.kind == "jsonl":
        lines = json_lines.values(source, start, stop, offset)
        if start > 0:  # the columns are looked for when a file is read from its beginning
            rows = _picked(lines, source.name, columns)
        else:
            again = functools.partial(json_lines.values, source, 0, None, 0)
            rows = _items(lines, source.name, columns, again)
    elif source.kind == "csv":
        rows = _csv(source, columns, start, offset)
    elif source.kind == "text":
        rows = _whole_text(source, columns)
    else:  # mypy names a kind that has no branch; it must not pass for one text
        assert_never(source.kind)
    return _range(_guarded(rows, source.name, source.path), start, stop)


def _range(rows: Rows, start: int, stop: int | None) -> Rows:
    for item in rows:
        if stop is not None and item.row >= stop:
            return
        if item.row >= start:
            yield item


def row_offsets(source: Source, rows: Iterable[int]) -> tuple[str, int, dict[int, int]]:
    """Digest and size of a file, and where the wanted rows of a plain JSONL or CSV file begin.

    Args:
        source: the source.
        rows: the numbers of the wanted rows.

    Returns:
        The SHA-256, the size in bytes, and the byte at which each wanted row begins; for any other
        kind of file no row has a place of its own, and the last is empty.
    """
    digest, size, places, wanted = hashlib.sha256(), 0, {}, set(rows)
    by_line = source.kind == "jsonl" and source.compression is None
    with opened(source.path) as file:
        read, row, begins = file.readline if by_line else file.read, 0, by_line
        while piece := read(1 << 20):  # a piece of a line, if that is longer
            if begins and row in wanted:
                places[row] = size
            digest.update(piece)
            size += len(piece)
            begins = by_line and piece.endswith(b"\n")
            row += begins
    if wanted and source.kind == "csv" and source.compression is None:
        places = csv_rows.offsets(source, wanted)
    return digest.hexdigest(), size, places


def _guarded(rows: Rows, source: str, path: str = "") -> Rows:
    """The same rows; what breaks the file itself becomes a CorpusError that says how far it got.

    path: of the file, whose credentials no message may hold. What breaks off on the network may be
    anything, and may go well the next time: the cause is then an OSError.
    """
    reached = "before its first row"
    try:
        for item in rows:
            yield item
            reached = f"after row {item.row}"
    except CorpusError:
        raise
    except Exception as error:
        if not is_remote(path) and not isinstance(error, OSError | ValueError | pa.ArrowException):
            raise
        message = without_credentials(utf8_name(f"{error!s:.500}"), path)
        cause: Exception = error
        if is_remote(path):
            cause = ValueError(message) if isinstance(error, ValueError) else OSError(message)
        raise CorpusError(f"{source}: reading broke off {reached}: {message}") from cause


def _whole_text(source: Source, columns: Columns) -> Rows:
    name = source.name
    columns.check([columns.text], name)  # a text file has no id or domain column to be named
    try:
        with opened(source.path) as file:
            data = file.read(LARGEST_TEXT + 1)
        if len(data) > LARGEST_TEXT:
            reason = f"larger than {LARGEST_TEXT >> 20} MiB, too large for one text"
            yield Skipped(f"{name}#0", columns.folder, name, 0, reason)
            return
        yield RawRow(name, 0, None, data.decode("utf-8-sig"), None, columns.folder)
    except UnicodeDecodeError as error:
        yield Skipped(f"{name}#0", columns.folder, name, 0, f"invalid UTF-8 at byte {error.start}")


def _items(
    items: Iterable[tuple[int, Any]],
    source: str,
    columns: Columns,
    again: Callable[[], Iterable[tuple[int, Any]]] | None = None,
) -> Rows:
    """Rows of dicts; CorpusError if a needed column is in none of them.

    again: gives the items once more, to look for a column that the first row does not have. Of a
    stream that comes only once, the first LOOK_AHEAD items are looked at.
    """
    items, ahead = itertools.tee(items)
    first, lacking = _lacking(itertools.islice(ahead, LOOK_AHEAD), columns, again is not None)
    del ahead  # else what is read from now on would be held for it
    if again is not None and (lacking or first is None):
        first, lacking = _lacking(again(), columns)
    if first is not None and lacking:
        raise columns.lacking(*lacking[0], f"{source} row {first[0]}", first[1])
    yield from _picked(items, source, columns)


def _lacking(
    items: Iterable[tuple[int, Any]], columns: Columns, only_first: bool = False
) -> tuple[tuple[int, Any] | None, list[tuple[str, str]]]:
    """The first row of dicts, if there is one, and the needed columns that no row has."""
    first, lacking = None, []
    for row, item in items:
        if isinstance(item, Document):  # which has what it needs
            return None, []
        if isinstance(item, Mapping):
            missing = columns.missing(item)
            lacking = [column for column in lacking if column in missing] if first else missing
            first = first or (row, item)
            if not lacking or only_first:
                break
    return first, lacking


def _picked(items: Iterable[tuple[int, Any]], source: str, columns: Columns) -> Rows:
    """Rows of dicts; Documents and Skipped pass through."""
    for row, item in items:
        if isinstance(item, Skipped):
            yield item
        elif isinstance(item, Document):
            yield RawRow(
                utf8_name(item.source),
                item.row,
                item.doc_id,
                item.text,
                item.domain,
                None,
                columns.carried(item),
            )
        elif isinstance(item, Mapping):
            yield columns.pick(item, source, row)
        else:
            reason = f"not an object with columns but of type {type(item).__name__}"
            yield Skipped(None, None, source, row, reason)


def _csv(source: Source, columns: Columns, start: int, offset: int) -> Rows:
    names = csv_rows.header(source)
    columns.check(names, source.name)
    for row, values in csv_rows.records(source, start, offset):
        if isinstance(values, Skipped):
            yield values
        else:
            yield columns.pick(dict(zip(names, values, strict=True)), source.name, row)


def _parquet(source: Source, columns: Columns, start: int) -> Rows:
    with opened(source.path) as stream, opened(source.path) as headers:
        if not stream.seekable():
            raise ValueError(
                "its server sends files from their beginning only, and Parquet begins at the end: "
                "write simplecache:: in front of the URL"
            )
        # With pre_buffer, its default, Arrow holds on to all that it has read, up to the whole
        # file.
        with pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20) as file:
            names = columns.check(file.schema_arrow, source.name)
            groups, row = list(range(file.num_row_groups)), 0
            while groups and row + file.metadata.row_group(groups[0]).num_rows <= start:
                row += file.metadata.row_group(groups.pop(0)).num_rows
            batches = parquet.batches(file, headers, names, groups)
            columns = columns.labelled(file.schema_arrow)
            yield from _batches(batches, names, source.name, columns, row, start)


def _saved(source: Source, columns: Columns, start: int) -> Rows:
    row = 0
    for path in saved_dataset.data_files(Path(source.path)):
        schema = saved_dataset.schema_of(path)
        names, columns = columns.check(schema, source.name), columns.labelled(schema)
        for batch in saved_dataset.batches(path, names):
            if row + batch.num_rows > start:
                yield from _batches([batch], names, source.name, columns, row, start)
            row += batch.num_rows


def _batches(
    batches: Iterable[Any],
    names: list[str],
    source: str,
    columns: Columns,
    row: int = 0,
    start: int = 0,
) -> Rows:
    """The rows of batches of which the first begins with `row`, from row `start` on.

    names: the columns of the batches, or paths into nested ones.
    """
    for batch in batches:
        kept = pa.RecordBatch.from_arrays([column_at(batch, name) for name in names], names)
        over = min(max(start - row, 0), kept.num_rows)
        row += over
        run = max(1, min(_RUN_ROWS, _RUN_BYTES * kept.num_rows // max(kept.nbytes, 1)))
        for place in range(over, kept.num_rows, run):
            for values in _values(kept.slice(place, run)):
                if isinstance(values, str):
                    yield Skipped(None, None, source, row, values)
                else:
                    yield columns.pick(dict(zip(names, values, strict=True)), source, row)
                row += 1


def _values(batch: Any) -> Iterator[tuple[Any, ...] | str]:
    """The values of each row of a batch, or why they cannot be had."""
    try:
        rows: Iterable[Any] = list(zip(*map(_column_values, batch.columns), strict=True))
    except (ValueError, OverflowError) as error:
        rows = [f"a value cannot be decoded: {error!s:.300}"]
        if batch.num_rows > 1:  # so that such a value costs one row
            rows = (row for i in range(batch.num_rows) for row in _values(batch.slice(i, 1)))
    yield from rows


def _column_values(column: Any) -> list[Any]:
    if not isinstance(column, pa.DictionaryArray):
        return column.to_pylist()
    # Each value that occurs is made once, however long it is and however many rows repeat it.
    used = column.indices.unique().drop_null()
    values = dict(zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True))
    return [values.get(index) for index in column.indices.to_pylist()]


def _frame(frame: Any, columns: Columns) -> Rows:
    names = columns.check(frame.columns, "memory")

    def rows() -> Iterator[tuple[int, Any]]:
        values = zip(*(frame[name] for name in names), strict=True)
        return enumerate(dict(zip(names, row, strict=True)) for row in values)

    return _items(rows(), "memory", columns, rows)


def _is_dataset(corpus: Any) -> bool:
    """Whether this is a data set of `datasets` or a dict of its splits, without importing it."""
    if isinstance(corpus, Mapping):
        return bool(corpus) and all(map(_is_dataset, corpus.values()))
    return hasattr(corpus, "info") and hasattr(corpus, "select_columns")


def _dataset(dataset: Any, name: str, columns: Columns) -> Rows:
    if isinstance(dataset, Mapping):
        for split, part in dataset.items():
            yield from _dataset(part, f"{name}/{split}", columns)
        return
    source = f"dataset:{name}"
    rows = dataset.with_format(None)
    if dataset.column_names is not None:  # unknown in some streams: then the rows tell
        rows = rows.select_columns(columns.check(dataset.column_names, source))
    if dataset.features is not None:
        columns = columns.labelled(dataset.features.arrow_schema)
    again = (lambda: enumerate(rows)) if hasattr(dataset, "__len__") else None
    yield from _guarded(_items(enumerate(rows), source, columns, again), source)


def _hub(source: Source, columns: Columns) -> Rows:
    hub = HUB.fullmatch(source.path)
    assert hub is not None
    repository, config, split = hub.groups()
    load = datasets_package().load_dataset
    try:
        dataset = load(repository, config or None, split=split or "train", streaming=True)
    except Exception as error:  # the library's own errors, the hub's and the network's alike
        raise CorpusError(f"hf://{source.name} cannot be opened: {error}") from error
    yield from _dataset(dataset, source.name, columns)
