"""Shards: the unit of work, of failure and of resume.

A shard is a run of documents in the order of the corpus, named by where they lie: ranges of rows
(source, first row, end row). In one process shards are cut from the stream of documents as it
passes. Other processes get those of a shard index (`workbench.scoring.folder.shard_index`), which
is made in one pass over the corpus, and read the rows of theirs themselves. Either way a shard's
digest says which documents it holds, so that nobody takes scores of other text for its scores.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.corpus.columns import Columns, Named
from workbench.corpus.document import CorpusError, Document, Skipped
from workbench.corpus.readers.rows import read_source
from workbench.corpus.reading import text_sha256, to_document
from workbench.corpus.sources import Source


@dataclass(frozen=True)
class RowRange:
    """A range of rows of a source.

    Attributes:
        source: its name.
        start: the first row.
        stop: the row after the last.
        offset: the byte at which row `start` begins in a plain JSONL file, else 0.
    """

    source: str
    start: int
    stop: int
    offset: int = 0


@dataclass(frozen=True)
class Shard:
    """Which documents one piece of work holds.

    Attributes:
        number: from 0, in the order of the corpus.
        row_ranges: what it was cut from.
        documents: how many there are.
        digest: SHA-256 over id, domain, place and text hash of each.
        refused: rows in the ranges that give no document (or whose place came earlier in the
            corpus), each with its reason.
        domain_from: documents by `Document.domain_from`.
    """

    number: int
    row_ranges: tuple[RowRange, ...]
    documents: int
    digest: str
    refused: tuple[Skipped, ...] = ()
    domain_from: Mapping[str, int] = field(default_factory=dict, hash=False)

    def name(self, fingerprint: Mapping[str, Any]) -> str:
        """What its files are called, without an ending.

        Args:
            fingerprint: of the run.

        Returns:
            part-NUMBER-DIGEST, the digest of its documents and the fingerprint.
        """
        both = hashlib.sha256(json.dumps([fingerprint, self.digest], sort_keys=True).encode())
        return f"part-{self.number:06d}-{both.hexdigest()[:16]}"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `row_ranges` are called "pieces", as in the files of older runs."""
        names = {"row_ranges": "pieces"}
        return {names.get(key, key): value for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Shard:
        """The shard in what `to_json` gave.

        Args:
            value: that, or what became of it on the way through JSON.

        Returns:
            An equal shard.
        """
        return cls(
            value["number"],
            tuple(RowRange(**rows) for rows in value["pieces"]),
            value["documents"],
            value["digest"],
            tuple(Skipped(**row) for row in value["refused"]),
            value["domain_from"],
        )


def cut(
    stream: Iterable[Document | Skipped], size: int
) -> Iterator[tuple[Shard, tuple[Document, ...]]]:
    """Cut a stream into shards.

    Args:
        stream: the rows of a corpus.
        size: documents of a shard; it also ends after ten times as many rows without a document.

    Yields:
        Each shard with its documents.
    """
    passing = _Passing()
    for row in stream:
        passing.add(row)
        if len(passing.documents) == size or len(passing.refused) == 10 * size:
            yield passing.shard(), tuple(passing.documents)
            passing = _Passing(passing.number + 1)
    if passing.documents or passing.refused:
        yield passing.shard(), tuple(passing.documents)


@dataclass
class _Passing:
    """A shard while the stream passes."""

    number: int = 0
    documents: list[Document] = field(default_factory=list)
    refused: list[Skipped] = field(default_factory=list)
    row_ranges: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, row: Document | Skipped) -> None:
        if isinstance(row, Document):
            self.documents.append(row)
        else:
            self.refused.append(row)
        source, start, stop = self.row_ranges[-1] if self.row_ranges else (None, 0, 0)
        if source == row.source and row.row >= stop:
            self.row_ranges[-1] = (row.source, start, row.row + 1)
        else:
            self.row_ranges.append((row.source, row.row, row.row + 1))

    def shard(self) -> Shard:
        row_ranges = tuple(RowRange(*rows) for rows in self.row_ranges)
        count, digest = len(self.documents), documents_digest(self.documents)
        domain_from = dict(Counter(str(document.domain_from) for document in self.documents))
        return Shard(self.number, row_ranges, count, digest, tuple(self.refused), domain_from)


def documents_digest(documents: Iterable[Document]) -> str:
    """A digest of documents and their places.

    Args:
        documents: in order.

    Returns:
        SHA-256 over id, domain, source, row and text hash of each, in hexadecimal.
    """
    digest = hashlib.sha256()
    for document in documents:
        where = [
            document.doc_id,
            document.domain,
            document.source,
            document.row,
            text_sha256(document.text),
        ]
        digest.update(json.dumps(where).encode())
    return digest.hexdigest()


def documents_of(shard: Shard, sources: Mapping[str, Source], columns: Named) -> list[Document]:
    """The documents of a shard of files, read from their sources.

    Args:
        shard: the shard.
        sources: of the corpus, by name.
        columns: names of the columns of id, text and domain.

    Returns:
        The documents, in order.

    Raises:
        CorpusError: they are no longer the documents that the shard was cut from.
    """
    refused = {(row.source, row.row) for row in shard.refused}
    wanted, of_shard = Columns(**columns), []
    for span in shard.row_ranges:
        rows = read_source(sources[span.source], wanted, span.start, span.stop, span.offset)
        documents = (row if isinstance(row, Skipped) else to_document(row) for row in rows)
        of_shard += [
            document for document in documents
            if isinstance(document, Document) and (document.source, document.row) not in refused
        ]  # fmt: skip
    if documents_digest(of_shard) != shard.digest:
        where = ", ".join(
            f"{span.source} rows {span.start} to {span.stop - 1}" for span in shard.row_ranges
        )
        raise CorpusError(
            f"{where[:300]}: the text was changed while the run was going; start it again, and "
            "what changed is scored anew"
        )
    return of_shard
