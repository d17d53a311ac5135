"""What is said of how a corpus was read: where its domains came from, and why rows were skipped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

WORTH_SAYING = 0.01  # share of the rows that may be skipped without the reasons being spelled out
_MOST_REASONS = 3
_PARTICULARS = re.compile(r":| at (byte|character) \d")
_FROM = {
    "column": "its value in the corpus",
    "folder": "the sub-folder that it lies in",
    "default": "the common one, for want of a column and a sub-folder",
}


def kinds_of(reasons: Iterable[str] | Mapping[str, int]) -> Counter[str]:
    """How often each kind of reason came: reasons without what is particular to one row."""
    counts = Counter(reasons)
    kinds: Counter[str] = Counter()
    for reason, count in counts.items():
        kinds[_PARTICULARS.split(reason, maxsplit=1)[0]] += count
    return kinds


def note_on_domains(domain_from: Mapping[str, int]) -> str:
    """A line on where the domains came from; "" if all are values of the corpus.

    domain_from: documents by `Document.domain_from`.
    """
    some = [(kind, domain_from.get(kind, 0)) for kind in _FROM]
    if not any(count for kind, count in some if kind != "column"):
        return ""
    said = "; ".join(f"of {count:,} documents {_FROM[kind]}" for kind, count in some if count)
    return f'the domain is {said} (domain="a.column", "/" for the sub-folder or None for one)'


def note_on_skipped(read: int, reasons: Mapping[str, int]) -> str:
    """A line on why rows were skipped; "" if they are no more than WORTH_SAYING of those read.

    reasons: rows by kind of reason.
    """
    skipped = sum(reasons.values())
    if skipped <= WORTH_SAYING * read:
        return ""
    most = Counter(reasons).most_common(_MOST_REASONS)
    said = ", ".join(f"{reason} ({count:,})" for reason, count in most)
    others = skipped - sum(count for _, count in most)
    rest = f", other reasons ({others:,})" if others else ""
    return f"skipped {skipped:,} of {read:,} ({skipped / read:.1%}): {said}{rest}"
