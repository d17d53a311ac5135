"""Shards: the unit of work, of failure and of resume.

A shard is a run of documents in the order of the corpus, named by where they lie: pieces (source,
first row, end row). In one process shards are cut from the stream of documents as it passes. Other
processes get the shards of a catalogue, which is made in one pass over the corpus, and read the
rows of theirs themselves. Either way a shard's digest says which documents it holds, so that
nobody takes scores of other text for its scores.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import filelock

from workbench.core.files import write_atomically
from workbench.core.progress import progress_bar
from workbench.corpus.columns import Columns, Named
from workbench.corpus.document import CorpusError, Document, Skipped
from workbench.corpus.readers.rows import read_source, row_offsets
from workbench.corpus.reading import read_corpus, text_sha256, to_document
from workbench.corpus.sources import Source, file_signature, sources_of

CATALOGUE = "catalogue.jsonl"
_FORMAT = 3  # of the catalogue; in 1, an id that came before was refused


@dataclass(frozen=True)
class Piece:
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
        pieces: the ranges of rows that it was cut from.
        documents: how many there are.
        digest: SHA-256 over id, domain, place and text hash of each.
        refused: rows in the pieces that give no document (or whose place came earlier in the
            corpus), each with its reason.
        domain_from: documents by `Document.domain_from`.
    """

    number: int
    pieces: tuple[Piece, ...]
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
        """As plain JSON values."""
        return asdict(self)

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
            tuple(Piece(**piece) for piece in value["pieces"]),
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
    pieces: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, row: Document | Skipped) -> None:
        if isinstance(row, Document):
            self.documents.append(row)
        else:
            self.refused.append(row)
        source, start, stop = self.pieces[-1] if self.pieces else (None, 0, 0)
        if source == row.source and row.row >= stop:
            self.pieces[-1] = (row.source, start, row.row + 1)
        else:
            self.pieces.append((row.source, row.row, row.row + 1))

    def shard(self) -> Shard:
        pieces = tuple(Piece(*piece) for piece in self.pieces)
        count, digest = len(self.documents), documents_digest(self.documents)
        domain_from = dict(Counter(str(document.domain_from) for document in self.documents))
        return Shard(self.number, pieces, count, digest, tuple(self.refused), domain_from)


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


# ---- the catalogue: shards that other processes can read --------------------------------------


@dataclass(frozen=True)
class Catalogue:
    """All shards of a corpus of files.

    Attributes:
        shards: in the order of the corpus.
        files: bytes and SHA-256 of each source that they were cut from, by its name.
        cut_by: the columns, the size of a shard, and the names of the sources.
    """

    shards: tuple[Shard, ...]
    files: Mapping[str, tuple[int, str]]
    cut_by: Mapping[str, Any]


def catalogue_of(
    corpus: Sequence[str | os.PathLike[str]],
    columns: Named,
    size: int,
    folder: Path,
    part: tuple[int, int] = (1, 1),
    notes: list[str] | None = None,
) -> Catalogue:
    """The catalogue of a corpus of files: that of `folder` if it still holds, else a new one.

    It holds if it was cut in the same way and every source has the bytes that it had. Several parts
    only look whether they are as many, since n calls that each hash the corpus would take n times
    as long. (Every shard's own digest is looked at when it is read.) A new one replaces it, and why
    that was is said in the title of its progress. What is kept tells no text and no path. One call
    at a time looks or makes one.

    Args:
        corpus: paths.
        columns: names of the columns of id, text and domain.
        size: documents of a shard.
        folder: the run folder.
        part: (i, n) of this call.
        notes: why a new one was made is added to it.

    Returns:
        The catalogue.

    Raises:
        CorpusError: rows cannot be read alone (data sets streamed from the hub), or files change
            while they are looked through.
    """
    with filelock.FileLock(folder / ".catalogue"):
        return _catalogue_of(corpus, columns, size, folder, part, [] if notes is None else notes)


def _catalogue_of(
    corpus: Sequence[str | os.PathLike[str]],
    columns: Named,
    size: int,
    folder: Path,
    part: tuple[int, int],
    notes: list[str],
) -> Catalogue:
    sources = list(sources_of(corpus))
    if hubs := [source.name for source in sources if source.kind == "hub"]:
        raise CorpusError(
            f"hf://{hubs[0]} comes as one stream, which several workers cannot share: score it in "
            "one process, or download it and give the folder"
        )
    cut_by = {
        "columns": dict(columns),
        "size": size,
        "sources": [source.name for source in sources],
    }
    before, why = _stored(folder / CATALOGUE)
    if before is not None:
        why = _outdated(before, cut_by, sources, part)
        if why is None:
            return before
    if why is not None:
        notes.append(f"the catalogue of the shards was made anew: {why}")
    signatures = list(map(file_signature, sources))
    title = "looking through the corpus" + (f" again, since {why}" if why else "")
    with progress_bar(title, "doc", None) as done:
        shards = []
        for shard, documents in cut(read_corpus(list(corpus), **columns), size):
            shards.append(shard)
            done(len(documents))
    made = _with_offsets(shards, sources, cut_by)
    moved = [
        source.name
        for source, before in zip(sources, signatures, strict=True)
        if file_signature(source) != before
    ]
    if moved:
        raise CorpusError(
            f"{moved[0]} was changed while the corpus was looked through ({len(moved)} files "
            "were): start again when nothing writes to it"
        )
    _store(made, folder / CATALOGUE)
    return made


def is_current(catalogue: Catalogue, folder: Path) -> bool:
    """Whether another part has made another catalogue since.

    Args:
        catalogue: of this call.
        folder: the run folder.

    Returns:
        Whether the folder still holds this one.
    """
    return _stored(folder / CATALOGUE)[0] == catalogue


def documents_of(shard: Shard, sources: Mapping[str, Source], columns: Named) -> list[Document]:
    """The documents of a catalogue's shard, read from their sources.

    Args:
        shard: the shard.
        sources: of the corpus, by name.
        columns: names of the columns of id, text and domain.

    Returns:
        The documents, in order.

    Raises:
        CorpusError: they are no longer the documents that the catalogue saw.
    """
    refused = {(row.source, row.row) for row in shard.refused}
    wanted, of_shard = Columns(**columns), []
    for piece in shard.pieces:
        rows = read_source(sources[piece.source], wanted, piece.start, piece.stop, piece.offset)
        documents = (row if isinstance(row, Skipped) else to_document(row) for row in rows)
        of_shard += [
            document for document in documents
            if isinstance(document, Document) and (document.source, document.row) not in refused
        ]  # fmt: skip
    if documents_digest(of_shard) != shard.digest:
        where = ", ".join(
            f"{piece.source} rows {piece.start} to {piece.stop - 1}" for piece in shard.pieces
        )
        raise CorpusError(
            f"{where[:300]}: the text was changed while the run was going; start it again, and "
            "what changed is scored anew"
        )
    return of_shard


def _outdated(
    before: Catalogue,
    cut_by: Mapping[str, Any],
    sources: Sequence[Source],
    part: tuple[int, int],
) -> str | None:
    """Why a catalogue does not hold any more; None if it does."""
    earlier, now = before.cut_by["sources"], cut_by["sources"]
    if any(source.kind == "dataset" for source in sources):
        # Its files are the library's affair.
        return "a saved data set is looked through every time"
    if {**before.cut_by, "sources": now} != cut_by:
        return "it was cut by other columns or another shard_size"
    if earlier != now:
        more, fewer = len(set(now) - set(earlier)), len(set(earlier) - set(now))
        return f"the corpus has {more:,} sources more and {fewer:,} fewer than it had"
    with progress_bar("comparing the corpus with its catalogue", "file", len(sources)) as done:
        for source in sources:
            size, digest = before.files[source.name]
            present_size = file_signature(source)[0]
            if present_size != size or (part[1] == 1 and row_offsets(source, ())[0] != digest):
                return f"{source.name} was changed"
            done(1)
    return None


def _with_offsets(
    shards: Sequence[Shard], sources: Sequence[Source], cut_by: Mapping[str, Any]
) -> Catalogue:
    starts: dict[str, set[int]] = {}
    for piece in (piece for shard in shards for piece in shard.pieces):
        starts.setdefault(piece.source, set()).add(piece.start)
    files, places = {}, {}
    for source in sources:
        if source.kind == "dataset":
            continue
        digest, size, offsets = row_offsets(source, starts.get(source.name, ()))
        files[source.name] = (size, digest)
        places.update({(source.name, row): offset for row, offset in offsets.items()})
    placed = []
    for shard in shards:
        pieces = [
            Piece(piece.source, piece.start, piece.stop, places.get((piece.source, piece.start), 0))
            for piece in shard.pieces
        ]
        placed.append(replace(shard, pieces=tuple(pieces)))
    return Catalogue(tuple(placed), files, cut_by)


def _store(catalogue: Catalogue, path: Path) -> None:
    head = {"format": _FORMAT, "cut_by": catalogue.cut_by, "files": catalogue.files}
    values = [head, *(shard.to_json() for shard in catalogue.shards)]
    lines = "".join(json.dumps(value) + "\n" for value in values).encode()
    write_atomically(path, lines + _end_of(lines))


def _end_of(lines: bytes) -> bytes:
    """The last line of a catalogue: a digest of the others.

    Without it a flipped digit in a place would be taken for a changed text in every later run.
    """
    return json.dumps({"sha256": hashlib.sha256(lines).hexdigest()}).encode() + b"\n"


def _stored(path: Path) -> tuple[Catalogue | None, str | None]:
    """The catalogue in a file, or None and why a file that is there cannot be used.

    It is made anew then, which costs one pass and no score.
    """
    try:
        *lines, end = path.read_bytes().splitlines(keepends=True)
        if end != _end_of(b"".join(lines)):
            return None, "the one in the folder is damaged"
        head, *shards = map(json.loads, lines)
        if head["format"] != _FORMAT:
            return None, "the one in the folder is of another version of the workbench"
        files = {name: (size, digest) for name, (size, digest) in head["files"].items()}
        return Catalogue(tuple(map(Shard.from_json, shards)), files, head["cut_by"]), None
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"the one in the folder cannot be read ({type(error).__name__})"
