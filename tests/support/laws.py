"""What the tests of each file of entries ask of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import workbench as wb


def in_the_book(entries: Sequence[wb.Law]) -> bool:
    """Whether each entry stands in the book under its key."""
    return all(wb.LAWS[law.key] is law for law in entries)


def stated_ranges(entries: Sequence[wb.Law]) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Key of a law to the measured ranges that it states, of those that state one."""
    ranges = {
        law.key: {q.name: (q.low, q.high) for q in law.inputs if q.low is not None}
        for law in entries
    }
    return {key: stated for key, stated in ranges.items() if stated}


def read_ranges(read_in: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Key of a law to its ranges, from a table of where each was read."""
    return {key: ranges for laws in read_in.values() for key, ranges in laws.items()}
