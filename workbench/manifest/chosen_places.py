"""The documents that a manifest chose, found by source and row while a corpus goes by.

About 280 bytes a chosen document while the table is read, 180 after that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_REPEATS = 1000


class ChosenPlaces:
    """What the manifest chose, sorted by source and row, to be found by them. One entry each:
    rows, tokens, score, rank, repeat, domain (a number in `domains`), digests ((chosen, 32) bytes),
    seen."""

    def __init__(self, selection: Path, repeat: int | Mapping[str, int]) -> None:
        self.domains: list[str] = []
        sources: dict[str, int] = {}
        domains: dict[str, int] = {}
        parts: list[tuple[Any, ...]] = []
        with pq.ParquetFile(selection, pre_buffer=False) as file:
            names = ["source", "row", "text_sha256", "domain", "tokens", "repeat",
                     "score", "rank"]  # fmt: skip
            for batch in file.iter_batches(8192, columns=names):
                frame = batch.filter(pc.greater(batch["repeat"], 0))
                columns = [frame[name].to_pylist() for name in ("source", "text_sha256", "domain")]
                parts.append(
                    (
                        np.array([sources.setdefault(x, len(sources)) for x in columns[0]], "i4"),
                        frame["row"].to_numpy(),
                        np.frombuffer(bytes.fromhex("".join(columns[1])), "u1").reshape(-1, 32),
                        np.array([domains.setdefault(x, len(domains)) for x in columns[2]], "i4"),
                        frame["tokens"].to_numpy(),
                        frame["repeat"].to_numpy(),
                        frame["score"].to_numpy(),
                        frame["rank"].to_numpy(),
                    )
                )
        source, rows, digests, domain, tokens, often, score, rank = map(
            np.concatenate, zip(*parts, strict=True)
        )
        order = np.lexsort((rows, source))
        self.rows, self.tokens, self.digests = rows[order], tokens[order], digests[order]
        self.domain, self.score, self.rank = domain[order], score[order], rank[order]
        self.domains = list(domains)
        self.repeat = often[order] * _factors(repeat, self.domains)[self.domain]
        self.seen = np.zeros(len(order), bool)
        edges = np.searchsorted(source[order], np.arange(len(sources) + 1))
        self._slices = {name: (edges[i], edges[i + 1]) for name, i in sources.items()}

    def find(self, source: str, row: int) -> int | None:
        """The entry of this place, None if it was not chosen."""
        start, end = self._slices.get(source, (0, 0))
        place = start + int(np.searchsorted(self.rows[start:end], row))
        return place if place < end and self.rows[place] == row else None

    def missing(self) -> list[tuple[str, int]]:
        """The first places that were not seen, and how many there are is (~seen).sum()."""
        return [
            (source, int(self.rows[place]))
            for source, (start, end) in self._slices.items()
            for place in start + np.flatnonzero(~self.seen[start:end])[:3]
        ][:3]


def _factors(repeat: int | Mapping[str, int], domains: list[str]) -> np.ndarray:
    by_domain = repeat if isinstance(repeat, Mapping) else dict.fromkeys(domains, repeat)
    unknown = sorted(set(by_domain) - set(domains))
    if unknown:
        raise ValueError(f"repeat names the domains {unknown!r:.200}, of which nothing is chosen")
    factors = [by_domain.get(name, 1) for name in domains]
    if not all(isinstance(factor, int) and 1 <= factor <= MOST_REPEATS for factor in factors):
        raise ValueError(f"repeat must be whole numbers from 1 to {MOST_REPEATS}, got {repeat!r}")
    return np.array(factors, np.int64)
