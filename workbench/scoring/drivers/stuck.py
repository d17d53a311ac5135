"""When a worker that gives no sign of life counts as stuck.

A worker gives a sign at every attention layer, every document and every step of its start. It is
stuck when it has been silent for `shard_timeout` seconds; if none is given, for half an hour or 20
times its longest silence in this run, whichever is longer. So neither the size of a shard, nor that
of the model, nor the speed of the device counts, only the longest single step of the work. The
longest ones are reading up to the first row of a shard in a large `.gz` or `.zst` file, and loading
the model.

There is no such limit on scoring in one process, without workers: a thread that stands still in a
library cannot be ended, only its process can, and that is the user's own.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

from workbench.core.progress import cancellable

LEAST = 1800.0  # seconds
TIMES = 20


def require_timeout(seconds: float | None) -> None:
    """Refuse what is no shard_timeout.

    Args:
        seconds: a number above 0, or None.

    Raises:
        ValueError: it is neither.
    """
    if seconds is not None and not (isinstance(seconds, int | float) and seconds > 0):
        raise ValueError(
            "shard_timeout must be a number of seconds above 0, math.inf for no end, or None for "
            f"the rule of workbench.scoring.drivers.stuck; got {seconds!r}"
        )


class Limit:
    """How long the workers of a run may be silent, in seconds.

    Args:
        given: shard_timeout; None: by the rule of this module.
    """

    def __init__(self, given: float | None) -> None:
        self.given, self.longest = given, 0.0

    def heard(self, silent: float) -> None:
        """Take in that a worker gave a sign.

        Args:
            silent: seconds since its last one.
        """
        self.longest = max(self.longest, silent)

    @property
    def seconds(self) -> float:
        """The limit while a shard is scored."""
        return self.at_start if self.given is None else self.given

    @property
    def at_start(self) -> float:
        """The limit while a worker starts, which loads the model and takes no shard_timeout."""
        return math.inf if self.given == math.inf else max(LEAST, TIMES * self.longest)


def stuck_for(limit: float) -> str:
    """Why the shard of a stuck worker was not scored.

    Args:
        limit: the seconds for which it was silent.

    Returns:
        The reason.
    """
    return f"stuck: the worker gave no sign of life for {limit:,.1f} seconds, and was ended"


@contextlib.contextmanager
def signs(give: Callable[[], object]) -> Iterator[None]:
    """Inside the block the work gives signs as it goes on.

    Args:
        give: called once a second at most.
    """
    last = -math.inf

    def sign() -> None:
        nonlocal last
        if monotonic() - last >= 1:
            last = monotonic()
            give()

    with cancellable(lambda progress: sign(), threading.Event(), sign=sign):
        yield


class Watchdog:
    """Ends its own process where that is stuck, for workers that nobody else can end.

    Args:
        limit: how long the process may be silent.
    """

    def __init__(self, limit: Limit) -> None:
        self.limit = limit

    @contextlib.contextmanager
    def over(self, traces_file: Path, *, starting: bool = False) -> Iterator[None]:
        """Watch the block.

        Args:
            traces_file: where the process is stuck, this is left with what `stuck_reason` reads.
            starting: whether the block starts the worker, which takes no shard_timeout.
        """
        last = monotonic()

        def sign() -> None:
            nonlocal last
            self.limit.heard(monotonic() - last)
            last = monotonic()
            seconds = self.limit.at_start if starting else self.limit.seconds
            # Its thread needs no lock of the interpreter, which a stuck library may hold.
            if seconds < threading.TIMEOUT_MAX:
                faulthandler.dump_traceback_later(seconds, exit=True, file=traces)

        with traces_file.open("w") as traces:
            try:
                sign()
                with signs(sign):
                    yield
            finally:
                faulthandler.cancel_dump_traceback_later()


def stuck_reason(left: str) -> str:
    """The reason in what a Watchdog has left.

    Args:
        left: the content of its file.

    Returns:
        The reason; any other text is given back.
    """
    if not left.startswith("Timeout ("):
        return left
    took = left.removeprefix("Timeout (").partition(")")[0]
    return f"stuck: the worker gave no sign of life for {took} (h:mm:ss), and was ended"
