"""Work in the background, so that the browser is answered while the model computes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.core.progress import Cancelled, Progress, cancellable

Watcher = Callable[[str, Progress | None], object]


@dataclass(eq=False)
class Task:
    """One piece of work.

    Attributes:
        key: the kind of work; of the same key, only the newest is done.
        work: computes the result.
        then: is called with it, unless the task was stopped meanwhile.
        stop: is set to stop the work at its next layer or unit.
        cancelled: it was stopped for itself, and not for newer work of the same key.
    """

    key: str
    work: Callable[[], Any]
    then: Callable[[Any], object]
    stop: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False


class TaskQueue:
    """One thread that does one task after the other; of the same key, only the newest.

    The callbacks and `then` of the tasks are called on the thread of the queue. The owner sets
    on_cancel(key), called for each task that ends without a result because of `cancel`.
    """

    def __init__(
        self,
        report: Callable[[BaseException, str], object],
        watch: Watcher = lambda title, progress: None,
        settled: Callable[[str], object] = lambda key: None,
        *,
        urgent: bool = False,
    ) -> None:
        """Begin without a task; the thread starts with the first.

        Args:
            report: is called with an error and the key of its task.
            watch: is called with the title of the running task and how far it is: None when it
                begins, and ("", None) when the queue is idle again.
            settled: is called with the key of a task that came to its end, before its `then`.
            urgent: tasks of other queues step aside (`workbench.core.progress.preemptible`).
        """
        self._report, self._watch, self._settled, self._urgent = report, watch, settled, urgent
        self.on_cancel: Callable[[str], object] = lambda key: None
        self._waiting: OrderedDict[str, Task] = OrderedDict()
        self._running: Task | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def do(self, key: str, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        """Do this as soon as possible; an older task of the same key is given up.

        Args:
            key: the kind of work.
            work: computes the result.
            then: is called with it.

        Raises:
            RuntimeError: the queue was closed.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError("this explorer was closed: make a new one")
            self._waiting.pop(key, None)
            self._waiting[key] = Task(key, work, then)
            if self._running is not None and self._running.key == key:
                self._running.stop.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="workbench", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
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
            waiting = list(self._waiting)
            self._waiting.clear()
            if self._running is not None:
                self._running.cancelled = True
                self._running.stop.set()
        for key in waiting:
            self.on_cancel(key)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to do.

        Args:
            timeout: seconds; None: for ever.

        Returns:
            False if that took longer.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self.busy, timeout)

    def close(self) -> None:
        """Stop for good."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            if self._running is not None:
                self._running.stop.set()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                self._running = task = self._waiting.popitem(last=False)[1]
            try:
                self._do(task)
            except Exception as error:  # of a listener, so that the queue goes on
                self._report(error, task.key)
            finally:
                with self._changed:
                    self._running = None
                    if not self._waiting:
                        self._watch("", None)
                    self._changed.notify_all()

    def _do(self, task: Task) -> None:
        self._watch(task.key, None)
        on_progress = lambda progress: self._watch(task.key, progress)  # noqa: E731
        try:
            with cancellable(on_progress, task.stop, high_priority=self._urgent):
                result = task.work()
        except Cancelled:
            pass
        except Exception as error:
            if not task.stop.is_set():
                self._report(error, task.key)
                return
        else:
            if not task.stop.is_set():
                self._settled(task.key)
                task.then(result)
                return
        if task.cancelled:
            self.on_cancel(task.key)
