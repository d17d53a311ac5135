"""The walk down the rankings of a run whose rows no memory holds: who is chosen, in pieces.

`workbench.selection.duckdb_scores` puts the rows in order, `workbench.selection.domain_quota`
decides about each piece. The rows that come out are those of selection.parquet, whether it is to be
written or to be checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.progress import progress_bar
from workbench.selection.domain_quota import NO_GROUP, By, DomainQuota
from workbench.selection.duckdb_scores import ScoreFiles
from workbench.selection.schema import schema_of
from workbench.selection.text_digest import DigestStream

QUIET = 100_000  # fewer rows than this pass without a bar


class StreamingSelection:
    """Goes down the rankings of all domains and gives the rows of selection.parquet.

    Args:
        scores: the files; they are checked here.
        share: of each domain to choose, as for `DomainQuota`.
        by: whether the share is one of the documents or of the tokens.
        limit: how many documents of a duplicate group may be chosen; None for all.

    Attributes:
        sources: the names of all sources, in their order.
        documents: how many rows there are.
        schema: that of selection.parquet for these files.

    Raises:
        ValueError: for a row that cannot be ranked.
    """

    def __init__(self, scores: ScoreFiles, share: Fraction, by: By, limit: int | None) -> None:
        self._scores, self._domains, self.sources = scores, scores.check(), scores.sources()
        self._names = pa.array([domain.name for domain in self._domains], pa.string())
        self.documents = sum(domain.documents for domain in self._domains)
        self.schema = schema_of(of_user=scores.of_user)
        self._asked = (share, by, limit)
        self._cuts: list[DomainQuota] = []

    def text_digest(self) -> str:
        """The text digest of all rows, after a look that each (source, row) occurs once.

        Returns:
            The value of `text_digest`, as hexadecimal digits.

        Raises:
            ValueError: for a (source, row) that occurs twice.
        """
        digest, last = DigestStream(self.sources), None
        with progress_bar(
            "hashing the list of texts", "doc", self.documents, bar=self.documents > QUIET
        ) as done:
            for batch in self._scores.texts():
                source, row = batch.column("source").to_numpy(), batch.column("row").to_numpy()
                twice = np.flatnonzero((source[1:] == source[:-1]) & (row[1:] == row[:-1]))
                first = (source[0], row[0])
                if len(twice) or first == last:
                    place = first if first == last else (source[twice[0]], row[twice[0]])
                    name = self.sources[int(place[0])].as_py()
                    raise ValueError(
                        f"rows repeat a (source, row), first ({name!r:.100}, {place[1]}); each "
                        "document may be ranked once"
                    )
                last = (source[-1], row[-1])
                digest.add(*batch.columns)
                done(len(row))
        return digest.hexdigest()

    def figures(self) -> list[dict[str, Any]]:
        """The figures of each domain, once all rows were taken.

        Returns:
            Rows of `Selection.domains`, in the order of the domains.
        """
        return [cut.row() for cut in self._cuts]

    def rows(self, done: Callable[[int], object]) -> Iterator[pa.RecordBatch]:
        """Go down all rankings, once.

        Args:
            done: called with the number of rows of each batch, after it was taken.

        Returns:
            Batches of `schema`, by domain and rank.
        """
        texts = self._scores.repeated("text_sha256")
        clusters = self._scores.repeated("cluster") if self._scores.clustered else None
        # Keys are of one domain, so all domains can count in the same arrays.
        counts = np.zeros(len(texts), "int32")
        cluster_counts = None if clusters is None else np.zeros(len(clusters), "int32")
        rank = 0  # of the last row seen, in the domain of the last cut
        for batch in self._scores.ranked(self._domains):
            place = batch.column("place").to_numpy()
            ranks = np.empty(len(place), dtype="int64")
            selected = np.empty(len(place), dtype=bool)
            tokens = batch.column("tokens").to_numpy()
            score = batch.column(self._scores.by_score).to_numpy().astype("float64")
            text = _places(texts, batch.column("text_key"))
            cluster = None
            if clusters is not None:
                cluster = _places(clusters, batch.column("cluster_key"))
            edges = [0, *(np.flatnonzero(np.diff(place)) + 1).tolist(), len(place)]
            for start, end in pairwise(edges):
                if place[start] == len(self._cuts):
                    name, documents, size = self._domains[place[start]]
                    self._cuts.append(
                        DomainQuota(name, documents, size, *self._asked, counts, cluster_counts)
                    )
                    rank = 0
                part = slice(start, end)
                selected[part] = self._cuts[-1].take(
                    score[part], tokens[part].astype("int64"), text[part],
                    None if cluster is None else cluster[part],
                )  # fmt: skip
                ranks[part] = np.arange(rank + 1, rank + 1 + end - start)
                rank += end - start
            yield self._row_batch(batch, ranks, selected)
            done(len(place))

    def _row_batch(
        self, batch: pa.RecordBatch, ranks: np.ndarray, selected: np.ndarray
    ) -> pa.RecordBatch:
        columns = {name: batch.column(name) for name in batch.schema.names}
        columns["domain"] = self._names.take(columns["place"])
        columns["source"] = self.sources.take(columns["source"])
        columns["rank"], columns["selected"] = pa.array(ranks), pa.array(selected)
        columns["repeat"] = pa.array(selected.astype("int64"))
        arrays = []
        for field in self.schema:
            column = columns[field.name].cast(field.type)
            if pa.types.is_floating(field.type):  # what is unknown is null, as pandas writes it
                column = pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column)
            arrays.append(column)
        return pa.record_batch(arrays, schema=self.schema)


def _places(keys: np.ndarray, wanted: pa.Array) -> np.ndarray:
    """Where each key stands among the ascending `keys`, NO_GROUP where it is null or not there."""
    codes = np.full(len(wanted), NO_GROUP, dtype="int64")
    if len(keys):
        values = pc.fill_null(wanted, 0).to_numpy(zero_copy_only=False).astype("uint64")
        at = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
        there = (keys[at] == values) & pc.is_valid(wanted).to_numpy(zero_copy_only=False)
        codes[there] = at[there]
    return codes
