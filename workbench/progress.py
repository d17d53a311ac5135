"""Progress with time left for long loops: a tqdm bar that steps aside where nobody watches.

TQDM_DISABLE=1 in the environment silences it (notebook tests do that: a bar cannot be compared).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")


def tracked(
    items: Iterable[T], title: str, *, total: int | None = None, unit: str = "item"
) -> Iterator[T]:
    """Yield `items` behind a bar with rate and time left; Ctrl-C and Interrupt stop the loop."""
    with tqdm(items, desc=title, total=total, unit=unit, mininterval=0.5) as bar:
        yield from bar
