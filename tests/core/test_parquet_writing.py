"""Parquet files written as their rows come."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench.core import parquet_writing
from workbench.core.parquet_writing import written

SCHEMA = pa.schema([("name", pa.string()), ("number", pa.int64())])


@pytest.mark.parametrize("rows", [0, 1, 10, 11, 25])
def test_the_same_rows_give_the_same_bytes_in_whatever_batches_they_come(
    rows, tmp_path, monkeypatch
):
    monkeypatch.setattr(parquet_writing, "GROUP_ROWS", 10)
    numbers = list(range(rows))
    table = pa.table({"name": [f"n{number}" for number in numbers], "number": numbers}, SCHEMA)
    digests = set()
    for size in (1, 3, 10, 100):
        path = tmp_path / f"{size}.parquet"
        digest, length = written(path, table.to_batches(max_chunksize=size), SCHEMA)
        assert (digest, length) == (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            len(path.read_bytes()),
        )
        digests.add(digest)
        file = pq.ParquetFile(path)
        assert file.read() == table
        groups = [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)]
        assert groups == [10] * (rows // 10) + [rows % 10] * (rows % 10 > 0)
    assert len(digests) == 1
