"""The kernel's Interrupt reaches work in the background, too.

Interrupt is a signal. While a cell runs, Python turns it into KeyboardInterrupt there; between
cells ipykernel ignores it. It keeps what is to happen between cells in `saved_sigint_handler` while
a cell runs, and that is where the explorer, made in a cell, registers a handler.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from IPython import get_ipython

_listeners: list[Callable[[], object]] = []


def on_interrupt(listener: Callable[[], object]) -> Callable[[], None]:
    """Call a function at each Interrupt between cells.

    Args:
        listener: is called then.

    Returns:
        What ends that, when it is called.
    """
    _listeners.append(listener)
    kernel: Any = getattr(get_ipython(), "kernel", None)
    if hasattr(kernel, "saved_sigint_handler"):
        kernel.saved_sigint_handler = _interrupted
    return lambda: _listeners.remove(listener)


def _interrupted(number: int, frame: Any) -> None:
    assert number == signal.SIGINT
    for listener in list(_listeners):
        listener()
