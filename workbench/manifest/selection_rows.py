"""The rows of selection.parquet as sorted arrays, to be found by source and row.

So many million ranked texts can be checked against a corpus, or the chosen ones taken out of it,
while the corpus is streamed in any order or read one source at a time.
"""

from __future__ import annotations

import binascii
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench.core.parquet import batches, groups_of

_BATCH_ROWS = 1 << 16
_HEX = "^[0-9a-f]{64}$"
_NUMBERED = ("source", "domain")  # names, kept as int32 places in a list of them
_WHOLE = ("row", "tokens", "predicted", "predicted_novel", "repeat", "rank")


class SourceRows(NamedTuple):
    """The rows of one source.

    Attributes:
        name: the source.
        first: the place of its first row in the arrays of SelectionRows.
        last: the place behind its last row.
    """

    name: str
    first: int
    last: int


class SelectionRows:
    """Rows of selection.parquet, in the order of source and row. A place is an index of its arrays.

    About 50 bytes a row, and while the file is read some 50 more.

    Attributes:
        sources: one SourceRows a source, by the name of the source.
        rows: int64 (n,), the row of each document in its source.
        digests: uint8 (n, 32), the SHA-256 of each text as the selection states it.
        order: int64 (n,), where each row stands among those that were read, in the file's order.
        columns: the further columns that were asked for, each (n,); "domain" as int32 places in
            `domains`.
        domains: the names of the domains, when they were asked for.
    """

    def __init__(
        self, path: pathlib.Path, columns: Sequence[str] = (), *, chosen_only: bool = False
    ) -> None:
        """Read selection.parquet.

        Args:
            path: of the file.
            columns: "domain" and names of columns of numbers, those to keep as well.
            chosen_only: leave out the rows whose `repeat` is 0.

        Raises:
            ValueError: where a text hash is not one, or the file expands beyond bounds.
        """
        numbers: dict[str, dict[str, int]] = {name: {} for name in _NUMBERED}
        filtered = ["repeat"] if chosen_only else []
        wanted = dict.fromkeys(["source", "row", "text_sha256", *columns, *filtered])
        with path.open("rb") as stream:
            count = sum(group.rows for group in groups_of(stream))
            # Memory that nothing is written into is not taken, so chosen rows cost what they are.
            read: dict[str, np.ndarray] = {name: np.empty(count, _type_of(name)) for name in wanted}
            read["text_sha256"] = np.empty((count, 32), np.uint8)
            end = 0
            with pq.ParquetFile(stream, pre_buffer=False) as file:
                for batch in batches(file, stream, list(wanted), most_rows=_BATCH_ROWS):
                    if chosen_only:
                        batch = batch.filter(pc.greater(batch["repeat"], 0))
                    start, end = end, end + len(batch)
                    for name in wanted:
                        if name in numbers:
                            values = _numbered(batch[name], numbers[name])
                        elif name == "text_sha256":
                            values = _bytes_of(batch[name])
                        else:
                            values = batch[name].to_numpy()
                        read[name][start:end] = values
        source = _renumbered(read.pop("source")[:end], numbers["source"])
        self.order = np.lexsort((read["row"][:end], source))
        self.rows = read.pop("row")[:end][self.order]
        self.digests = read.pop("text_sha256")[:end][self.order]
        self.columns = {name: read[name][:end][self.order] for name in columns}
        self.domains = list(numbers["domain"])
        listed = sorted(numbers["source"])
        bounds = np.searchsorted(source[self.order], np.arange(len(listed) + 1)).tolist()
        self.sources = {
            name: SourceRows(name, bounds[number], bounds[number + 1])
            for number, name in enumerate(listed)
        }

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, source: str, row: int) -> int | None:
        """Find a document.

        Args:
            source: the name of its source.
            row: its row in the source.

        Returns:
            Its place in the arrays, None where it is not among the rows.
        """
        known = self.sources.get(source)
        if known is None:
            return None
        place = known.first + int(np.searchsorted(self.rows[known.first : known.last], row))
        return place if place < known.last and self.rows[place] == row else None

    def key(self, place: int) -> tuple[str, int]:
        """Source and row of a place, for messages: this looks through all sources.

        Args:
            place: in the arrays.

        Returns:
            The name of the source, and the row in it.
        """
        source = next(s for s in self.sources.values() if s.first <= place < s.last)
        return source.name, int(self.rows[place])

    def draw(self, count: int, seed: int) -> np.ndarray:
        """Draw rows by source.

        Each source gets its share of the draw and at least one row; where there are more sources
        than rows to draw, the rows are spread evenly over the sources in order of their names.

        Args:
            count: how many rows.
            seed: of the draw.

        Returns:
            int64 (count,), places in ascending order; all places if there are no more rows.
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
        sizes = np.array([source.last - source.first for source in self.sources.values()])
        wanted = (sizes - 1) * (count - len(sizes)) / max(len(self) - len(sizes), 1)
        shares = 1 + np.floor(wanted).astype(np.int64)
        most = np.argsort(np.floor(wanted) - wanted, kind="stable")
        shares[most[: count - int(shares.sum())]] += 1
        for source, share in zip(self.sources.values(), shares, strict=True):
            drawn = random.choice(source.last - source.first, size=int(share), replace=False)
            yield source.first + np.sort(drawn)


def _type_of(column: str) -> type:
    if column in _NUMBERED:
        return np.int32
    return np.int64 if column in _WHOLE else np.float64


def _numbered(names: pa.Array, numbers: dict[str, int]) -> np.ndarray:
    """Names as their `numbers`, which grow by those that are new."""
    encoded = pc.dictionary_encode(names)
    known = [numbers.setdefault(name, len(numbers)) for name in encoded.dictionary.to_pylist()]
    return np.asarray(known, np.int32)[encoded.indices.to_numpy()]


def _renumbered(codes: np.ndarray, numbers: dict[str, int]) -> np.ndarray:
    """Numbers in the order of the names, from those in the order in which the names came."""
    place = np.empty(len(numbers), np.int32)
    for new, name in enumerate(sorted(numbers)):
        place[numbers[name]] = new
    return place[codes] if len(codes) else codes


def _bytes_of(hashes: pa.Array) -> np.ndarray:
    """Hex digests as uint8 (n, 32)."""
    if not pc.all(pc.match_substring_regex(hashes, _HEX), min_count=0).as_py():
        raise ValueError("a text_sha256 is not 64 lower-case hexadecimal digits")
    flat = binascii.unhexlify("".join(hashes.to_pylist()))
    return np.frombuffer(flat, np.uint8).reshape(-1, 32)
