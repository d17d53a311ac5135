"""What a corpus comes out as: documents, skipped rows, or the error that stops the reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DomainFrom = Literal["column", "folder", "default"]


@dataclass(frozen=True)
class Document:
    """One text to score.

    `source` and `row` are the key of a document: no two of a corpus share them.

    Attributes:
        doc_id: a label, which other documents may share.
        text: the text.
        domain: the domain that the document is ranked in.
        source: the name of its source, never a path of the machine.
        row: its number in the source, from 0.
        domain_from: whether the domain is a value of the corpus ("column"), the folder of the file
            ("folder"), or the one that is taken where there is neither ("default").
        carried: the values of other columns, where they were asked for, by the names of these.
    """

    doc_id: str
    text: str
    domain: str
    source: str
    row: int
    domain_from: DomainFrom = field(default="column", compare=False, repr=False)
    carried: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Skipped:
    """One row that gives no document, and why.

    Attributes:
        doc_id: its id; None where unreadable.
        domain: its domain; None where unreadable.
        source: the name of its source.
        row: its number in the source, from 0.
        reason: why it gives no document.
    """

    doc_id: str | None
    domain: str | None
    source: str
    row: int
    reason: str


class CorpusError(ValueError):
    """The corpus as a whole cannot be read: a wrong path, a missing column, a broken file."""


class MissingColumn(CorpusError):
    """The corpus has no column of a name that was given.

    Attributes:
        role: what the column was to hold: "id", "text", "domain" or "carry".
        present: the columns that are there.
    """

    def __init__(self, message: str, role: str = "", present: Iterable[Any] = ()) -> None:
        """The error with what a form needs to ask for another name.

        Args:
            message: for the reader.
            role: what the column was to hold.
            present: the columns that are there.
        """
        super().__init__(message)
        self.role, self.present = role, tuple(map(str, present))
