"""Progress with time left for long loops, and the way to stop them.

In a notebook cell or a terminal a loop shows a tqdm bar, and Ctrl-C or Interrupt stops it. Work
that runs in a thread on somebody's behalf is `watched` instead: it tells its progress to whoever
watches, ends with `Cancelled` once it is told to, and steps aside for work that is urgent.
TQDM_DISABLE=1 in the environment silences the bars (notebook tests do that: a bar cannot be
compared).
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
from typing import ParamSpec, TypeVar

from tqdm.auto import tqdm

T = TypeVar("T")
P = ParamSpec("P")


class Cancelled(BaseException):
    """Watched work was told to stop. Like KeyboardInterrupt it is no error, so no handler of errors
    takes it for one."""


@dataclass(frozen=True)
class Progress:
    """How far a loop is: done of total (None: unknown) units, and the seconds since it began."""

    title: str
    unit: str
    done: int
    total: int | None
    seconds: float

    @property
    def left(self) -> float | None:
        """Seconds until the end at the mean rate so far; None while that is unknown."""
        if not self.total or not self.done:
            return None
        return self.seconds / self.done * max(self.total - self.done, 0)

    def __str__(self) -> str:
        of = "" if self.total is None else f" of {self.total:,}"
        left = "" if self.left is None else f", {_duration(self.left)} left"
        return f"{self.title}: {self.done:,}{of} {self.unit}{left}"


@dataclass(frozen=True)
class _Watch:
    hear: Callable[[Progress], object]
    stop: threading.Event
    urgent: bool
    sign: Callable[[], object] | None


class _GaveWay(BaseException):
    """A pass was left because urgent work came; it is begun again afterwards."""


_WATCH: ContextVar[_Watch | None] = ContextVar("workbench_watch", default=None)
_CAN_GIVE_WAY: ContextVar[bool] = ContextVar("workbench_can_give_way", default=False)
_NOTHING_URGENT = threading.Condition()
_urgent = 0  # pieces of urgent work that run or wait for the model


@contextmanager
def watched(
    hear: Callable[[Progress], object],
    stop: threading.Event,
    *,
    urgent: bool = False,
    sign: Callable[[], object] | None = None,
) -> Iterator[None]:
    """Inside the block, loops of this thread tell `hear` how far they are, and end when `stop` is
    set: with Cancelled, at the next attention layer or the next unit of work.

    urgent: other watched work leaves the pass that it is in, and repeats it after the block. sign:
    called each time that the work looks whether it is to stop, which is a sign that it goes on.
    """
    global _urgent
    token = _WATCH.set(_Watch(hear, stop, urgent, sign))
    with _NOTHING_URGENT:
        _urgent += urgent
    try:
        yield
    finally:
        with _NOTHING_URGENT:
            _urgent -= urgent
            _NOTHING_URGENT.notify_all()
        _WATCH.reset(token)


def stop_if_asked() -> None:
    """Raise Cancelled in work that was told to stop; called wherever stopping leaves no trace."""
    watch = _WATCH.get()
    if watch is None:
        return
    if watch.sign is not None:
        watch.sign()
    if watch.stop.is_set():
        raise Cancelled
    if _urgent and not watch.urgent and _CAN_GIVE_WAY.get():
        raise _GaveWay


def gives_way(compute: Callable[P, T]) -> Callable[P, T]:
    """One pass, which takes the model's lock itself and can be begun again at no loss but time."""

    @wraps(compute)
    def patient(*args: P.args, **kwargs: P.kwargs) -> T:
        watch = _WATCH.get()
        if watch is None or _CAN_GIVE_WAY.get():
            return compute(*args, **kwargs)  # a pass inside a pass ends with the outer one
        while True:
            token = _CAN_GIVE_WAY.set(True)
            try:
                return compute(*args, **kwargs)
            except _GaveWay:
                pass
            finally:
                _CAN_GIVE_WAY.reset(token)
            with _NOTHING_URGENT:
                while _urgent and not watch.stop.is_set():
                    _NOTHING_URGENT.wait(0.1)  # nobody notifies of a stop
            stop_if_asked()

    return patient


def tracked(items: Sequence[T], title: str, unit: str) -> Iterator[T]:
    """Yield `items` behind a bar with rate and time left; Ctrl-C and Interrupt stop the loop."""
    with counted(title, unit, len(items)) as done:
        for item in items:
            yield item
            done(1)


@contextmanager
def counted(
    title: str,
    unit: str,
    total: int | None,
    *,
    bar: bool = True,
    note: Callable[[], str] | None = None,
) -> Iterator[Callable[[int], object]]:
    """A bar that the block moves on by calling what it is given with a number of finished units.

    bar=False: no bar, where the work is too short for one in a cell; who watches is told. note:
    what stands behind the bar, asked for at every step.
    """
    watch = _WATCH.get()
    if watch is not None:
        yield _told(watch, title, unit, total)
        return
    if not bar:
        yield lambda units: None
        return
    # tqdm itself reads this variable in a terminal only, not in a notebook.
    silent = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    with tqdm(desc=title, total=total, unit=unit, mininterval=0.5, disable=silent) as shown:

        def moved(units: int) -> None:
            if note is not None:
                shown.set_postfix_str(note(), refresh=False)
            shown.update(units)

        yield moved


def _told(watch: _Watch, title: str, unit: str, total: int | None) -> Callable[[int], None]:
    began, finished = time.monotonic(), 0

    def done(units: int) -> None:
        nonlocal finished
        finished += units
        watch.hear(Progress(title, unit, finished, total, time.monotonic() - began))
        stop_if_asked()

    done(0)
    return done


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
