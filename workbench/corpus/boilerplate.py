"""Boilerplate: how much of a document stands word for word in other documents of its corpus.

Licence headers, banners, navigation and templates recur across documents, so a model has probably
learnt them by heart, and a score that follows memory follows them. Repetition inside a document is
another thing and does not count here.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.bounded_duckdb import connect
from workbench.core.frames import TableLike, frame_of
from workbench.core.progress import progress_bar
from workbench.corpus.document import Document, Skipped
from workbench.corpus.minhash import ngram_hashes, part_hashes
from workbench.corpus.reading import read_corpus

_BATCH = 1 << 20  # n-grams written at a time
_PLACE = ["source", "row"]


@dataclass(frozen=True, eq=False, repr=False)
class SharedNgrams:
    """How much of each document stands in others.

    Attributes:
        frame: one row a document, in the order of the corpus: doc_id, domain, source, row, ngrams
            (int64; its different n-grams), share (those of them that stand in `k` other documents
            or more, over `ngrams`; missing where there are none) and reason (why share is missing;
            empty where it is not).
        settings: n, k and skipped (rows of the corpus without a document).
    """

    frame: pd.DataFrame
    settings: dict[str, int]

    def of(self, table: TableLike) -> pd.DataFrame:
        """The shares of the documents of a score table.

        Args:
            table: a score table, or a frame with the columns source and row.

        Returns:
            share and reason, with the index of the table.

        Raises:
            ValueError: a document of the table is not among those that were measured.
        """
        rows = frame_of(table)
        here = self.frame.set_index(_PLACE)[["share", "reason"]]
        keys = pd.MultiIndex.from_frame(rows[_PLACE])
        lacking = ~keys.isin(here.index)
        if lacking.any():
            raise ValueError(
                f"{lacking.sum()} documents of the table were not among those whose n-grams were "
                f"counted, the first row {keys[lacking][0][1]} of {keys[lacking][0][0]!r:.100}: "
                "give shared_ngrams the corpus that was scored"
            )
        return here.loc[keys].set_index(rows.index)

    def __repr__(self) -> str:
        domains = self.frame.groupby("domain", as_index=False).agg(
            documents=("ngrams", "size"), measured=("share", "count"), mean_share=("share", "mean")
        )
        n, k = self.settings["n"], self.settings["k"]
        return (
            f"{n}-grams that stand in {k} other documents or more\n{domains.to_string(index=False)}"
        )


def shared_ngrams(
    corpus: Any,
    n: int = 13,
    k: int = 2,
    *,
    part: Callable[[Document], str] | None = None,
    memory: str = "512MB",
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
) -> SharedNgrams:
    """The share of each document's word n-grams that stand in at least k other documents.

    Words are cut as for `near_duplicates`: runs of letters and digits, without regard to case and
    punctuation, and each character of a script without spaces between words. Each different n-gram
    of a document counts once, so that repetition inside a document changes nothing. An exact copy
    of a document is another document. Thirteen words are what GPT-3 was decontaminated by
    (arXiv 2005.14165, appendix C).

    The corpus is streamed once; hashes of n-grams (64 bits; taken for equal n-grams if equal) go to
    a DuckDB file in the temporary folder (TMPDIR), about 13 bytes each. Measured once: 100,000
    documents of 750 words (70 million n-grams) in 741 MiB of memory and 146 s of processor time.

    Args:
        corpus: any corpus that `read_corpus` takes.
        n: words of an n-gram, at least 1.
        k: in how many other documents an n-gram has to stand, at least 1.
        part: gives the piece of a document that is measured, such as the text that was scored; it
            is held against the whole text of the others. None: all of it.
        memory: bound on DuckDB's own memory.
        id: the column of the id, as `read_corpus` takes it.
        text: the column of the text, as `read_corpus` takes it.
        domain: the column of the domain, as `read_corpus` takes it.

    Returns:
        The shares.

    Raises:
        ValueError: n or k is no whole number from 1.
        CorpusError: the corpus cannot be read.
    """
    for name, value in (("n", n), ("k", k)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1, got {value!r}")
    documents = _Documents()
    with (
        tempfile.TemporaryDirectory(prefix="shared-ngrams-") as folder,
        _Ngrams(Path(folder), memory) as ngrams,
    ):
        with progress_bar("n-grams", "documents", None) as done:
            for item in read_corpus(corpus, id=id, text=text, domain=domain):
                if isinstance(item, Skipped):
                    documents.skipped += 1
                else:
                    whole = np.unique(ngram_hashes(part_hashes(item.text), n))
                    words = None if part is None else part_hashes(part(item))
                    measured = whole if words is None else np.unique(ngram_hashes(words, n))
                    ngrams.add(whole, measured)
                    documents.add(item, len(measured))
                done(1)
        shared = ngrams.shared(len(documents.ngrams), k)
    return SharedNgrams(documents.frame(shared, n), {"n": n, "k": k, "skipped": documents.skipped})


class _Documents:
    """What is kept of each document in memory: its names, its place and a number."""

    def __init__(self) -> None:
        self.skipped = 0
        self._ids: list[str] = []
        self._names: dict[str, int] = {}  # of domains and sources, which recur
        self._domains, self._sources = array("i"), array("i")
        self._rows, self.ngrams = array("q"), array("q")

    def add(self, document: Document, ngrams: int) -> None:
        self._ids.append(document.doc_id)
        self._domains.append(self._names.setdefault(document.domain, len(self._names)))
        self._sources.append(self._names.setdefault(document.source, len(self._names)))
        self._rows.append(document.row)
        self.ngrams.append(ngrams)

    def frame(self, shared: np.ndarray, n: int) -> pd.DataFrame:
        names = np.array(list(self._names), dtype=object)
        ngrams = np.asarray(self.ngrams, np.int64)
        reason = np.where(ngrams > 0, "", f"fewer than {n} words")
        return pd.DataFrame(
            {
                "doc_id": np.array(self._ids, dtype=object),
                "domain": names[np.asarray(self._domains, np.int64)],
                "source": names[np.asarray(self._sources, np.int64)],
                "row": np.asarray(self._rows, np.int64),
                "ngrams": ngrams,
                "share": np.where(ngrams > 0, shared / np.maximum(ngrams, 1), np.nan),
                "reason": reason,
            }
        )


class _Ngrams:
    """The n-grams of all documents, on disk."""

    def __init__(self, folder: Path, memory: str) -> None:
        self._connection = connect(folder, memory=memory, file=folder / "ngrams")
        self._connection.execute(
            "CREATE TABLE ngrams (hash UBIGINT, document UINTEGER, measured BOOLEAN)"
        )
        self._documents = self._count = 0
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def __enter__(self) -> _Ngrams:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, whole: np.ndarray, measured: np.ndarray) -> None:
        """The next document: its n-grams, and those of them that its share is of."""
        hashes = whole if measured is whole else np.union1d(whole, measured)
        number = np.full(len(hashes), self._documents, np.uint32)
        self._waiting.append((hashes, number, np.isin(hashes, measured)))
        self._documents += 1
        self._count += len(hashes)
        if self._count >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        columns = [np.concatenate(column) for column in zip(*self._waiting, strict=True)]
        self._waiting, self._count = [], 0
        batch = pa.table(columns, names=["hash", "document", "measured"])
        self._connection.register("batch", batch)
        self._connection.execute("INSERT INTO ngrams FROM batch")
        self._connection.unregister("batch")

    def shared(self, documents: int, k: int) -> np.ndarray:
        """How many n-grams of each document stand in k others or more, (documents,)."""
        if self._waiting:
            self._flush()
        result = self._connection.execute(
            "SELECT document, count(*) AS shared FROM ngrams SEMI JOIN"
            " (SELECT hash FROM ngrams GROUP BY hash HAVING count(*) > ?) USING (hash)"
            " WHERE measured GROUP BY document",
            [k],
        ).fetchnumpy()
        counts = np.zeros(documents, np.int64)
        counts[result["document"]] = result["shared"]
        return counts
