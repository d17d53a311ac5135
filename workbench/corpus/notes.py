"""Notes on how a corpus was read: where its domains came from, and why rows were skipped."""

from __future__ import annotations

import re
from collections.abc import Mapping

WORTH_SAYING = 0.01  # share of the rows that may be skipped without the reasons being spelled out
_MOST_REASONS = 3
_PARTICULARS = re.compile(r":| at (byte|character) \d")
_FROM = {
    "column": "by a value of the corpus",
    "folder": "by the sub-folder that they lie in",
    "default": "in the common one, having neither column nor sub-folder",
}


def kind_of(reason: str) -> str:
    """A reason without what is particular to one row: its place, and what is behind the colon.

    Args:
        reason: the reason of a Skipped.
    """
    return _PARTICULARS.split(reason, maxsplit=1)[0][:80]


def note_on_domains(domain_from: Mapping[str, int]) -> str:
    """A line on where the domains came from; "" if all are values of the corpus.

    Args:
        domain_from: number of documents by `Document.domain_from`.
    """
    counts = [(kind, domain_from.get(kind, 0)) for kind in _FROM]
    if not any(count for kind, count in counts if kind != "column"):
        return ""
    sources = ", ".join(f"{count:,} documents {_FROM[kind]}" for kind, count in counts if count)
    return (
        f"domains: {sources} (choose with domain= or --domain: a column, or / for the sub-folder)"
    )


def note_on_skipped(read: int, reasons: Mapping[str, int]) -> str:
    """A line on why rows were skipped; "" if they are no more than WORTH_SAYING of those read.

    Args:
        read: how many rows were read.
        reasons: number of skipped rows by kind of reason.
    """
    skipped = sum(reasons.values())
    if skipped <= WORTH_SAYING * read:
        return ""
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    more = f", and {len(most) - _MOST_REASONS} other reasons" if len(most) > _MOST_REASONS else ""
    why = ", ".join(f"{reason} ({count:,})" for reason, count in most[:_MOST_REASONS])
    return f"{skipped:,} of {read:,} documents were skipped ({skipped / read:.0%}): {why}{more}"
