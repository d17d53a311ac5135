"""The corpus room: one stream of documents, each with id, domain, text and its place in the source.

`read_corpus` turns whatever holds the documents into that stream. What cannot be scored comes out
of it as a `Skipped` with its reason, so that documents plus skipped rows always add up to what was
there. The stream knows nothing of models; its memory does not grow with its length. How rows are
got out of each format is the business of `workbench.readers`.
"""

from __future__ import annotations

import hashlib
import numbers
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from workbench.documents import CorpusError, Document, Skipped
from workbench.readers import Columns, RawRow, Rows, open_corpus

__all__ = ["CorpusError", "Document", "Skipped", "read_corpus", "text_sha256"]

LONGEST_LABEL = 4096  # characters of an id or a domain; they stand in every table and manifest


def text_sha256(text: str) -> str:
    """SHA-256 of the UTF-8 bytes of `text`, 64 hex digits; lone surrogates: UnicodeEncodeError."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def read_corpus(
    corpus: Any,
    *,
    id: str = "id",
    text: str = "text",
    domain: str = "domain",
    default_domain: str = "all",
) -> Iterator[Document | Skipped]:
    """Stream the documents of `corpus`, each row exactly once, as a Document or a Skipped.

    `corpus` is one of
    - a path, or a list of paths: JSON Lines (plain, .gz, .zst), Parquet, any other file (one text),
      or a folder, read recursively in sorted order without hidden entries. A folder that holds
      JSONL or Parquet files anywhere is a folder of shards (its other files come out as Skipped);
      else every file is one text, and its first sub-folder is its domain. A folder written by
      `datasets.save_to_disk` is read as that data set;
    - "hf://owner/name", "hf://owner/name@config" or "hf://owner/name@config:split" (`@:split` for
      the default configuration; the default split is train), streamed from the Hugging Face hub;
    - a `datasets` data set or a dict of them, a pandas frame, an Arrow table, or anything else
      that exports an Arrow stream;
    - an iterable of dicts, or of Document and Skipped (passed on, still de-duplicated).

    `id`, `text` and `domain` name the columns. Without an id the document is `source#row`; without
    a domain it is `default_domain`. `source` is the file relative to the given folder, or the file
    name (with several given paths, a folder's files carry its name in front); "memory" for frames
    and iterables; "dataset:NAME" for data sets. `row` counts rows, or lines of the file, from 0.

    Raises CorpusError: at once for a path that is missing, an unknown kind of corpus, or two paths
    of one name; while reading for a missing column, a file that breaks off, or an unreachable hub.
    """
    return _judged(open_corpus(corpus, Columns(id, text, domain)), default_domain)


def _judged(rows: Rows, default_domain: str) -> Iterator[Document | Skipped]:
    """The rows as documents; those that cannot be, or whose id came before, as Skipped."""
    # The ids seen so far live in a private file that SQLite deletes itself, not in memory.
    with closing(sqlite3.connect("", check_same_thread=False)) as seen:
        seen.execute("PRAGMA cache_size = -8000")  # kibibytes
        seen.execute("PRAGMA journal_mode = OFF")
        seen.execute(
            "CREATE TABLE seen (digest BLOB PRIMARY KEY, source TEXT, row INTEGER) WITHOUT ROWID"
        )
        for raw in rows:
            item = raw if isinstance(raw, Skipped) else judge(raw, default_domain)
            if isinstance(item, Document):
                # Only a document claims its id: a rejected row must not push a good one out.
                first = _first_place(seen, f"id {item.doc_id}", item)
                reason = first and f"duplicate id: first seen in {first[0]} row {first[1]}"
                # Streams that were joined by hand may count their rows alike.
                if not reason and _first_place(seen, f"at {item.row} {item.source}", item):
                    reason = "duplicate place: another document has this source and row"
                if reason:
                    item = Skipped(item.doc_id, item.domain, item.source, item.row, reason)
            yield item


def _first_place(
    seen: sqlite3.Connection, claim: str, document: Document
) -> tuple[str, int] | None:
    """Where `claim` was made before; None, and it is noted for `document`, if it is new."""
    digest = hashlib.blake2b(claim.encode(), digest_size=16).digest()
    place = (digest, document.source, document.row)
    if seen.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", place).rowcount:
        return None
    return seen.execute("SELECT source, row FROM seen WHERE digest = ?", (digest,)).fetchone()


def judge(raw: RawRow, default_domain: str = "all") -> Document | Skipped:
    """A row as the document that it is, taken alone, or as Skipped with the reason."""
    doc_id = domain = None
    try:
        doc_id = _label(raw.id, "id") or f"{raw.source}#{raw.row}"
        domain = _label(raw.domain, "domain") or default_domain
        return Document(doc_id, _text(raw.text), domain, raw.source, raw.row)
    except ValueError as reason:
        return Skipped(doc_id, domain, raw.source, raw.row, str(reason))


def _label(value: Any, role: str) -> str | None:
    """An id or a domain as a string; None if null or blank; ValueError if it cannot be one."""
    if _is_null(value):
        return None
    if not isinstance(value, str | numbers.Number):
        raise ValueError(f"{role} is not a string or a number but of type {type(value).__name__}")
    label = str(value)
    if len(label) > LONGEST_LABEL:
        raise ValueError(f"{role} is longer than {LONGEST_LABEL:,} characters: a text, not a name")
    return _encodable(label, role) if label.strip() else None


def _text(value: Any) -> str:
    if _is_null(value):
        raise ValueError("text is null or absent")
    if not isinstance(value, str):
        raise ValueError(f"text is not a string but of type {type(value).__name__}")
    if not value.strip():
        raise ValueError("text is empty or only white space")
    return _encodable(value, "text")


def _is_null(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # those of pandas
        return True
    return isinstance(value, numbers.Real) and bool(value != value)


def _encodable(value: str, role: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        place = f"at character {error.start}"
        raise ValueError(f"{role} has a lone surrogate {place}, which UTF-8 cannot hold") from None
    return value
