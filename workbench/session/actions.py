"""Actions of a session: one at a time, and who hears what each of them changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="HasListeners")


class Listeners:
    """Functions that are called after each action.

    Attributes:
        lock: is held by an action while it changes the state and the listeners hear of it.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.lock = threading.RLock()
        self._listeners: list[Callable[[str], object]] = []

    def add(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """Call a function from now on.

        Args:
            listener: is called with what changed.

        Returns:
            What ends that, when it is called.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def notify(self, what: str) -> None:
        """Call all of them, in the order in which they came.

        Args:
            what: changed.
        """
        for listener in list(self._listeners):
            listener(what)


class HasListeners(Protocol):
    """An object whose actions are heard of.

    Attributes:
        listeners: who hears of them.
    """

    listeners: Listeners


def action(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """One action at a time: a cell and a click of JupyterLab come on different threads.

    Args:
        method: of a part of a session.

    Returns:
        The method under the lock of the session.
    """

    @wraps(method)
    def alone(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.listeners.lock:
            return method(self, *args, **kwargs)

    return alone
