"""A source of a corpus whose readers hang, for real: a pipe into which nobody writes."""

from __future__ import annotations

import os
import select
import threading


class Pipe:
    """A source that is a pipe for the first so many readers, and then the file that it was."""

    def __init__(self, path, readers):
        self.path, self.readers, self.content = path, readers, path.read_bytes()
        self.end = None  # to write to, while there is one
        path.unlink()
        os.mkfifo(path)
        self.thread = threading.Thread(target=self._hold, daemon=True)
        self.thread.start()

    def _hold(self):
        for reader in range(self.readers):
            self.end = os.open(self.path, os.O_WRONLY)  # waits for a reader
            if reader == self.readers - 1:
                whole = self.path.with_suffix(".whole")
                whole.write_bytes(self.content)
                whole.replace(self.path)
            without_reader(self.end, None)
            self.end = None

    @property
    def is_read(self):
        """Whether a reader stands still at this moment."""
        end = self.end
        return end is not None and not without_reader(end, 0)


def without_reader(end, wait):
    """Whether a pipe has no reader any more, which the system reports as an error of it."""
    poll = select.poll()
    poll.register(end, 0)
    return bool(poll.poll(wait))
