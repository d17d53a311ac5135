"""One text under masked heads: what is masked and read, the way back, and what the text loses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from workbench.masking.attention_rows import AttentionRow, When
from workbench.masking.effects import HeadEffects, Method
from workbench.masking.masks import require_fitting
from workbench.masking.token_changes import TokenChanges, TokenPrediction
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.step_scores import Steps, split_steps, steps_of
from workbench.session.actions import Listeners, action
from workbench.session.head_choices import control_for, toggled
from workbench.session.state import Heads, History, State, as_heads, require_text
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

    def __init__(
        self, model: Model, state: State, results: TextResults, listeners: Listeners
    ) -> None:
        """Begin with a state.

        Args:
            model: the model.
            state: the first state.
            results: of the model.
            listeners: of the session.
        """
        self.model, self.history = model, History(state)
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
        self._become(heads=toggled(self.state.heads, line))

    @action
    def toggle_head(self, head: int) -> None:
        """Mask the heads of one number in every layer, or unmask them if all are masked.

        Args:
            head: the number.
        """
        line = HeadSet.of([(site.layer, head) for site in self.model.sites], self.model)
        self._become(heads=toggled(self.state.heads, line))

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
        self._become(heads=control_for(heads, self.model, seed), control_of=heads)

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

    @property
    def windows(self) -> int:
        """How many windows of `max_tokens` tokens the text has."""
        return self.results.windows(self.state.text)

    @action
    def read_window(self, number: int) -> None:
        """Look at another window of a text that is longer than `max_tokens`.

        A window is read by itself: no token sees those of the windows before.

        Args:
            number: of the window, from 0.

        Raises:
            ValueError: the text has no such window.
        """
        if not 0 <= number < self.windows:
            raise ValueError(
                f"no window {number}: this text has {self.windows}, of "
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

    # ---- what the text loses ----------------------------------------------------------------

    def ids(self) -> tuple[int, ...]:
        """The tokens of the text that are read.

        Returns:
            Token ids, without special tokens.
        """
        return self.results.ids(self.state.text, self.state.window)

    def changes(self, state: State | None = None) -> TokenChanges:
        """The losses of every token under the set compared with and under the masked heads.

        Args:
            state: an earlier one than the present; None: the present one.

        Returns:
            Losses in nats, with the tokens.
        """
        return self.results.changes(state or self.state)

    def steps(self, by: Steps = "blank line") -> pd.DataFrame:
        """The change of each step of the text that is read, such as those of a worked solution.

        Of a text that is read in windows, the steps of the present one.

        Args:
            by: "blank line", "sentence", or a function from the text to its pieces.

        Returns:
            One row a step: step, start, end (characters), tokens, loss_base and loss_ref (nats,
            summed, under the set compared with and under the masked heads), change, rise, weight.

        Raises:
            ValueError: there is no such way to cut, or the pieces are not the text.
        """
        losses = self.changes()
        read = self.results.stretch(self.state.text, self.state.window)
        return steps_of(losses.pieces, losses.before, losses.after, split_steps(read, by))

    def predictions(
        self, token: int, count: int = 5, state: State | None = None
    ) -> tuple[list[TokenPrediction], list[TokenPrediction]]:
        """The most probable tokens in the place of one token, before and after.

        Args:
            token: its number in the text.
            count: how many tokens.
            state: an earlier one than the present; None: the present one.

        Returns:
            The predictions under the set compared with, and under the masked heads, the most
            probable first.

        Raises:
            ValueError: the token has no prediction.
        """
        return self.results.predictions(state or self.state, token, count)

    def looks(
        self,
        token: int,
        heads: Heads | None = None,
        state: State | None = None,
        when: When = "predicted",
    ) -> tuple[AttentionRow, AttentionRow]:
        """Where heads look from one token, before and after (`attention_row`).

        Args:
            token: its number in the text.
            heads: whose attention is wanted, as in `mask`; None: that of the masked heads.
            state: an earlier one than the present; None: the present one.
            when: "predicted" for the row that predicts the token, "read" for that of its own place.

        Returns:
            The rows under the set compared with, and under the masked heads.

        Raises:
            ValueError: there is no such row, or no head is named and none is masked.
        """
        return self.results.looks(state or self.state, token, heads, when)

    def needs(
        self,
        token: int | None = None,
        method: Method = "exact",
        on_layer: Callable[[int, np.ndarray], object] | None = None,
    ) -> HeadEffects:
        """Which heads a token needs: the loss rise when each head is masked alone.

        The rise is that over the stock model, whatever is masked in the session.

        Args:
            token: its number in the text; None: the whole text.
            method: "exact", or "gradient" for an estimate.
            on_layer: as in `head_effects`.

        Returns:
            The effects, in nats.
        """
        return self.results.needs(self.state, token, method, on_layer)
