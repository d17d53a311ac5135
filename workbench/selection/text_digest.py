"""One SHA-256 over the hashes of all ranked texts, for tables in memory and for streams."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


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
