"""A source of a corpus whose reader hangs, for real: a pipe into which nobody writes.

A worker refuses pipes when it looks for its sources, so one takes a file's place after that.
"""

from __future__ import annotations

import os
import select
import threading


class Pipe:
    """A source that is a pipe for its first reader, and then the file that it was."""

    def __init__(self, path):
        self.path, self.content = path, path.read_bytes()
        self.end = None  # to write to, while there is one
        path.unlink()
        os.mkfifo(path)
        self.thread = threading.Thread(target=self._hold, daemon=True)
        self.thread.start()

    def _hold(self):
        self.end = os.open(self.path, os.O_WRONLY)  # waits for a reader
        whole = self.path.with_suffix(".whole")
        whole.write_bytes(self.content)
        whole.replace(self.path)
        without_reader(self.end, None)
        self.end = None

    @property
    def is_read(self):
        """Whether the reader stands still at this moment."""
        end = self.end
        return end is not None and not without_reader(end, 0)


def without_reader(end, wait):
    """Whether a pipe has no reader any more, which the system reports as an error of it."""
    poll = select.poll()
    poll.register(end, 0)
    return bool(poll.poll(wait))
