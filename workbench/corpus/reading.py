"""One stream of documents out of any corpus, each with id, domain, text and place in its source.

`read_corpus` turns whatever holds the documents into that stream. What cannot be scored comes out
of it as a `Skipped` with its reason, so that documents plus skipped rows always add up to what was
there. The stream knows nothing of models; its memory does not grow with its length. How rows are
got out of each format is the business of `workbench.corpus.readers.rows`.
"""

from __future__ import annotations

import bisect
import hashlib
import numbers
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.core.progress import check_cancelled
from workbench.corpus.columns import Columns, Named, RawRow
from workbench.corpus.document import CorpusError, Document, DomainFrom, Skipped
from workbench.corpus.readers.remote import is_remote
from workbench.corpus.readers.rows import Rows, open_corpus, paths_of

__all__ = ["CorpusError", "Document", "Skipped", "read_corpus", "text_sha256"]

LONGEST_LABEL = 4096  # characters of an id or a domain; they stand in every table and manifest


def text_sha256(text: str) -> str:
    """SHA-256 of the UTF-8 bytes of a text, 64 hexadecimal digits.

    Args:
        text: the text.

    Raises:
        UnicodeEncodeError: the text holds a lone surrogate.
    """
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def read_corpus(
    corpus: Any,
    *,
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
    default_domain: str = "all",
    carry: Sequence[str] = (),
) -> Iterator[Document | Skipped]:
    """Stream the documents of a corpus, each row exactly once, as a Document or a Skipped.

    `corpus` is one of

    - a path, a pattern ("corpus/*.jsonl"), or a list of them: JSON Lines, CSV or TSV with a header
      (each plain, .gz, .zst, .xz or .bz2), Parquet, any other file (one text), or a folder, read
      recursively in sorted order without hidden entries. Names count in upper and lower case; of
      one that says nothing (`part-00000`) the first bytes are looked at. A folder that holds JSONL
      or Parquet files anywhere is a folder of shards (its other files come out as Skipped), and so
      is one of CSV files without texts; else every file is one text. A folder written by
      `datasets.save_to_disk` is read as that data set. Other formats, such as archives and
      spreadsheets, are refused by name;
    - the same over s3://, https:// and whatever fsspec knows, its chains
      ("zip://a.jsonl::corpus.zip", "simplecache::https://...") and "hf://datasets/OWNER/NAME/PATH"
      among them. The query of a URL, which may be a credential, is no part of any name;
    - "hf://owner/name", "hf://owner/name@config" or "hf://owner/name@config:split" (`@:split` for
      the default configuration; the default split is train), streamed from the Hugging Face hub;
    - a `datasets` data set or a dict of them, a pandas frame, an Arrow table, or anything else that
      exports an Arrow stream;
    - an iterable of dicts, or of Document and Skipped, which are passed on.

    The key of a document is its source and row: `source` is the file relative to the given folder,
    or the file name (with several given paths, a folder's files carry its name in front); "memory"
    for frames and iterables; "dataset:NAME" for data sets. `row` counts rows, or lines of the file,
    from 0. The id is a label: it may be that of other documents, and without one it is
    `source#row`.

    The domain of a document, by what `domain` is (`Document.domain_from` says which it was):

    - "domain": the column of that name where a row has one, else the sub-folder of the given folder
      that its file lies in (of a folder "lang=en", as Hive and Spark name them, "en"), else
      `default_domain`;
    - any other name: that column, or that key of folders "key=value"; else `default_domain`;
    - "/": the sub-folder, whatever columns there are; else `default_domain`;
    - None: `default_domain`.

    Args:
        corpus: what holds the documents, see above.
        id: the column of the id. A dot looks into nested columns ("meta.pile_set_name"), unless a
            column is called so itself.
        text: the column of the text.
        domain: the column of the domain, "/" or None, see above. A column of a `datasets`
            ClassLabel gives the names of the classes.
        default_domain: the domain of documents that have none.
        carry: more columns, whose values come along in `Document.carried`.

    Yields:
        A Document or a Skipped for each row.

    Raises:
        CorpusError: at once for a path that is missing, a pattern that matches nothing, an unknown
            kind of corpus, or two paths of one name; while reading for a file of a format that is
            not read, a named column that no row of a file has, a file that breaks off, or an
            unreachable hub.
    """
    rows = open_corpus(corpus, Columns(id, text, domain, tuple(carry)))
    # Rows of files come in order; the places of what was put together by hand may be any.
    return _judged(rows, default_domain, _Places() if paths_of(corpus) is None else None)


def _judged(
    rows: Rows, default_domain: str, places: _Places | None
) -> Iterator[Document | Skipped]:
    """The rows as documents; those that cannot be, or whose place is taken, as Skipped."""
    for raw in rows:
        item = raw if isinstance(raw, Skipped) else to_document(raw, default_domain)
        if places is not None:
            new = places.take(item.source, item.row)
            if not new and isinstance(item, Document):
                # Streams that were joined by hand may count their rows alike.
                reason = "duplicate place: another document has this source and row"
                item = Skipped(item.doc_id, item.domain, item.source, item.row, reason)
        yield item


class _Places:
    """The places that were taken, as ranges of rows: streams in order take no memory."""

    def __init__(self) -> None:
        self._starts: dict[str, list[int]] = {}
        self._stops: dict[str, list[int]] = {}

    def take(self, source: str, row: int) -> bool:
        """Whether nobody had this place before."""
        starts = self._starts.setdefault(source, [])
        stops = self._stops.setdefault(source, [])
        after = bisect.bisect_right(starts, row)  # the first range that starts behind the row
        if after and row < stops[after - 1]:
            return False
        joins_before = bool(after) and stops[after - 1] == row
        joins_after = after < len(starts) and starts[after] == row + 1
        if joins_before and joins_after:
            stops[after - 1] = stops.pop(after)
            starts.pop(after)
        elif joins_before:
            stops[after - 1] = row + 1
        elif joins_after:
            starts[after] = row
        else:
            starts.insert(after, row)
            stops.insert(after, row + 1)
        return True


def row_count(corpus: Any, columns: Named) -> int | None:
    """How many rows a corpus has, if a look through it is cheap.

    A first look through the text costs little beside scoring it, and gives the time left. What may
    give its documents only once, or has to fetch them, is not looked through.

    Args:
        corpus: as for `read_corpus`.
        columns: names of the columns of id, text and domain.

    Returns:
        Documents and skipped rows; None where nobody looked.

    Raises:
        CorpusError: the corpus cannot be read.
    """
    items = [corpus] if isinstance(corpus, str) else corpus if isinstance(corpus, list) else []
    remote = any(isinstance(item, str) and is_remote(item) for item in items)
    if remote or not (isinstance(corpus, Path) or hasattr(corpus, "__len__")):
        return None
    total = 0
    for _ in read_corpus(corpus, **columns):
        check_cancelled()
        total += 1
    return total


def to_document(raw: RawRow, default_domain: str = "all") -> Document | Skipped:
    """A row as the document that it is, taken alone, or as Skipped with the reason.

    Args:
        raw: the row as its reader found it.
        default_domain: the domain of a row that has none.
    """
    doc_id = domain = None
    try:
        doc_id = _label(raw.id, "id") or f"{raw.source}#{raw.row}"
        domain, domain_from = _domain(raw, default_domain)
        return Document(
            doc_id, _text(raw.text), domain, raw.source, raw.row, domain_from, raw.carried or {}
        )
    except ValueError as reason:
        return Skipped(doc_id, domain, raw.source, raw.row, str(reason))


def _domain(raw: RawRow, default_domain: str) -> tuple[str, DomainFrom]:
    if (own := _label(raw.domain, "domain")) is not None:
        return own, "column"
    if (folder := _label(raw.folder, "domain")) is not None:
        return folder, "folder"
    return default_domain, "default"


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
