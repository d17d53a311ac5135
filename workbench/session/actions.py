"""What can be done to the state of a session: every button of the interface is a method here or in
`workbench.session.session`.

Actions change the state at once and tell it to whoever listens. Nothing is computed here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from workbench.masking.masks import require_fitting
from workbench.models.attention_hook import Mode
from workbench.models.heads import Head, HeadSet
from workbench.models.model import Model
from workbench.session.head_colours import Palette
from workbench.session.history import History, State

Heads = HeadSet | str | Iterable[tuple[int, int]]
P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Actions")


def action(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """One at a time: a cell and a click of JupyterLab come on different threads."""

    @wraps(method)
    def alone(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self, *args, **kwargs)

    return alone


class Actions:
    """The state of a session (see `Session`) and what can be done to it."""

    def __init__(self, model: Model, text: str, heads: Heads | None, mode: Mode) -> None:
        self.model = model
        self.scores: pd.DataFrame | None = None
        self.document: str | None = None
        self.position: int | None = None
        self.palette = Palette(model)
        self._lock = threading.RLock()
        self._listeners: list[Callable[[str], object]] = []
        chosen = self._as_heads(heads if heads is not None else ())
        require_fitting(model, chosen, mode)
        self.history = History(State(_text(text), chosen, mode, HeadSet.of([], model)))

    @property
    def state(self) -> State:
        return self.history.state

    @property
    def heads(self) -> HeadSet:
        """The masked heads."""
        return self.state.heads

    @property
    def mode(self) -> Mode:
        """What masked heads put out."""
        return self.state.mode

    @property
    def text(self) -> str:
        """The text that is looked at."""
        return self.state.text

    def on_change(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """Call `listener` with what changed after each action; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self, what: str) -> None:
        for listener in list(self._listeners):
            listener(what)

    # ---- heads ------------------------------------------------------------------------------

    @action
    def mask(self, heads: Heads) -> None:
        """Mask exactly these heads: a HeadSet, text such as "L17H3 L18H6", or pairs."""
        self._become(heads=self._as_heads(heads))

    @action
    def toggle(self, heads: Heads) -> None:
        """Mask those of `heads` that are not masked, and unmask the others."""
        self._become(heads=self.heads ^ self._as_heads(heads))

    @action
    def toggle_layer(self, layer: int) -> None:
        """Mask all heads of a layer, or unmask them if all are masked."""
        self._toggle_line([(layer, head) for head in range(self.model.heads)])

    @action
    def toggle_head(self, head: int) -> None:
        """Mask the heads of this number in every layer, or unmask them if all are masked."""
        self._toggle_line([(site.layer, head) for site in self.model.sites])

    @action
    def top(self, count: int, *, allow_ties: bool = False) -> None:
        """Mask the `count` heads of highest score; errors about ties as in `HeadSet.top`."""
        if self.scores is None:
            raise ValueError("no head has a score yet: call session.detect(), or use_scores(frame)")
        total = self.model.head_count
        if not 0 <= count < total:
            raise ValueError(f"count must lie between 0 and {total - 1}, got {count}")
        if count == 0:
            return self.clear()
        self._become(heads=HeadSet.top(self.scores, count / total, allow_ties=allow_ties))

    def top_count(self) -> int | None:
        """How many heads are masked if they are those of highest score, else None."""
        if self.scores is None:
            return None
        count, total = len(self.heads), self.model.head_count
        if not 0 < count < total:
            return 0 if not count else None
        top = HeadSet.top(self.scores, count / total, allow_ties=True)
        return count if top == self.heads else None

    @action
    def random(self, seed: int = 0) -> None:
        """Mask as many heads drawn at random from the others: a control of the same size.

        Called again, it draws another control for the same heads, not one for the control.
        """
        of = self.state.control_of or self.heads
        if not of:
            raise ValueError("no head is masked, so there is nothing to draw a control for")
        self._become(heads=HeadSet.random(self.model, exclude=of, seed=seed), control_of=of)

    @action
    def invert(self) -> None:
        """Mask what is not masked, and unmask what is."""
        self._become(heads=~self.heads)

    @action
    def clear(self) -> None:
        """Unmask all heads."""
        self._become(heads=HeadSet.of([], self.model))

    @action
    def set_mode(self, mode: Mode) -> None:
        """What masked heads put out: "uniform" attention, "zero", or their "mean" output."""
        self._become(mode=mode, control_of=self.state.control_of)

    @action
    def compare_with(self, heads: Heads | None = None) -> None:
        """Show changes from the losses under these heads; None: from those of the stock model."""
        self._become(against=self._as_heads(heads or ()), control_of=self.state.control_of)

    # ---- text -------------------------------------------------------------------------------

    @action
    def read(self, text: str) -> None:
        """Look at this text."""
        self._become(text=_text(text), control_of=self.state.control_of)

    # ---- history ----------------------------------------------------------------------------

    @action
    def undo(self) -> bool:
        """Take the last action back; False if there is none."""
        return self._step(self.history.undo)

    @action
    def redo(self) -> bool:
        """Do again what was undone last; False if there is nothing."""
        return self._step(self.history.redo)

    def _become(self, *, control_of: HeadSet | None = None, **changes: Any) -> None:
        require_fitting(self.model, None, changes.get("mode", self.mode))
        self._step(lambda: self.history.become(control_of=control_of, **changes))

    def _step(self, move: Callable[[], bool]) -> bool:
        before = self.state
        if not move():
            return False
        if before.text != self.text:
            self.document = self.position = None
        recolour = (before.text, before.mode) != (self.text, self.mode)
        if recolour:
            self.palette.text_changed()
        self._tell("state")
        if recolour:
            self._tell("colours")
        return True

    # ---- helpers ----------------------------------------------------------------------------

    def _as_heads(self, heads: Heads) -> HeadSet:
        if isinstance(heads, str):
            return HeadSet.parse(heads, self.model)
        if isinstance(heads, Head):
            return HeadSet.of([heads], self.model)
        try:
            chosen = heads if isinstance(heads, HeadSet) else HeadSet.of(heads, self.model)
        except TypeError:
            raise TypeError(
                f"{heads!r:.100} are no heads: expected a HeadSet, text such as 'L17H3 L18H6', or "
                "(layer, head) pairs such as [(17, 3), (18, 6)]"
            ) from None
        require_fitting(self.model, chosen, "uniform")
        return chosen

    def _toggle_line(self, line: list[tuple[int, int]]) -> None:
        heads = HeadSet.of(line, self.model)
        self.mask(
            self.heads - heads if len(heads & self.heads) == len(heads) else self.heads | heads
        )


def _text(text: str) -> str:
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
