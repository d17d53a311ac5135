"""The kinds of work of an explorer, each with a thread and a line of progress of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from widgets.problem_box import ProblemBox
from widgets.tasks.task_queue import TaskQueue
from widgets.views.progress_row import ProgressRow


class TaskQueues:
    """The queues of an explorer.

    Attributes:
        losses: what the reader waits for (losses, predictions), before which all else steps aside.
        colours: colours of the heads.
        corpus: texts and cuts of a corpus.
        long: work of minutes (detection, curves, scoring), in turn.
        rows: a line of progress for each queue.
    """

    def __init__(self, problem: ProblemBox) -> None:
        """Begin without work.

        Args:
            problem: shows the errors.
        """
        self.rows: list[ProgressRow] = []
        self.losses = self._queue(problem, urgent=True)
        self.colours = self._queue(problem.keep)
        self.corpus = self._queue(problem.keep)
        self.long = self._queue(problem.keep, at_once=True)

    def _queue(
        self,
        report: Callable[[BaseException], object],
        urgent: bool = False,
        at_once: bool = False,
    ) -> TaskQueue:
        row = ProgressRow(lambda: queue.cancel(), at_once)
        queue = TaskQueue(report, row.watch, urgent=urgent)
        self.rows.append(row)
        return queue

    @property
    def every(self) -> tuple[TaskQueue, ...]:
        """All queues."""
        return self.losses, self.colours, self.corpus, self.long

    def begin(
        self,
        title: str,
        work: Callable[[], Any],
        then: Callable[[Any], object] = lambda result: None,
    ) -> None:
        """Do long work.

        Args:
            title: what it is, in words.
            work: computes the result.
            then: is called with it.

        Raises:
            ValueError: the same is under way, since minutes may lie in it.
        """
        if title in self.long.keys:
            raise ValueError(f"{title} is under way already: wait for it, or cancel it first")
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
