"""Hashes of texts in columns, and one SHA-256 over all of them, for tables and for streams."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_DIGITS = np.array([f"{byte:02x}".encode() for byte in range(256)], dtype="S2")


def hex_digits(hashes: pa.Array) -> pa.Array:
    """Hashes as text.

    Args:
        hashes: SHA-256 as 32 bytes each, or text, which stays as it is; (rows,).

    Returns:
        64 hexadecimal digits each, (rows,).
    """
    if not pa.types.is_binary(hashes.type) and not pa.types.is_large_binary(hashes.type):
        return hashes.cast(pa.string())
    raw = np.frombuffer(b"".join(hashes.to_pylist()), dtype=np.uint8)
    digits = pa.py_buffer(_DIGITS[raw].tobytes())
    ends = np.arange(len(hashes) + 1, dtype="int32") * 64
    return pa.Array.from_buffers(pa.string(), len(hashes), [None, pa.py_buffer(ends), digits])


def text_digest(table: pd.DataFrame) -> str:
    """SHA-256 over the ranked documents' hashes: which texts these were, in any order of rows.

    Args:
        table: with the columns source, row and text_sha256.

    Returns:
        64 hexadecimal digits.
    """
    rows = sorted(zip(table["source"], table["row"], table["text_sha256"], strict=True))
    lines = "".join(json.dumps([source, int(row), text]) + "\n" for source, row, text in rows)
    return hashlib.sha256(lines.encode()).hexdigest()


class DigestStream:
    """The value of `text_digest` from batches that come in the order of source and row.

    Args:
        sources: the names of all sources; `add` gives their places in here.
    """

    def __init__(self, sources: pa.Array) -> None:
        self._digest = hashlib.sha256()
        self._openings = pa.array([f"[{json.dumps(name)}, " for name in sources.to_pylist()])

    def add(self, source: pa.Array, row: pa.Array, text: pa.Array) -> None:
        """Go on with the next rows, in the order of source and row.

        Args:
            source: int (rows,), places of the names.
            row: int64 (rows,).
            text: the hashes, or other text, (rows,).
        """
        quoted = pc.binary_join_element_wise('"', text, '"', "")
        if not pc.all(pc.match_substring_regex(text, "^[0-9a-f]*$")).as_py():
            quoted = pa.array([json.dumps(value) for value in text.to_pylist()], pa.string())
        opening = self._openings.take(source)
        lines = pc.binary_join_element_wise(
            opening, row.cast(pa.string()), ", ", quoted, "]\n", ""
        ).cast(pa.large_string())
        starts = lines.buffers()[1]
        first, last = (
            int.from_bytes(starts[8 * at : 8 * at + 8].to_pybytes(), "little")
            for at in (lines.offset, lines.offset + len(lines))
        )
        self._digest.update(memoryview(lines.buffers()[2])[first:last] if last > first else b"")

    def hexdigest(self) -> str:
        """The digest of the rows so far, as 64 hexadecimal digits."""
        return self._digest.hexdigest()
