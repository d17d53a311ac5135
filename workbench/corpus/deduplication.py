"""Near-duplicates: which documents of a domain are almost the same text, without comparing all.

Texts are sets of word n-grams, MinHash (Broder 1997; the library datasketch) gives each a short
signature in which two texts agree in about as many places as their sets overlap (Jaccard), and
banding finds the pairs worth comparing. Bands and signatures lie in a temporary folder, not in
dictionaries in memory, so that a machine of usual size clusters tens of millions of documents.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import write_atomically
from workbench.core.progress import check_cancelled, progress_bar
from workbench.corpus.document import Skipped
from workbench.corpus.minhash import NGRAM, Sketch, Unit, mix
from workbench.corpus.reading import read_corpus

CLUSTER_SCHEMA = pa.schema([("source", pa.string()), ("row", pa.int64()), ("cluster", pa.int64())])
_BATCH = 1024  # documents written at a time, and signatures compared at a time


@dataclass(frozen=True, eq=False, repr=False)
class NearDuplicates:
    """The clusters of a corpus.

    Attributes:
        table: source (str), row (int64), cluster (int64) of every document that has a duplicate,
            sorted by source and row; clusters are numbered from 0 in the order of their first rows.
            A document that is not here is alone. A cluster lies inside one domain.
        domains: one row a domain: domain, documents, duplicated (documents in a cluster), clusters,
            exact (documents whose very text another document of the domain has), largest (documents
            of the largest cluster, 0 without one).
        settings: threshold, permutations, ngram, unit, seed and skipped (rows without a document).
    """

    table: pd.DataFrame
    domains: pd.DataFrame
    settings: dict[str, Any]

    def __repr__(self) -> str:
        sort = "exact duplicates" if self.settings["threshold"] is None else "near-duplicates"
        return f"{len(self.table)} documents have {sort}\n{self.domains.to_string(index=False)}"

    def to_parquet(self) -> bytes:
        """`table` as a Parquet file (CLUSTER_SCHEMA), `settings` as JSON in its metadata."""
        rows = pa.Table.from_pandas(self.table, schema=CLUSTER_SCHEMA, preserve_index=False)
        notes = {"near_duplicates": json.dumps(self.settings)}
        sink = pa.BufferOutputStream()
        pq.write_table(rows.replace_schema_metadata(notes), sink, compression="zstd")
        return sink.getvalue().to_pybytes()


def near_duplicates(
    corpus: Any,
    *,
    threshold: float | None = 0.8,
    permutations: int = 128,
    ngram: int | None = None,
    unit: Unit = "words",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
) -> NearDuplicates:
    """Cluster the near-duplicates of each domain of a corpus; the corpus is streamed once.

    A cluster is a connected component of such pairs, so its ends may be less alike than the
    threshold. Documents of the same text are always in one cluster. The result does not depend on
    the order of the documents.

    Cost, measured once on one core: 1,690 documents of 250 words a second (200,000 of them, a tenth
    of which were near-duplicates). A million documents take about 120 MB of memory and 650 MB of
    disk in the temporary folder (TMPDIR). Comparing is quadratic only in documents that share a
    band and are not alike.

    Args:
        corpus: any corpus that `read_corpus` takes.
        threshold: the least Jaccard similarity of two documents' n-gram sets, in (0, 1), at which
            they are joined. It is estimated from the signatures: the standard error is sqrt(s (1 -
            s) / permutations), 0.035 at 0.8. None: exact duplicates only, which needs no library.
        permutations: length of a signature, at least 16.
        ngram: words or characters of an n-gram (default: 5 words, 13 characters). A shorter text is
            one n-gram.
        unit: "words" (case and punctuation do not count, and a character of a script without spaces
            between words, such as Chinese or Thai, is a word) or "characters".
        seed: seed of the permutations.
        out: where to write `to_parquet()`, replaced atomically (default: nowhere).
        id: the column of the id, as `read_corpus` takes it.
        text: the column of the text, as `read_corpus` takes it.
        domain: the column of the domain, as `read_corpus` takes it.

    Raises:
        ValueError: settings out of range.
        CorpusError: the corpus cannot be read.
        ImportError: the package datasketch is missing.
    """
    if unit not in NGRAM:
        raise ValueError(f"unit must be 'words' or 'characters', got {unit!r}")
    size = NGRAM[unit] if ngram is None else ngram
    for name, value, least in (("ngram", size, 1), ("permutations", permutations, 16)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number from {least}, got {value!r}")
    if out is not None and os.path.isdir(out):  # before the work, not after it
        raise ValueError(f"{str(out)!r:.300} is a folder; give the name of a file to write")
    sketch = None if threshold is None else Sketch(threshold, permutations, size, unit, seed)
    with tempfile.TemporaryDirectory(prefix="near-duplicates-") as folder:
        places = _Places(Path(folder), sketch)
        skipped = 0
        try:
            with progress_bar("Signatures", "documents", None) as done:
                for item in read_corpus(corpus, id=id, text=text, domain=domain):
                    if isinstance(item, Skipped):
                        skipped += 1
                    else:
                        places.add(item)
                    done(1)
            first = places.first_of_text()
            root = first.copy()
            if sketch and len(root):
                with progress_bar("Comparing", "bands", sketch.bands) as done:
                    for band in range(sketch.bands):
                        _join_band(places, band, first, root, sketch.threshold)
                        done(1)
        finally:
            places.close()
    settings = {
        "threshold": threshold, "permutations": permutations, "ngram": size, "unit": unit,
        "seed": seed, "skipped": skipped,
    }  # fmt: skip
    clusters = places.summary(_roots(root, np.arange(len(root))), first, settings)
    if out is not None:
        write_atomically(out, clusters.to_parquet())
    return clusters


class _Places:
    """What is kept of each document: its place and text hash here, signature and bands on disk."""

    def __init__(self, folder: Path, sketch: Sketch | None) -> None:
        self._folder, self._sketch = folder, sketch
        self._sources: dict[str, int] = {}
        self._domains: dict[str, int] = {}
        self._source, self._domain, self._row = array("i"), array("i"), array("q")
        self._digests = array("Q")  # two a document
        self._worded = array("b")
        self._waiting: list[np.ndarray] = []
        bands = sketch.bands if sketch else 0
        names = ["signatures", *(f"band-{band}" for band in range(bands))]
        self._files = [open(folder / name, "wb") for name in names]  # noqa: SIM115

    def add(self, document: Any) -> None:
        self._source.append(self._sources.setdefault(document.source, len(self._sources)))
        self._domain.append(self._domains.setdefault(document.domain, len(self._domains)))
        self._row.append(document.row)
        self._digests.frombytes(hashlib.sha256(document.text.encode()).digest()[:16])
        if self._sketch:
            signature = self._sketch.signature(document.text)
            self._worded.append(signature is not None)
            empty = np.zeros(self._sketch.permutations, np.uint32)
            self._waiting.append(empty if signature is None else signature)
            if len(self._waiting) == _BATCH:
                self._flush()

    def _flush(self) -> None:
        if not self._waiting or not self._sketch:
            return
        batch = np.stack(self._waiting)
        self._waiting.clear()
        batch.tofile(self._files[0])
        keys = np.asarray(self._domain[-len(batch) :]).astype(np.uint64)
        for band in range(self._sketch.bands):
            mixed = keys
            for place in range(band * self._sketch.rows, (band + 1) * self._sketch.rows):
                mixed = mix(mixed, batch[:, place])
            mixed.tofile(self._files[1 + band])

    def close(self) -> None:
        for file in self._files:
            file.close()

    def first_of_text(self) -> np.ndarray:
        """For every document the first one of its domain that has its text (itself, if none)."""
        self._flush()
        for file in self._files:
            file.flush()
        digests = np.asarray(self._digests, np.uint64).reshape(-1, 2)
        domains = np.asarray(self._domain)
        order = np.lexsort((digests[:, 1], digests[:, 0], domains))  # stable: the first comes first
        inner = order[1:], order[:-1]
        same = (digests[inner[0]] == digests[inner[1]]).all(axis=1)
        same &= domains[inner[0]] == domains[inner[1]]
        starts = np.flatnonzero(np.concatenate(([True], ~same))) if len(order) else order
        first = np.empty(len(order), np.int64)
        first[order] = np.repeat(order[starts], np.diff(np.append(starts, len(order))))
        return first

    def groups(self, band: int, first: np.ndarray) -> Iterator[np.ndarray]:
        """The documents that share a band, two or more at a time, in the order of their keys.

        Of those with one text only the `first` takes part: thousands of copies cost nothing.
        """
        keys = np.fromfile(self._folder / f"band-{band}", np.uint64)
        here = np.arange(len(keys))
        here = here[(first == here) & np.asarray(self._worded, bool)]
        here = here[np.argsort(keys[here], kind="stable")]
        edges = np.flatnonzero(np.diff(keys[here])) + 1
        starts, ends = np.concatenate(([0], edges)), np.append(edges, len(here))
        for group in np.flatnonzero(ends - starts > 1):
            yield here[starts[group] : ends[group]]

    def signatures(self) -> np.ndarray:
        """(documents, permutations), mapped from the disk."""
        assert self._sketch
        shape = len(self._row), self._sketch.permutations
        return np.memmap(self._folder / "signatures", np.uint32, "r", shape=shape)

    def summary(
        self, root: np.ndarray, first: np.ndarray, settings: dict[str, Any]
    ) -> NearDuplicates:
        """The clusters, given the first document of each document's cluster and of its text."""
        sizes = np.bincount(root, minlength=len(root))
        copies = np.bincount(first, minlength=len(first))
        domain, names = np.asarray(self._domain), list(self._domains)
        largest = np.zeros(len(names), np.int64)
        np.maximum.at(largest, domain, np.where(sizes[root] > 1, sizes[root], 0))

        def count(which: np.ndarray) -> np.ndarray:
            return np.bincount(domain[which], minlength=len(names))

        domains = pd.DataFrame(
            {
                "domain": np.array(names, dtype=object),
                "documents": count(np.ones(len(root), bool)),
                "duplicated": count(sizes[root] > 1),
                "clusters": count(sizes > 1),  # counted at the root of each
                "exact": count(copies[first] > 1),
                "largest": largest,
            }
        ).sort_values("domain", ignore_index=True)
        members = np.flatnonzero(sizes[root] > 1)
        sources = np.array(list(self._sources), dtype=object)
        table = pd.DataFrame(
            {
                "source": sources[np.asarray(self._source)[members]],
                "row": np.asarray(self._row)[members],
                "cluster": root[members],
            }
        ).sort_values(["source", "row"], ignore_index=True)
        table["cluster"] = pd.factorize(table["cluster"])[0]  # by first appearance
        return NearDuplicates(table, domains, settings)


def _join_band(
    places: _Places, band: int, first: np.ndarray, root: np.ndarray, threshold: float
) -> None:
    """Join in `root` the documents that share a band and whose signatures agree often enough.

    A pair that is in one component already is not compared: it would change nothing.
    """
    signatures = places.signatures()
    for group in places.groups(band, first):
        check_cancelled()
        while len(group) > 1:
            leader, group = group[0], group[1:]
            apart = group[_roots(root, group) != _roots(root, leader)]
            for start in range(0, len(apart), _BATCH):
                batch = apart[start : start + _BATCH]
                agree = (signatures[batch] == signatures[leader]).mean(axis=1)
                alike = batch[agree >= threshold]
                for other in _roots(root, alike):
                    low, high = sorted((int(_roots(root, leader)), int(_roots(root, other))))
                    root[high] = low
            if len(np.unique(_roots(root, group))) < 2:
                break


def _roots(root: np.ndarray, of: Any) -> np.ndarray:
    """The root of the component of each document; paths are shortened on the way."""
    roots = of
    while not (root[roots] == roots).all():
        roots = root[roots]
    root[of] = roots
    return roots
