"""What a session is about at one moment, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet


@dataclass(frozen=True)
class State:
    """text: what is looked at; heads, mode: what is masked and how; against: the set compared with
    (no heads: the stock model); control_of: the set that random heads stand for, or None."""

    text: str
    heads: HeadSet
    mode: Mode
    against: HeadSet
    control_of: HeadSet | None = None


class History:
    """The present state with what came before it and what was undone."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._before: list[State] = []
        self._after: list[State] = []

    def become(self, **changes: Any) -> bool:
        """Go on to a changed state; False, and nothing happens, if it is the same."""
        state = replace(self.state, **changes)
        if state == self.state:
            return False
        self._before.append(self.state)
        self._after.clear()
        self.state = state
        return True

    def undo(self) -> bool:
        """Go back one state; False if there is none."""
        return self._step(self._before, self._after)

    def redo(self) -> bool:
        """Take back an undo; False if there is none."""
        return self._step(self._after, self._before)

    @property
    def can_undo(self) -> bool:
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        return bool(self._after)

    def _step(self, source: list[State], target: list[State]) -> bool:
        if not source:
            return False
        target.append(self.state)
        self.state = source.pop()
        return True
