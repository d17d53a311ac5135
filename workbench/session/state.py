"""What a session is about at one moment, the way back, and how input becomes part of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from workbench.masking.masks import require_fitting
from workbench.models.attention_hook import Mode
from workbench.models.heads import Head, HeadSet
from workbench.models.model import Model

Heads = HeadSet | str | Iterable[tuple[int, int]]


@dataclass(frozen=True)
class State:
    """What a session is about at one moment.

    Attributes:
        text: what is looked at.
        heads: the masked heads.
        mode: what masked heads put out.
        against: the head set that losses are compared with; no heads: the stock model.
        control_of: the set that the masked random heads stand for, or None.
        window: which stretch of a long text is looked at, from 0.
    """

    text: str
    heads: HeadSet
    mode: Mode
    against: HeadSet
    control_of: HeadSet | None = None
    window: int = 0

    def has_effects_of(self, other: State) -> bool:
        """Whether each head, masked alone, has the same effect as in another state.

        Args:
            other: the other state.

        Returns:
            True if text, window and mode are the same, whatever is masked.
        """
        return (self.text, self.window, self.mode) == (other.text, other.window, other.mode)


class History:
    """The present state with what came before it and what was undone.

    Attributes:
        state: the present one.
    """

    def __init__(self, state: State) -> None:
        """Begin without a past.

        Args:
            state: the first state.
        """
        self.state = state
        self._before: list[State] = []
        self._after: list[State] = []

    def become(self, **changes: Any) -> bool:
        """Go on to a changed state.

        Args:
            **changes: fields of `State` with their new values.

        Returns:
            False, and nothing happens, if the state is the same.
        """
        state = replace(self.state, **changes)
        if state == self.state:
            return False
        self._before.append(self.state)
        self._after.clear()
        self.state = state
        return True

    def undo(self) -> bool:
        """Go back one state.

        Returns:
            False if there is none.
        """
        return self._step(self._before, self._after)

    def redo(self) -> bool:
        """Take back an undo.

        Returns:
            False if there is none.
        """
        return self._step(self._after, self._before)

    @property
    def can_undo(self) -> bool:
        """Whether there is a state to go back to."""
        return bool(self._before)

    @property
    def can_redo(self) -> bool:
        """Whether something was undone."""
        return bool(self._after)

    def _step(self, source: list[State], target: list[State]) -> bool:
        if not source:
            return False
        target.append(self.state)
        self.state = source.pop()
        return True


def as_heads(heads: Heads, model: Model) -> HeadSet:
    """A head set of what a user gives.

    Args:
        heads: a HeadSet, text such as "L17H3 L18H6", or (layer, head) pairs.
        model: the model that the heads must belong to.

    Returns:
        The head set.

    Raises:
        TypeError: `heads` is nothing of the kind.
        ValueError: a head is not one of the model, or cannot be masked.
    """
    if isinstance(heads, str):
        return HeadSet.parse(heads, model)
    if isinstance(heads, Head):
        return HeadSet.of([heads], model)
    try:
        chosen = heads if isinstance(heads, HeadSet) else HeadSet.of(heads, model)
    except TypeError:
        raise TypeError(
            f"{heads!r:.100} are no heads: expected a HeadSet, text such as 'L17H3 L18H6', or "
            "(layer, head) pairs such as [(17, 3), (18, 6)]"
        ) from None
    require_fitting(model, chosen, "uniform")
    return chosen


def require_text(text: str) -> str:
    """Refuse what is no text to look at.

    Args:
        text: what the user gives.

    Returns:
        The text.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty, or no valid Unicode.
    """
    if not isinstance(text, str):
        raise TypeError(f"a session looks at one text, got {type(text).__name__}")
    if not text.strip():
        raise ValueError("this text is empty: give one of at least two tokens")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"this text has a lone surrogate at character {error.start}, which no tokenizer reads: "
            "decode its bytes with errors='replace'"
        ) from None
    return text
