"""The kinds of work of an explorer, each with a thread and a line of progress of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from widgets.problem_box import ProblemBox
from widgets.tasks.task_queue import Lane
from widgets.views.progress_row import ProgressRow


class Lanes:
    """look: what the reader waits for (losses, predictions), before which all else steps aside;
    map: colours of the heads; files: texts and cuts of a corpus; long: work of minutes (detection,
    curves, scoring), in turn."""

    def __init__(self, problem: ProblemBox) -> None:
        self.rows: list[ProgressRow] = []
        self.look = self._lane(problem, urgent=True)
        self.map = self._lane(problem.keep)
        self.files = self._lane(problem.keep)
        self.long = self._lane(problem.keep, at_once=True)

    def _lane(
        self,
        report: Callable[[BaseException], object],
        urgent: bool = False,
        at_once: bool = False,
    ) -> Lane:
        row = ProgressRow(lambda: lane.cancel(), at_once)
        lane = Lane(report, row.watch, urgent=urgent)
        self.rows.append(row)
        return lane

    @property
    def every(self) -> tuple[Lane, ...]:
        return self.look, self.map, self.files, self.long

    def begin(
        self,
        title: str,
        work: Callable[[], Any],
        then: Callable[[Any], object] = lambda result: None,
    ) -> None:
        """Do long work; ValueError if the same is under way, since minutes may lie in it."""
        if title in self.long.keys:
            raise ValueError(f"{title} is under way already: wait for it, or cancel it first")
        self.long.do(title, work, then)

    def cancel(self) -> None:
        for lane in self.every:
            lane.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Until nothing is left to do; False after `timeout` seconds. Interrupt cancels it all."""
        end = None if timeout is None else time.monotonic() + timeout
        try:
            while any(lane.busy for lane in self.every):  # one may begin work of another
                for lane in self.every:
                    if not lane.wait(None if end is None else max(end - time.monotonic(), 0)):
                        return False
            return True
        except KeyboardInterrupt:
            self.cancel()
            raise

    def close(self) -> None:
        for lane in self.every:
            lane.close()
