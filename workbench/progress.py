"""Progress with time left for long loops: a tqdm bar.

TQDM_DISABLE=1 in the environment silences it (notebook tests do that: a bar cannot be compared).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")


def tracked(items: Sequence[T], title: str, unit: str) -> Iterator[T]:
    """Yield `items` behind a bar with rate and time left; Ctrl-C and Interrupt stop the loop."""
    with counted(title, unit, len(items)) as done:
        for item in items:
            yield item
            done(1)


@contextmanager
def counted(title: str, unit: str, total: int | None) -> Iterator[Callable[[int], object]]:
    """A bar that the block moves on by calling what it is given with a number of finished units."""
    # tqdm itself reads this variable in a terminal only, not in a notebook.
    silent = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    with tqdm(desc=title, total=total, unit=unit, mininterval=0.5, disable=silent) as bar:
        yield bar.update
