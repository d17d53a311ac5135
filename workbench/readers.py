"""The readers of formats: each yields the rows of one kind of corpus, in order and one by one.

A reader takes nothing for granted about the values of a row; `workbench.corpus` judges them. A row
that cannot even be decoded is a Skipped; what breaks a file, or all of the corpus, a CorpusError.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.documents import CorpusError, Document, Skipped

# In a folder, plain `.json` is a text like any other (package.json); as a given path it is JSONL.
_SHARD = re.compile(r"\.(jsonl|ndjson)(\.gz|\.zst)?$|\.json\.(gz|zst)$|\.parquet$|\.pq$")
_PARQUET = (".parquet", ".pq")
_JSONL = (".jsonl", ".ndjson", ".json", ".gz", ".zst")
_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
_HUB = re.compile(r"hf://([\w.-]+(?:/[\w.-]+)?)(?:@([^:]*)(?::(.+))?)?")
_TABLE = (".csv", ".tsv", ".xlsx", ".xls")  # one text to us, a table to their owner
_BATCH_ROWS = 128  # rows of a Parquet file that are decoded at a time


class RawRow(NamedTuple):
    """A row as its reader found it, before anything is known of its values."""

    source: str
    row: int
    id: Any
    text: Any
    domain: Any


class Columns(NamedTuple):
    """The column names that the user gave, by their roles."""

    id: str
    text: str
    domain: str

    def check(self, present: Iterable[Any], source: str) -> list[str]:
        """The wanted ones of the `present` columns; CorpusError if a needed one is not there."""
        names = list(present)
        for role, name in zip(self._fields, self, strict=True):  # a role is its default name
            if names.count(name) > 1:
                raise CorpusError(f"{source}: several columns are called {name!r}; keep one.")
            if name not in names and (role == "text" or name != role):
                raise CorpusError(
                    f"{source}: no column {name!r} for the {role}; present: {names}. "
                    f"Name the right one with {role}=..."
                )
        return [name for name in dict.fromkeys(self) if name in names]

    def pick(self, fields: Mapping[str, Any], source: str, row: int) -> RawRow:
        return RawRow(source, row, *(fields.get(name) for name in self))


Rows = Iterator[RawRow | Skipped]


def open_corpus(corpus: Any, columns: Columns) -> Rows:
    """The rows of anything that `read_corpus` takes; CorpusError if it is of no known kind."""
    if isinstance(corpus, str | os.PathLike):
        corpus = [corpus]
    if isinstance(corpus, list | tuple) and all(isinstance(p, str | os.PathLike) for p in corpus):
        return _paths(corpus, columns)
    if _is_dataset(corpus):
        info = getattr(corpus, "info", None)  # a dict of splits has none
        return _dataset(corpus, getattr(info, "dataset_name", None) or "memory", columns)
    if hasattr(corpus, "itertuples"):
        return _frame(corpus, columns)
    if hasattr(corpus, "__arrow_c_stream__"):
        reader = pa.RecordBatchReader.from_stream(corpus)
        return _batches(reader, columns.check(reader.schema.names, "memory"), "memory", columns)
    if isinstance(corpus, Iterable) and not isinstance(corpus, bytes | Mapping):
        return _items(enumerate(corpus), "memory", columns)
    raise CorpusError(
        f"a corpus cannot be read from a {type(corpus).__name__}; give a path, a list of paths, "
        "'hf://owner/name', a data set, a frame, or an iterable of dicts or Documents."
    )


def _paths(given: Iterable[Any], columns: Columns) -> Rows:
    """Rows of the paths in turn. Their names must differ, so that no two sources are the same."""
    found: dict[str, str] = {}
    for path in map(os.fsdecode, given):
        hub = _HUB.fullmatch(path)
        if path.startswith("hf://") and not hub:
            raise CorpusError(f"{path!r} is not of the form hf://owner/name[@config[:split]].")
        if not hub and not os.path.exists(path):
            raise CorpusError(f"{path!r} does not exist; give a file, a folder or hf://owner/name.")
        own_name = os.path.basename(os.path.abspath(path))  # also of "." and "folder/"
        name = path.removeprefix("hf://") if hub else _utf8_name(own_name)
        if name in found:
            raise CorpusError(
                f"two given paths are both called {name!r}, so their rows could not be told apart; "
                "give their common parent folder, or rename one."
            )
        found[name] = path
    return _named_paths(found, columns)


def _named_paths(found: Mapping[str, str], columns: Columns) -> Rows:
    for name, path in found.items():
        if hub := _HUB.fullmatch(path):
            yield from _hub(hub, name, columns)
        elif _is_saved_dataset(Path(path)):
            yield from _dataset(_datasets_package().load_from_disk(path), name, columns)
        elif os.path.isdir(path):
            prefix = f"{name}/" if len(found) > 1 else ""
            yield from _guarded(_folder(Path(path), prefix, columns), name)
        else:
            yield from _file(Path(path), name, columns)


def _utf8_name(name: str) -> str:
    """A file name that UTF-8 can hold: undecodable bytes are written out as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _folder(folder: Path, prefix: str, columns: Columns) -> Rows:
    if next(_files(folder), None) is None:
        raise CorpusError(f"the folder {str(folder)!r} holds no file that is not hidden.")
    shards = any(_SHARD.search(path.name) for path in _files(folder))
    for path in _files(folder):
        place = path.relative_to(folder)
        source = _utf8_name(prefix + place.as_posix())
        if not shards:
            domain = _utf8_name(place.parts[0]) if len(place.parts) > 1 else None
            yield from _guarded(_whole_text(path, source, domain, columns), source)
        elif _SHARD.search(path.name):
            yield from _file(path, source, columns)
        else:
            reason = "not a JSONL or Parquet file, in a folder of such shards"
            yield Skipped(None, None, source, 0, reason)


def _files(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """The files below `folder` that are not hidden, sorted. Links are followed, not in circles."""
    here = os.path.realpath(folder)
    if here in above:
        raise CorpusError(f"{str(folder)!r} is a link to a folder that it lies in; remove it.")
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry, (*above, here))
        elif entry.is_file():
            yield entry
        else:
            raise CorpusError(f"{str(entry)!r} is neither a file nor a folder (a dead link?).")


def _file(path: Path, source: str, columns: Columns) -> Rows:
    if path.name.endswith(_PARQUET):
        return _guarded(_parquet(path, source, columns), source)
    if path.name.endswith(_JSONL):
        return _guarded(_items(_lines(path, source), source, columns), source)
    if path.name.lower().endswith(_TABLE):
        raise CorpusError(
            f"{source} is a table of a kind that is not read; convert it to Parquet or JSON Lines, "
            "or read it with pandas and give the frame."
        )
    return _guarded(_whole_text(path, source, None, columns), source)


def _guarded(rows: Rows, source: str) -> Rows:
    """The same rows; what breaks the file itself becomes a CorpusError that says how far it got."""
    reached = "before its first row"
    try:
        for item in rows:
            yield item
            reached = f"after row {item.row}"
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{source}: reading broke off {reached}: {error}") from error


def _whole_text(path: Path, source: str, domain: str | None, columns: Columns) -> Rows:
    columns.check([columns.text], source)  # a text file has no id or domain column to be named
    try:
        yield RawRow(source, 0, None, path.read_bytes().decode("utf-8-sig"), domain)
    except UnicodeDecodeError as error:
        yield Skipped(f"{source}#0", domain, source, 0, f"invalid UTF-8 at byte {error.start}")


def _lines(path: Path, source: str) -> Iterator[tuple[int, Any]]:
    """The JSON values of the lines that are not blank; a line that is no JSON is a Skipped."""
    if path.suffix in _COMPRESSION and path.stat().st_size == 0:
        raise CorpusError(f"{source}: reading broke off before its first row: the file is empty.")
    # Arrow's decompressors, unlike python-zstandard's, notice a stream that ends early.
    with pa.input_stream(str(path), compression=_COMPRESSION.get(path.suffix)) as stream:
        # Bytes first: a line that is not UTF-8 costs one document and not the file.
        for row, line in enumerate(io.BufferedReader(stream)):
            line = line.removeprefix(codecs.BOM_UTF8) if row == 0 else line
            if row == 0 and path.suffix == ".json" and line.lstrip().startswith(b"["):
                raise CorpusError(
                    f"{source} is a JSON array; expected JSON Lines, one object a line. Convert "
                    "it, or read it with pandas and give the frame."
                )
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                value = Skipped(None, None, source, row, f"invalid UTF-8 at byte {error.start}")
            except (ValueError, RecursionError) as error:
                value = Skipped(None, None, source, row, f"not JSON: {error}")
            yield row, value


def _items(items: Iterable[tuple[int, Any]], source: str, columns: Columns) -> Rows:
    """Rows of dicts; the first one must have the columns. Documents and Skipped pass through."""
    checked = False
    for row, item in items:
        if isinstance(item, Skipped):
            yield item
        elif isinstance(item, Document):
            yield RawRow(_utf8_name(item.source), item.row, item.doc_id, item.text, item.domain)
        elif isinstance(item, Mapping):
            if not checked:
                columns.check(item, f"{source} row {row}")
                checked = True
            yield columns.pick(item, source, row)
        else:
            reason = f"not an object with columns but of type {type(item).__name__}"
            yield Skipped(None, None, source, row, reason)


def _parquet(path: Path, source: str, columns: Columns) -> Rows:
    # With pre_buffer, its default, Arrow holds on to all that it has read, up to the whole file.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        names = columns.check(file.schema_arrow.names, source)
        batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=names)
        yield from _batches(batches, names, source, columns)


def _batches(batches: Iterable[Any], names: list[str], source: str, columns: Columns) -> Rows:
    row = 0
    for batch in batches:
        kept = batch.select(names)
        for place in range(kept.num_rows):
            try:  # one row at a time, so that a value that Python cannot hold costs one row
                yield columns.pick(kept.slice(place, 1).to_pylist()[0], source, row)
            except (ValueError, OverflowError) as error:
                yield Skipped(None, None, source, row, f"a value cannot be decoded: {error}")
            row += 1


def _frame(frame: Any, columns: Columns) -> Rows:
    names = columns.check(frame.columns, "memory")
    for row, values in enumerate(zip(*(frame[name] for name in names), strict=True)):
        yield columns.pick(dict(zip(names, values, strict=True)), "memory", row)


def _is_dataset(corpus: Any) -> bool:
    """Whether this is a data set of `datasets` or a dict of its splits, without importing it."""
    if isinstance(corpus, Mapping):
        return bool(corpus) and all(map(_is_dataset, corpus.values()))
    return hasattr(corpus, "info") and hasattr(corpus, "select_columns")


def _is_saved_dataset(folder: Path) -> bool:
    one = (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    return one or (folder / "dataset_dict.json").is_file()


def _dataset(dataset: Any, name: str, columns: Columns) -> Rows:
    if isinstance(dataset, Mapping):
        for split, part in dataset.items():
            yield from _dataset(part, f"{name}/{split}", columns)
        return
    source = f"dataset:{name}"
    rows = dataset.with_format(None)
    if dataset.column_names is not None:  # unknown in some streams: then the first row tells
        rows = rows.select_columns(columns.check(dataset.column_names, source))
    yield from _guarded(_items(enumerate(rows), source, columns), source)


def _hub(hub: re.Match[str], name: str, columns: Columns) -> Rows:
    repository, config, split = hub.groups()
    load = _datasets_package().load_dataset
    try:
        found = load(repository, config or None, split=split or "train", streaming=True)
    except Exception as error:  # the library's own errors, the hub's and the network's alike
        raise CorpusError(f"hf://{name} cannot be opened: {error}") from error
    yield from _dataset(found, name, columns)


def _datasets_package() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise CorpusError(
            "this corpus needs the package `datasets`, which is not installed; "
            "run: pip install attention-influence-workbench[datasets]"
        ) from error
    return datasets
