"""Progress with time left for long loops, and the way to stop them.

In a notebook cell or a terminal a loop shows a tqdm bar, and Ctrl-C or Interrupt stops it. Work
that runs in a thread on somebody's behalf is `cancellable` instead: it reports its progress to
whoever watches, ends with `Cancelled` once its stop event is set, and steps aside for work of high
priority. TQDM_DISABLE=1 in the environment silences the bars (notebook tests do that: a bar cannot
be compared).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")
P = ParamSpec("P")


class Cancelled(BaseException):
    """Watched work was cancelled.

    Like KeyboardInterrupt it is no error, so no handler of errors takes it for one.
    """


@dataclass(frozen=True)
class Progress:
    """How far a loop is.

    Attributes:
        title: what the loop does.
        unit: the name of a unit of its work.
        done: how many units are finished.
        total: how many units there are; None: unknown.
        seconds: seconds since the loop began.
        kept: how many of the finished units were finished before it began.
    """

    title: str
    unit: str
    done: int
    total: int | None
    seconds: float
    kept: int = 0

    @property
    def left(self) -> float | None:
        """Seconds until the end at the mean rate so far; None while that is unknown."""
        now = self.done - self.kept
        if not self.total or not now:
            return None
        return self.seconds / now * max(self.total - self.done, 0)

    def __str__(self) -> str:
        of = "" if self.total is None else f" of {self.total:,}"
        left = "" if self.left is None else f", {_duration(self.left)} left"
        return f"{self.title}: {self.done:,}{of} {_units(self.unit, self.total)}{left}"


class Done(Protocol):
    """Moves a progress bar on."""

    def __call__(self, units: int, kept: bool = False) -> object:
        """Move on.

        Args:
            units: so many more are finished.
            kept: whether they were finished before the work began, which the rate leaves out.
        """


@dataclass(frozen=True)
class _Watch:
    on_progress: Callable[[Progress], object]
    stop: threading.Event
    high_priority: bool
    sign: Callable[[], object] | None


class _Preempted(BaseException):
    """A pass was preempted by work of high priority; it is begun again afterwards."""


_WATCH: ContextVar[_Watch | None] = ContextVar("workbench_watch", default=None)
_PREEMPTIBLE: ContextVar[bool] = ContextVar("workbench_preemptible", default=False)
_NONE_WAITING = threading.Condition()
_high_priority = 0  # blocks of high priority that run or wait for the model


@contextmanager
def cancellable(
    on_progress: Callable[[Progress], object],
    stop: threading.Event,
    *,
    high_priority: bool = False,
    sign: Callable[[], object] | None = None,
) -> Iterator[None]:
    """Report the progress of this thread's loops inside the block, and let them be cancelled.

    When `stop` is set, work in the block ends with Cancelled at the next attention layer or the
    next unit of work.

    Args:
        on_progress: called with the progress of each loop, at each unit of work.
        stop: the event that cancels the work.
        high_priority: whether other cancellable work leaves the pass that it is in, and repeats it
            after the block.
        sign: called each time that the work looks whether it is to stop, which is a sign that it
            goes on.
    """
    global _high_priority
    token = _WATCH.set(_Watch(on_progress, stop, high_priority, sign))
    with _NONE_WAITING:
        _high_priority += high_priority
    try:
        yield
    finally:
        with _NONE_WAITING:
            _high_priority -= high_priority
            _NONE_WAITING.notify_all()
        _WATCH.reset(token)


def check_cancelled() -> None:
    """Leave the work of this thread if it is cancelled, or must step aside.

    Called wherever stopping leaves no trace.

    Raises:
        Cancelled: the work was cancelled.
    """
    watch = _WATCH.get()
    if watch is None:
        return
    if watch.sign is not None:
        watch.sign()
    if watch.stop.is_set():
        raise Cancelled
    if _high_priority and not watch.high_priority and _PREEMPTIBLE.get():
        raise _Preempted


def preemptible(compute: Callable[P, T]) -> Callable[P, T]:
    """Decorate a pass that may be preempted by work of high priority and is then begun again.

    The pass takes the model's lock itself, and repeating it costs nothing but time.

    Args:
        compute: the pass.
    """

    @wraps(compute)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
        watch = _WATCH.get()
        if watch is None or _PREEMPTIBLE.get():
            return compute(*args, **kwargs)  # a pass inside a pass ends with the outer one
        while True:
            token = _PREEMPTIBLE.set(True)
            try:
                return compute(*args, **kwargs)
            except _Preempted:
                pass
            finally:
                _PREEMPTIBLE.reset(token)
            with _NONE_WAITING:
                while _high_priority and not watch.stop.is_set():
                    _NONE_WAITING.wait(0.1)  # nobody notifies of a stop
            check_cancelled()

    return repeated


def track(items: Sequence[T], title: str, unit: str) -> Iterator[T]:
    """Iterate behind a bar with rate and time left; Ctrl-C and Interrupt stop the loop.

    Args:
        items: what to iterate over.
        title: what stands before the bar.
        unit: the name of one item.

    Yields:
        The items.
    """
    with progress_bar(title, unit, len(items)) as done:
        for item in items:
            yield item
            done(1)


@contextmanager
def progress_bar(
    title: str,
    unit: str,
    total: int | None,
    *,
    bar: bool = True,
    note: Callable[[], str] | None = None,
) -> Iterator[Done]:
    """A progress bar that the `with` block moves on itself.

    Args:
        title: what stands before the bar.
        unit: the name of a unit of work.
        total: how many units there are; None: unknown.
        bar: False where the work is too short for a bar in a cell; a watcher still gets its
            progress.
        note: what stands behind the bar, asked for at every step.

    Yields:
        A function to call with a number of finished units.
    """
    watch = _WATCH.get()
    if watch is not None:
        yield _reporting(watch, title, unit, total)
        return
    if not bar:
        yield lambda units, kept=False: None
        return
    # tqdm itself reads this variable in a terminal only, not in a notebook.
    silent = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    named = unit if total else f" {unit}"  # without a total it stands right behind the number
    with tqdm(desc=title, total=total, unit=named, mininterval=0.5, disable=silent) as shown:

        def moved(units: int, kept: bool = False) -> None:
            if note is not None:
                shown.set_postfix_str(note(), refresh=False)
            if kept and not silent:  # tqdm leaves what is in `initial` out of its rate
                shown.initial += units
                shown.n += units
                shown.last_print_n += units
                units = 0
            shown.update(units)

        yield moved


def _reporting(watch: _Watch, title: str, unit: str, total: int | None) -> Done:
    began, finished, before = time.monotonic(), 0, 0

    def done(units: int, kept: bool = False) -> None:
        nonlocal finished, before
        finished += units
        before += units if kept else 0
        watch.on_progress(Progress(title, unit, finished, total, time.monotonic() - began, before))
        check_cancelled()

    done(0)
    return done


def _units(unit: str, count: int | None) -> str:
    """The name of a unit as so many of it are called; MB stays as it is."""
    unit = {"doc": "document"}.get(unit, unit)
    return unit if count == 1 or unit.endswith("s") or unit.isupper() else f"{unit}s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
