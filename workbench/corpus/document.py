"""What a corpus comes out as: documents, skipped rows, or the error that stops the reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DomainFrom = Literal["column", "folder", "default"]


@dataclass(frozen=True)
class Document:
    """One text to score.

    `source` and `row` (from 0) say where it stands, never by a path of the machine. They are the
    key of a document: no two of a corpus share them. `doc_id` is a label, and may be that of
    others. `domain_from`: whether the domain is a value of the corpus, the folder of the file, or
    the one that is taken where there is neither. `carried`: the values of other columns, where they
    were asked for, by the names of these.
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
    """One row that gives no document, and why. Id and domain are None where unreadable."""

    doc_id: str | None
    domain: str | None
    source: str
    row: int
    reason: str


class CorpusError(ValueError):
    """The corpus as a whole cannot be read: a wrong path, a missing column, a broken file."""
