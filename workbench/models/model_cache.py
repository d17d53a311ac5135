"""What was computed of a model and is kept with it, as long as it holds."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class ModelCache:
    """Values by key, each with the state of the model that it holds for.

    It belongs to one model, goes with it, and is left behind when the model is copied.
    """

    def __init__(self) -> None:
        """Begin without values."""
        self._values: dict[Hashable, tuple[Hashable, Any]] = {}

    def kept(self, key: Hashable, compute: Callable[[], T], *, state: Hashable = None) -> T:
        """The value of a key, computed unless it is there for this state.

        Args:
            key: what the value is.
            compute: makes the value. What it raises is raised, and nothing is kept.
            state: what the value holds for, such as `state_of` of the model; a value of another
                state is replaced. None: it holds whatever becomes of the model.

        Returns:
            The value.
        """
        held = self._values.get(key)
        if held is None or held[0] != state:
            held = self._values[key] = state, compute()
        return held[1]

    def get(self, key: Hashable) -> Any:
        """The value of a key as it was computed last.

        Args:
            key: what the value is.

        Returns:
            The value; None without one.
        """
        return self._values.get(key, (None, None))[1]
