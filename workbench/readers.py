"""The readers of formats: each yields the rows of one kind of corpus, in order and one by one.

A reader takes nothing for granted about the values of a row; `workbench.corpus` judges them. A row
that cannot even be decoded is a Skipped; what breaks a file, or all of the corpus, a CorpusError.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench import parquet, saved_dataset
from workbench.columns import Columns, RawRow, column_at
from workbench.documents import CorpusError, Document, Skipped
from workbench.files import LONGEST_LINE, lines_of
from workbench.sources import HUB, Source, datasets_package, opened, sources_of, utf8_name

_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
LARGEST_TEXT = LONGEST_LINE  # bytes of one text file
LOOK_AHEAD = 1000  # rows that are held until each wanted column was seen in one of them


Rows = Iterator[RawRow | Skipped]


def open_corpus(corpus: Any, columns: Columns) -> Rows:
    """The rows of anything that `read_corpus` takes; CorpusError if it is of no known kind."""
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
    """The paths that a corpus was given as; None for one that was given in another way."""
    given = [corpus] if isinstance(corpus, str | os.PathLike) else corpus
    if not isinstance(given, list | tuple):
        return None
    return list(given) if all(isinstance(one, str | os.PathLike) for one in given) else None


def _paths(given: Iterable[Any], columns: Columns) -> Rows:
    sources = sources_of(given)  # refuses wrong paths now, not when the first row is asked for
    return (row for source in sources for row in read_source(source, columns))


def read_source(
    source: Source, columns: Columns, start: int = 0, stop: int | None = None, offset: int = 0
) -> Rows:
    """The rows of one source, or those from row `start` to before row `stop` of it.

    offset: where row `start` begins in a plain JSONL file, in bytes, if that is known (see
    `row_offsets`). Without it, and in a compressed file, the lines before are read over; in a
    Parquet file whole row groups are left out, in a saved data set all that comes before.
    """
    columns = columns.within(source.name, source.domain)
    if source.kind == "hub":
        rows = _hub(source, columns)
    elif source.kind == "stray":
        reason = "not a JSONL or Parquet file, in a folder of such shards"
        rows = iter([Skipped(None, None, source.name, 0, reason)])
    elif source.kind == "dataset":
        rows = _saved(source, columns, start)
    elif source.kind == "parquet":
        rows = _parquet(source, columns, start)
    elif source.kind == "jsonl":
        lines = _lines(source, start, stop, offset)
        if start > 0:  # the columns are looked for when a file is read from its beginning
            rows = _picked(lines, source.name, columns)
        else:
            rows = _items(lines, source.name, columns, lambda: _lines(source, 0, None, 0))
    else:
        rows = _whole_text(source, columns)
    return _range(_guarded(rows, source.name), start, stop)


def _range(rows: Rows, start: int, stop: int | None) -> Rows:
    for item in rows:
        if stop is not None and item.row >= stop:
            return
        if item.row >= start:
            yield item


def row_offsets(source: Source, rows: Iterable[int]) -> tuple[str, int, dict[int, int]]:
    """SHA-256 and size in bytes of a file, and where the wanted rows of a plain JSONL file begin.

    For any other kind of file no row has a place of its own, and the last is empty.
    """
    digest, size, places, wanted = hashlib.sha256(), 0, {}, set(rows)
    by_line = source.kind == "jsonl" and not source.path.endswith(tuple(_COMPRESSION))
    with opened(source.path) as file:
        read, row, begins = file.readline if by_line else file.read, 0, by_line
        while piece := read(1 << 20):  # a piece of a line, if that is longer
            if begins and row in wanted:
                places[row] = size
            digest.update(piece)
            size += len(piece)
            begins = by_line and piece.endswith(b"\n")
            row += begins
    return digest.hexdigest(), size, places


def _guarded(rows: Rows, source: str) -> Rows:
    """The same rows; what breaks the file itself becomes a CorpusError that says how far it got."""
    reached = "before its first row"
    try:
        for item in rows:
            yield item
            reached = f"after row {item.row}"
    except CorpusError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        said = utf8_name(f"{error!s:.500}")
        raise CorpusError(f"{source}: reading broke off {reached}: {said}") from error


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


def _lines(source: Source, start: int, stop: int | None, offset: int) -> Iterator[tuple[int, Any]]:
    """The JSON values of the lines that are not blank; a line that is no JSON is a Skipped."""
    name, suffix = source.name, PurePath(source.path).suffix
    with opened(source.path) as file:
        stream = file
        if suffix in _COMPRESSION:
            if not file.read(1):
                raise CorpusError(
                    f"{name}: reading broke off before its first row: the file is empty."
                )
            file.seek(0)
            # Arrow's decompressors, unlike python-zstandard's, notice a stream that ends early.
            stream = io.BufferedReader(pa.input_stream(file, compression=_COMPRESSION[suffix]))
        first = 0
        if offset:
            file.seek(offset)
            first = start
        # Bytes first: a line that is not UTF-8 costs one document and not the file.
        for row, line in enumerate(lines_of(stream), first):
            if row < start:
                continue
            if stop is not None and row >= stop:
                return
            if line is None:
                reason = f"a line of more than {LONGEST_LINE >> 20} MiB, too long for one document"
                yield row, Skipped(None, None, name, row, reason)
                continue
            line = line.removeprefix(codecs.BOM_UTF8) if row == 0 else line
            if row == 0 and suffix == ".json" and line.lstrip().startswith(b"["):
                raise CorpusError(
                    f"{name} is a JSON array; expected JSON Lines, one object a line. Convert "
                    "it, or read it with pandas and give the frame."
                )
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                value = Skipped(None, None, name, row, f"invalid UTF-8 at byte {error.start}")
            except (ValueError, RecursionError) as error:
                value = Skipped(None, None, name, row, f"not JSON: {error}")
            yield row, value


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
            lacking = [one for one in lacking if one in missing] if first else missing
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


def _parquet(source: Source, columns: Columns, start: int) -> Rows:
    # With pre_buffer, its default, Arrow holds on to all that it has read, up to the whole file.
    with (
        opened(source.path) as stream,
        opened(source.path) as headers,
        pq.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20) as file,
    ):
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
        for place in range(over, kept.num_rows):
            try:  # one row at a time, so that a value that Python cannot hold costs one row
                yield columns.pick(kept.slice(place, 1).to_pylist()[0], source, row)
            except (ValueError, OverflowError) as error:
                yield Skipped(None, None, source, row, f"a value cannot be decoded: {error!s:.300}")
            row += 1


def _frame(frame: Any, columns: Columns) -> Rows:
    names = columns.check(frame.columns, "memory")

    def rows() -> Iterator[tuple[int, Any]]:
        values = zip(*(frame[name] for name in names), strict=True)
        return enumerate(dict(zip(names, one, strict=True)) for one in values)

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
        found = load(repository, config or None, split=split or "train", streaming=True)
    except Exception as error:  # the library's own errors, the hub's and the network's alike
        raise CorpusError(f"hf://{source.name} cannot be opened: {error}") from error
    yield from _dataset(found, source.name, columns)
