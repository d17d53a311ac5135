"""Parquet files that are written as their rows come."""

from __future__ import annotations

import os
import pathlib
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import sha256_of

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
    with path.open("xb") as stream:
        with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
            for group in _groups(batches):
                writer.write_batch(group.cast(schema))
        stream.flush()
        os.fsync(stream.fileno())
    return sha256_of(path), path.stat().st_size


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
