"""What a corpus comes out as: documents, skipped rows, or the error that stops the reading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """One text to score. `source` and `row` (from 0) say where it stands; never a machine path."""

    doc_id: str
    text: str
    domain: str
    source: str
    row: int


@dataclass(frozen=True)
class Skipped:
    """One row that gives no document, and why. Id and domain are None where unreadable."""

    doc_id: str | None
    domain: str | None
    source: str
    row: int
    reason: str


class CorpusError(ValueError):
    """The corpus as a whole cannot be read: a wrong path, a missing column, a broken file."""
