"""The kinds of work of an explorer, each with a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queue import TaskQueue


class TaskQueues:
    """The queues of an explorer.

    Attributes:
        losses: what the reader waits for (losses, predictions), before which all else steps aside.
        colours: colours of the heads.
        looks: where heads look, which gives way to losses.
        checks: the certificate, for which nothing waits.
        corpus: texts and cuts of a corpus.
        long: work of minutes (detection, curves, scoring), in turn.
    """

    def __init__(self, status: StatusLine) -> None:
        """Begin without work.

        Args:
            status: shows progress and errors.
        """
        self._status = status
        self.losses = self._queue(urgent=True)
        self.colours = self._queue()
        self.looks = self._queue()
        self.checks = self._queue()
        self.corpus = self._queue()
        self.long = self._queue(at_once=True)

    def _queue(self, urgent: bool = False, at_once: bool = False) -> TaskQueue:
        status = self._status
        watch = status.watcher(lambda: queue.cancel(), at_once)
        queue = TaskQueue(status.keep, watch, status.settled, urgent=urgent)
        return queue

    @property
    def every(self) -> tuple[TaskQueue, ...]:
        """All queues."""
        return self.losses, self.colours, self.looks, self.checks, self.corpus, self.long

    def begin(
        self,
        title: str,
        work: Callable[[], Any],
        then: Callable[[Any], object] = lambda result: None,
        note: Note | None = None,
        *,
        anew: bool = False,
    ) -> None:
        """Do long work.

        Args:
            title: what it is, in words.
            work: computes the result.
            then: is called with it.
            note: beside the control that begins it, where its error is shown as well; None: there
                is none.
            anew: give the same work up if it is under way, since it would answer an old question.

        Raises:
            ValueError: the same is under way, since minutes may lie in it, and not `anew`.
        """
        if title in self.long.keys and not anew:
            raise ValueError(f"{title} is under way already: wait for it, or cancel it first")
        if note is not None:
            self._status.beside(title, note)
        self.long.do(title, work, then)

    def cancel(self) -> None:
        """Stop all that runs, and drop what waits."""
        for queue in self.every:
            queue.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to do; Interrupt cancels it all.

        Args:
            timeout: seconds; None: for ever.

        Returns:
            False if that took longer.
        """
        end = None if timeout is None else time.monotonic() + timeout
        try:
            while any(queue.busy for queue in self.every):  # one may begin work of another
                for queue in self.every:
                    if not queue.wait(None if end is None else max(end - time.monotonic(), 0)):
                        return False
            return True
        except KeyboardInterrupt:
            self.cancel()
            raise

    def close(self) -> None:
        """Stop for good."""
        for queue in self.every:
            queue.close()
