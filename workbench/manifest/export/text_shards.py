"""Shards of text: files of documents that appear under their name only when they are whole.

A shard is written to a hidden file beside its place, forced to disk, hashed and renamed. The forms
are those that trainers' tokenizers read: JSON Lines, plain or Zstandard, and Parquet.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import sha256_of
from workbench.core.strict_json import strict

FORMATS = ("jsonl", "jsonl.zst", "parquet")
# JSON lets these stand in a string, but readers that split lines as Python's str does break there.
_LINE_ENDS = {ord(c): f"\\u{ord(c):04x}" for c in "\x85\u2028\u2029"}
_GROUP_CHARACTERS = 1 << 22  # of text in a row group of Parquet, about what is held in memory


class TextShard:
    """One shard while it is written; `finish` publishes it, `abandon` leaves nothing of it.

    Args:
        path: where it is to be published.
        format: one of FORMATS.
        schema: names and types of the columns, text and tokens among them.

    Attributes:
        lines: how many rows were written so far.
        tokens: how many tokens these have, as the rows state them.
    """

    def __init__(self, path: Path, format: str, schema: pa.Schema) -> None:
        self._schema = schema
        self.path, self.lines, self.tokens = path, 0, 0
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._file = open(self._temporary, "wb")  # noqa: SIM115 (closed in finish or abandon)
        self._rows: list[dict[str, Any]] = []
        self._characters = 0
        self._stream: Any = self._file
        if format == "jsonl.zst":
            self._stream = pa.CompressedOutputStream(pa.PythonFile(self._file, "w"), "zstd")
        elif format == "parquet":
            self._stream = pq.ParquetWriter(self._file, self._schema, compression="zstd")

    def write(self, row: dict[str, Any]) -> None:
        """Add a row.

        Args:
            row: with the fields of the schema; `metadata`, if there is such, is a dict.

        Raises:
            ValueError: for a value of `metadata` that JSON does not hold.
        """
        if "metadata" in row:
            row = row | {"metadata": strict(row["metadata"])}
        if isinstance(self._stream, pq.ParquetWriter):
            if "metadata" in row:
                row["metadata"] = json.dumps(row["metadata"], ensure_ascii=False)
            self._rows.append(row)
            self._characters += len(row["text"])
            if self._characters >= _GROUP_CHARACTERS:
                self._write_group()
        else:
            line = json.dumps(row, ensure_ascii=False).translate(_LINE_ENDS)
            self._stream.write(line.encode() + b"\n")
        self.lines += 1
        self.tokens += row["tokens"]

    def _write_group(self) -> None:
        if self._rows:
            self._stream.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()
        self._characters = 0

    def finish(self) -> dict[str, Any]:
        """Publish the shard.

        Returns:
            Its sha256, bytes, lines and tokens.
        """
        if isinstance(self._stream, pq.ParquetWriter):
            self._write_group()
        if self._stream is not self._file:
            self._stream.close()
        if not self._file.closed:  # Arrow's streams close what they wrap
            self._file.close()
        with open(self._temporary, "rb+") as written:
            os.fsync(written.fileno())
        entry = {
            "sha256": sha256_of(self._temporary), "bytes": self._temporary.stat().st_size,
            "lines": self.lines, "tokens": self.tokens,
        }  # fmt: skip
        os.replace(self._temporary, self.path)
        return entry

    def abandon(self) -> None:
        """Remove what was written so far."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)
