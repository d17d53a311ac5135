"""Work in the background, so that the browser is answered while the model computes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.core.progress import Cancelled, Progress, watched

Watcher = Callable[[str, Progress | None], object]


@dataclass(eq=False)
class Job:
    """One piece of work; `then` hears its result unless it was told to stop meanwhile."""

    key: str
    work: Callable[[], Any]
    then: Callable[[Any], object]
    stop: threading.Event = field(default_factory=threading.Event)


class Lane:
    """One thread that does one job after the other; of the same key, only the newest.

    report: hears of errors; watch(title, progress): hears how far the running job is, None when it
    begins, and ("", None) when the lane is idle again. urgent: jobs of other lanes step aside
    (`workbench.core.progress.gives_way`). All of these, and `then`, are called on the lane's
    thread.
    """

    def __init__(
        self,
        report: Callable[[BaseException], object],
        watch: Watcher = lambda title, progress: None,
        *,
        urgent: bool = False,
    ) -> None:
        self._report, self._watch, self._urgent = report, watch, urgent
        self._waiting: OrderedDict[str, Job] = OrderedDict()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def do(self, key: str, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        """Do this as soon as possible; an older job of the same key is given up."""
        with self._changed:
            if self._closed:
                raise RuntimeError("this explorer was closed: make a new one")
            self._waiting.pop(key, None)
            self._waiting[key] = Job(key, work, then)
            if self._running is not None and self._running.key == key:
                self._running.stop.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="workbench", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def busy(self) -> bool:
        return self._running is not None or bool(self._waiting)

    @property
    def keys(self) -> set[str]:
        """What runs or waits."""
        with self._changed:
            running = {self._running.key} if self._running is not None else set()
            return running | set(self._waiting)

    def cancel(self) -> None:
        """Stop what runs, at its next layer or unit of work, and drop what waits."""
        with self._changed:
            self._waiting.clear()
            if self._running is not None:
                self._running.stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Until nothing is left to do; False if that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.busy, timeout)

    def close(self) -> None:
        """Stop for good."""
        self.cancel()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                self._running = job = self._waiting.popitem(last=False)[1]
            try:
                self._do(job)
            except Exception as error:  # of a listener, so that the lane goes on
                self._report(error)
            finally:
                with self._changed:
                    self._running = None
                    if not self._waiting:
                        self._watch("", None)
                    self._changed.notify_all()

    def _do(self, job: Job) -> None:
        self._watch(job.key, None)
        hear = lambda progress: self._watch(job.key, progress)  # noqa: E731
        try:
            with watched(hear, job.stop, urgent=self._urgent):
                result = job.work()
        except Cancelled:
            return
        except Exception as error:
            if not job.stop.is_set():
                self._report(error)
            return
        if not job.stop.is_set():
            job.then(result)
