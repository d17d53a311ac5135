"""Where the lines of a plain JSON Lines file begin: line ends are counted once and asked often."""

from __future__ import annotations

import bisect

import numpy as np

from workbench.corpus.sources import Source, opened

_BLOCK = 1 << 20


class LineIndex:
    """The line ends of a file that is not compressed.

    Counted block by block as far as anybody has asked: 8 bytes of memory a MiB of the file.

    Args:
        source: the source.
    """

    def __init__(self, source: Source) -> None:
        self._path = source.path
        self._before = [0]  # line ends before each block that was counted, and before the next one
        self._ended = False
        self._block, self._ends = -1, np.zeros(0, np.int64)  # the last one that was looked into

    def offset(self, row: int) -> int | None:
        """The byte at which a line begins.

        Args:
            row: the number of the line, from 0.

        Returns:
            The byte; None if the file has fewer line ends.

        Raises:
            OSError: the file cannot be read.
        """
        if row == 0:
            return 0
        with opened(self._path) as file:
            if self._before[-1] < row and not self._ended:
                file.seek((len(self._before) - 1) * _BLOCK)
            while self._before[-1] < row and not self._ended:
                data = file.read(_BLOCK)
                self._ended = len(data) < _BLOCK
                self._before.append(self._before[-1] + data.count(b"\n"))
            if self._before[-1] < row:
                return None
            block = bisect.bisect_left(self._before, row) - 1
            if block != self._block:
                file.seek(block * _BLOCK)
                data = file.read(_BLOCK)
                self._block = block
                self._ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
        end = int(self._ends[row - self._before[block] - 1])
        return block * _BLOCK + end + 1
