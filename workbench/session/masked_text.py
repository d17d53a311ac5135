"""One text under masked heads: what is masked, what is read, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workbench.masking.masks import require_fitting
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.session.actions import Listeners, action
from workbench.session.state import Heads, State, as_heads, require_text
from workbench.session.text_results import TextResults


class MaskedText:
    """The text of a session, read by its model with heads masked.

    Attributes:
        model: the model.
        history: the present state, with what can be undone and redone.
        results: what is computed of the text, and kept.
        listeners: who hears of each action.
        followers: are called with the states before and after a step, before the listeners are.
    """

    def __init__(self, results: TextResults, listeners: Listeners) -> None:
        """Go on from the present state.

        Args:
            results: of the text.
            listeners: of the session.
        """
        self.model, self.history = results.model, results.history
        self.results, self.listeners = results, listeners
        self.followers: list[Callable[[State, State], object]] = []

    @property
    def state(self) -> State:
        """The text, the masked heads and what they are compared with."""
        return self.history.state

    # ---- heads ------------------------------------------------------------------------------

    @action
    def mask(self, heads: Heads) -> None:
        """Mask exactly these heads.

        Args:
            heads: a HeadSet, text such as "L17H3 L18H6", or pairs.
        """
        self._become(heads=as_heads(heads, self.model))

    @action
    def toggle(self, heads: Heads) -> None:
        """Mask those of `heads` that are not masked, and unmask the others.

        Args:
            heads: as in `mask`.
        """
        self._become(heads=self.state.heads ^ as_heads(heads, self.model))

    @action
    def toggle_layer(self, layer: int) -> None:
        """Mask all heads of a layer, or unmask them if all are masked.

        Args:
            layer: its number.
        """
        line = HeadSet.of([(layer, head) for head in range(self.model.num_heads)], self.model)
        self._toggle_line(line)

    @action
    def toggle_head(self, head: int) -> None:
        """Mask the heads of one number in every layer, or unmask them if all are masked.

        Args:
            head: the number.
        """
        line = HeadSet.of([(site.layer, head) for site in self.model.sites], self.model)
        self._toggle_line(line)

    def _toggle_line(self, line: HeadSet) -> None:
        masked = self.state.heads
        self._become(heads=masked | line if line - masked else masked - line)

    @action
    def random(self, seed: int = 0) -> None:
        """Mask as many heads drawn at random from the others: a control of the same size.

        Called again, it draws another control for the same heads, not one for the control.

        Args:
            seed: of the draw.

        Raises:
            ValueError: no head is masked.
        """
        heads = self.state.control_of or self.state.heads
        if not heads:
            raise ValueError("no head is masked, so there is nothing to draw a control for")
        drawn = HeadSet.random(self.model, exclude=heads, seed=seed)
        self._become(heads=drawn, control_of=heads)

    @action
    def invert(self) -> None:
        """Mask what is not masked, and unmask what is."""
        self._become(heads=~self.state.heads)

    @action
    def clear(self) -> None:
        """Unmask all heads."""
        self._become(heads=HeadSet.of([], self.model))

    @action
    def set_mode(self, mode: Mode) -> None:
        """Choose what masked heads put out.

        Args:
            mode: "uniform" attention, "zero", or their "mean" output.
        """
        self._become(mode=mode, control_of=self.state.control_of)

    @action
    def compare_with(self, heads: Heads | None = None) -> None:
        """Show changes from the losses under other heads.

        Args:
            heads: as in `mask`; None: compare with the stock model.
        """
        self._become(against=as_heads(heads or (), self.model), control_of=self.state.control_of)

    # ---- text -------------------------------------------------------------------------------

    @action
    def read(self, text: str) -> None:
        """Look at another text.

        Args:
            text: at least one character that is no space.
        """
        self._become(text=require_text(text), window=0, control_of=self.state.control_of)

    @action
    def read_window(self, number: int) -> None:
        """Look at another window of a text that is longer than `max_tokens`.

        A window is read by itself: no token sees those of the windows before.

        Args:
            number: of the window, from 0.

        Raises:
            ValueError: the text has no such window.
        """
        windows = self.results.windows
        if not 0 <= number < windows:
            raise ValueError(
                f"no window {number}: this text has {windows}, of "
                f"{self.results.max_tokens:,} tokens each; give a number from 0"
            )
        self._become(window=number, control_of=self.state.control_of)

    # ---- history ----------------------------------------------------------------------------

    @action
    def undo(self) -> bool:
        """Take the last action back.

        Returns:
            False if there is none.
        """
        return self._step(self.history.undo)

    @action
    def redo(self) -> bool:
        """Do again what was undone last.

        Returns:
            False if there is nothing.
        """
        return self._step(self.history.redo)

    def _become(self, *, control_of: HeadSet | None = None, **changes: Any) -> None:
        require_fitting(self.model, None, changes.get("mode", self.state.mode))
        self._step(lambda: self.history.become(control_of=control_of, **changes))

    def _step(self, move: Callable[[], bool]) -> bool:
        before = self.state
        if not move():
            return False
        for follow in self.followers:
            follow(before, self.state)
        self.listeners.notify("state")
        if not self.state.has_effects_of(before):
            self.listeners.notify("colours")
        return True
