"""Folders of `datasets.save_to_disk`, read without that package, which trusts what they state.

    dataset_dict.json   {"splits": [names of folders]}, only where there are several
    state.json          {"_data_files": [{"filename": ...}]}
    *.arrow             the rows, as an Arrow stream

The names may try to reach outside the folder, and an Arrow stream is no more checked by Arrow than
the memory that it is a copy of: offsets out of their buffer would be followed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from workbench.core.files import read_json, resolve_inside
from workbench.core.nested_columns import column_at, steps_to
from workbench.core.parquet import check_single

_RECORDS, _DICTIONARY = "record batch", "dictionary"


def is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets.save_to_disk` wrote this folder.

    Args:
        folder: the folder.
    """
    single = (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    return single or (folder / "dataset_dict.json").is_file()


def splits(folder: Path) -> dict[str, Path]:
    """The folders of the splits of a saved data set.

    Args:
        folder: the folder of the data set.

    Returns:
        The folders by name, or the folder itself under "" if it has no splits.

    Raises:
        ValueError: with the reason, for a list of splits that is none.
    """
    if not (folder / "dataset_dict.json").is_file():
        return {"": folder}
    stated = read_json(folder / "dataset_dict.json")
    names = stated.get("splits") if isinstance(stated, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError('dataset_dict.json lists no splits: expected {"splits": [names]}')
    if len(set(names)) < len(names):
        raise ValueError("dataset_dict.json names a split twice")
    # Through one of its files, since it is files that are looked at for links and odd names.
    return {name: resolve_inside(folder, f"{name}/state.json").parent for name in names}


def data_files(folder: Path) -> list[Path]:
    """The Arrow files of one data set, in their order.

    Args:
        folder: the folder of the data set or of one split.

    Raises:
        ValueError: with the reason, if there is no saying which they are.
    """
    stated = read_json(resolve_inside(folder, "state.json"))
    files = stated.get("_data_files") if isinstance(stated, dict) else None
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise ValueError('state.json lists no files: expected {"_data_files": [{"filename": ...}]}')
    paths = [resolve_inside(folder, file.get("filename")) for file in files]
    if len(set(paths)) < len(paths):
        raise ValueError("state.json lists a file twice")
    return paths


def schema_of(path: Path) -> pa.Schema:
    """The columns of an Arrow file.

    Args:
        path: the file.

    Raises:
        pa.ArrowInvalid: (a ValueError, or OSError) the file is none.
    """
    with pa.memory_map(str(path)) as stream:
        return pa.ipc.open_stream(stream).schema


def batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Columns of an Arrow file, batch by batch, safe to be looked at value by value.

    The file is mapped, not read.

    Args:
        path: the file.
        columns: names of the columns, or paths into nested columns.

    Raises:
        pa.ArrowInvalid: (a ValueError, or OSError) values do not lie in the file, or are
            compressed: `datasets` writes none such, and a few bytes of them may state any size.
    """
    _check_uncompressed(path)
    with pa.memory_map(str(path)) as stream:
        reader = pa.ipc.open_stream(stream)
        check_single(reader.schema, columns)
        for batch in reader:
            arrays = []
            for name in columns:
                batch.column(steps_to(batch.schema, name)[0]).validate()  # before it is looked into
                arrays.append(column_at(batch, name))
                _check(arrays[-1])
            yield pa.RecordBatch.from_arrays(arrays, columns)


def _check(column: pa.Array) -> None:
    """Raise pa.ArrowInvalid if a value would be read from outside the column's own memory."""
    # As bytes: one text that is not UTF-8 costs its row, which whoever decodes it finds out.
    if pa.types.is_string(column.type):
        column = column.view(pa.binary())
    elif pa.types.is_large_string(column.type):
        column = column.view(pa.large_binary())
    column.validate(full=True)


def _check_uncompressed(path: Path) -> None:
    with pa.memory_map(str(path)) as stream:
        for message in pa.ipc.MessageReader.open_stream(stream):
            if message.type in (_RECORDS, _DICTIONARY) and _is_compressed(message):
                raise pa.ArrowInvalid(
                    "its batches are compressed, which is not read: save it again"
                )


def _is_compressed(message: pa.ipc.Message) -> bool:
    """Whether the batch in a message says how it is compressed (a FlatBuffers field)."""
    data = message.metadata
    try:
        header = _follow(data, _field(data, _follow(data, 0), 2))
        if message.type == _DICTIONARY:
            header = _follow(data, _field(data, header, 1))
        return _field(data, header, 3) != 0
    except struct.error as error:
        raise pa.ArrowInvalid(f"the header of a batch is damaged: {error}") from error


def _follow(data: pa.Buffer, at: int) -> int:
    """The place that the offset at `at` points to."""
    return at + struct.unpack_from("<I", data, at)[0]


def _field(data: pa.Buffer, table: int, number: int) -> int:
    """The place of a field of the table at `table`; 0 if it is not set."""
    about = table - struct.unpack_from("<i", data, table)[0]
    (size,) = struct.unpack_from("<H", data, about)
    if 4 + 2 * number + 2 > size:
        return 0
    (offset,) = struct.unpack_from("<H", data, about + 4 + 2 * number)
    return table + offset if offset else 0
