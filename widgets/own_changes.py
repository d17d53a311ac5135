"""Telling what Python does to a control from what the reader does to it.

ipykernel 7 may answer the browser on one thread while a cell, or a task queue of the explorer,
follows the session on another. So who changes a control is a matter of the thread: a flag that all
threads see would take a click that comes meanwhile for one of ours, and drop it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class OwnChanges(threading.local):
    """Whether the calling thread is changing controls by itself just now.

    Traits call their observers on the thread that changes them, so an observer may ask `under_way`.
    """

    under_way = False

    @contextmanager
    def made(self) -> Iterator[None]:
        """Mark what this thread changes inside as ours, and not the reader's.

        Yields:
            Nothing.
        """
        before, self.under_way = self.under_way, True
        try:
            yield
        finally:
            self.under_way = before
