"""Parquet files that are written as their rows come, and hashed on the way."""

from __future__ import annotations

import hashlib
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 200_000


@contextmanager
def scratch_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder beside the results, on the same disk, that is gone after the `with` block.

    Args:
        folder: the folder of the results.
    """
    path = folder / f".selection.{secrets.token_hex(8)}.tmp"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class _Hashed:
    """A file to write to, whose bytes are hashed on the way."""

    def __init__(self, path: pathlib.Path) -> None:
        # os.open, not tempfile: the user's umask decides who may read the published file.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._stream = os.fdopen(os.open(path, flags, 0o666), "wb")
        self.digest, self.size, self.closed = hashlib.sha256(), 0, False

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.size += memoryview(data).nbytes
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        if not self.closed:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            self.closed = True


def written(
    path: pathlib.Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema
) -> tuple[str, int]:
    """Write batches to a new Parquet file as they come.

    The same rows give the same bytes, whatever batches they come in.

    Args:
        path: the file; it must not exist.
        batches: the batches, in order.
        schema: the schema of the file, to which each batch is cast.

    Returns:
        The file's sha256 and its size in bytes.
    """
    stream = _Hashed(path)
    try:
        sink = pa.PythonFile(stream, mode="w")
        with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            for group in _groups(batches):
                writer.write_batch(group.cast(schema))
        sink.close()
    finally:
        stream.close()
    return stream.digest.hexdigest(), stream.size


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of all batches as row groups of GROUP_ROWS, of which the last may have fewer."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        while (missing := GROUP_ROWS - sum(map(len, held))) <= len(batch):
            yield pa.concat_batches([*held, batch.slice(0, missing)])
            held, batch = [], batch.slice(missing)
        if len(batch):
            held.append(batch)
    if held:
        yield pa.concat_batches(held)
