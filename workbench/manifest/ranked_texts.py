"""Which texts a manifest ranks: place and SHA-256 of each ranked row, and draws from them.

Plain arrays, about 50 bytes a row, so that the texts of many million rows can be checked against a
corpus that is streamed in any order, or one source at a time.
"""

from __future__ import annotations

import binascii
import contextlib
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench.core.parquet import batches, groups_of

_BATCH_ROWS = 1 << 16
_HEX = "^[0-9a-f]{64}$"


class SourceRows(NamedTuple):
    """The ranked rows of one source: places first to before last in the arrays of RankedTexts."""

    name: str
    first: int
    last: int


class RankedTexts:
    """The ranked rows in the order of source and row.

    sources: one SourceRows a source, by name. rows: int64 (n,), the row in its source. digests:
    uint8 (n, 32), the stated SHA-256. order: int64 (n,), where the row stands in selection.parquet.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Read selection.parquet; raises ValueError where a text hash is none."""
        with contextlib.ExitStack() as held:
            stream = held.enter_context(open(path, "rb"))
            count = sum(group.rows for group in groups_of(stream))
            file = held.enter_context(pq.ParquetFile(stream, pre_buffer=False))
            code, rows = np.empty(count, np.int32), np.empty(count, np.int64)
            digests = np.empty((count, 32), np.uint8)
            names: dict[str, int] = {}
            at = 0
            columns = ["source", "row", "text_sha256"]
            for batch in batches(file, stream, columns, most_rows=_BATCH_ROWS):
                end = at + len(batch)
                found = pc.dictionary_encode(batch["source"])
                new = [names.setdefault(one, len(names)) for one in found.dictionary.to_pylist()]
                code[at:end] = np.asarray(new, np.int32)[found.indices.to_numpy()]
                rows[at:end] = batch["row"].to_numpy()
                digests[at:end] = _bytes_of(batch["text_sha256"])
                at = end
        by_name = np.argsort(np.array(list(names), dtype=object), kind="stable")
        place = np.empty(len(names), np.int32)
        place[by_name] = np.arange(len(names), dtype=np.int32)
        code = place[code] if count else code
        self.order = np.lexsort((rows, code))
        self.rows, self.digests = rows[self.order], digests[self.order]
        bounds = np.searchsorted(code[self.order], np.arange(len(names) + 1)).tolist()
        listed = list(names)
        self.sources = {
            listed[index]: SourceRows(listed[index], first, last)
            for index, first, last in zip(by_name, bounds, bounds[1:], strict=False)
        }

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, source: str, row: int) -> int:
        """The place of a row in the arrays, or -1 if it is not ranked."""
        known = self.sources.get(source)
        if known is None:
            return -1
        place = known.first + int(np.searchsorted(self.rows[known.first : known.last], row))
        return place if place < known.last and self.rows[place] == row else -1

    def name(self, place: int) -> tuple[str, int]:
        """Source and row of a place, for messages."""
        of = next(one for one in self.sources.values() if one.first <= place < one.last)
        return of.name, int(self.rows[place])

    def draw(self, count: int, seed: int) -> np.ndarray:
        """Places of `count` rows drawn by source, ascending; all places if there are no more.

        Each source gets its share of the draw and at least one row; where there are more sources
        than rows to draw, the rows are spread evenly over the sources in order of their names.
        """
        total = len(self)
        if count >= total:
            return np.arange(total)
        random = np.random.default_rng(seed)
        if count < len(self.sources):  # one row of each of `count` equal pieces of the list
            edges = np.linspace(0, total, count + 1).astype(np.int64)
            return random.integers(edges[:-1], edges[1:])
        return np.concatenate(list(self._shares(count, random)))

    def _shares(self, count: int, random: np.random.Generator) -> Iterator[np.ndarray]:
        """Drawn places of each source; sizes by largest remainder after one row for each."""
        sizes = np.array([one.last - one.first for one in self.sources.values()])
        wanted = (sizes - 1) * (count - len(sizes)) / max(len(self) - len(sizes), 1)
        shares = 1 + np.floor(wanted).astype(np.int64)
        most = np.argsort(np.floor(wanted) - wanted, kind="stable")
        shares[most[: count - int(shares.sum())]] += 1
        for one, share in zip(self.sources.values(), shares, strict=True):
            drawn = random.choice(one.last - one.first, size=int(share), replace=False)
            yield one.first + np.sort(drawn)


def _bytes_of(hashes: pa.Array) -> np.ndarray:
    """Hex digests as uint8 (n, 32)."""
    if not pc.all(pc.match_substring_regex(hashes, _HEX), min_count=0).as_py():
        raise ValueError("a text_sha256 is not 64 lower-case hexadecimal digits")
    flat = binascii.unhexlify("".join(hashes.to_pylist()))
    return np.frombuffer(flat, np.uint8).reshape(-1, 32)
