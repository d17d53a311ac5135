"""What one text loses: computed from a state when asked for, and kept, so going back is instant.

Results belong to (weights, tokens, heads, mode, dtype): all of that is in their key.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

from workbench.masking.effects import HeadEffects, Method, head_effects
from workbench.masking.residual_cache import ResidualCache, streams_of
from workbench.masking.token_changes import (
    TokenChanges,
    TokenPrediction,
    aligned,
    guesses,
    pieces_of,
)
from workbench.models.heads import HeadSet
from workbench.models.identity import state_of
from workbench.models.model import Model
from workbench.session.state import State

T = TypeVar("T")

MAX_TOKENS = 1024  # of a text that is looked at
KEPT = 512  # results


class TextResults:
    """Losses, predictions and head effects of the text of a state; the results are kept."""

    def __init__(self, model: Model, max_tokens: int, memory: int | None) -> None:
        """Begin without results.

        Args:
            model: that reads the texts.
            max_tokens: how many tokens of a text are read.
            memory: bytes for stored residual streams of its own; None: it shares those of all
                sessions with the model.
        """
        self.model, self.max_tokens = model, max_tokens
        self._streams = streams_of(model) if memory is None else ResidualCache(model, memory)
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a text that are read.

        Args:
            text: any text.

        Returns:
            Token ids, without special tokens, at most `max_tokens`.
        """
        return self._encoded(text)[0][: self.max_tokens]

    def changes(self, state: State) -> TokenChanges:
        """The losses of every token under the set compared with and under the masked heads.

        Args:
            state: text, heads and mode.

        Returns:
            Losses in nats, with the tokens.
        """
        every, pieces = self._encoded(state.text)
        ids = every[: self.max_tokens]
        before, after = (self._losses(ids, heads, state) for heads in (state.against, state.heads))
        return TokenChanges(pieces[: len(ids)], ids, before, after, len(every) - len(ids))

    def predictions(
        self, state: State, token: int, count: int
    ) -> tuple[list[TokenPrediction], list[TokenPrediction]]:
        """The most probable tokens in the place of one token, before and after.

        Args:
            state: text, heads and mode.
            token: its number in the text.
            count: how many tokens.

        Returns:
            The predictions under the set compared with, and under the masked heads.

        Raises:
            ValueError: the token has no prediction.
        """
        ids = self.ids(state.text)

        def under(heads: HeadSet) -> list[TokenPrediction]:
            return self._kept(
                ("guesses", ids, token, count, heads, state.mode if heads else ""),
                lambda: guesses(self.model, self._streams, ids, token, heads, state.mode, count),
            )

        return under(state.against), under(state.heads)

    def needs(
        self,
        state: State,
        token: int | None,
        method: Method,
        on_layer: Callable[[int, np.ndarray], object] | None,
    ) -> HeadEffects:
        """The loss rise of a token when each head is masked alone.

        Args:
            state: text and mode.
            token: its number in the text; None: the whole text.
            method: "exact" or "gradient".
            on_layer: as in `head_effects`; None: nothing is called.

        Returns:
            The effects, in nats.
        """
        ids = self.ids(state.text)
        return self._kept(
            ("needs", ids, token, method, state.mode),
            lambda: head_effects(
                self.model, state.text, token=token, mode=state.mode, method=method,
                max_tokens=self._window, on_layer=on_layer,
            ),
            whole=lambda found: bool(np.isfinite(found.effect).all()),  # its listener may stop it
        )  # fmt: skip

    def known_needs(self, state: State, token: int | None, method: Method) -> HeadEffects | None:
        """What `needs` would return without computing anything.

        Args:
            state: text and mode.
            token: its number in the text; None: the whole text.
            method: "exact" or "gradient".

        Returns:
            The effects; None: they are not there yet.
        """
        key = ("needs", self.ids(state.text), token, method, state.mode)
        with self._lock:
            return self._results.get((state_of(self.model), key))

    def askable(self, text: str) -> range:
        """The tokens of a text that `needs` can answer for.

        Args:
            text: any text.

        Returns:
            Token numbers: those with a prediction in the first window.
        """
        first = max(1 - len(self.model.bos_ids), 0)
        return range(first, min(len(self.ids(text)), self._window))

    @property
    def _window(self) -> int:
        """Tokens of a text in its first window."""
        return min(self.max_tokens, self.model.context - len(self.model.bos_ids))

    def _losses(self, ids: tuple[int, ...], heads: HeadSet, state: State) -> np.ndarray:
        return self._kept(
            ("losses", ids, heads, state.mode if heads else ""),
            lambda: aligned(self.model, ids, self._streams.losses(ids, heads, state.mode)),
        )

    def _encoded(self, text: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
        def encode() -> tuple[tuple[int, ...], tuple[str, ...]]:
            ids = tuple(self.model.encode(text))
            return ids, pieces_of(self.model, text, ids)

        return self._kept(("text", text), encode)

    def _kept(
        self, key: Hashable, compute: Callable[[], T], whole: Callable[[T], bool] = lambda _: True
    ) -> T:
        """The result of `compute`, kept under `key` if it is `whole`.

        The least recently used go first.
        """
        key = (state_of(self.model), key)
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
        result = compute()
        if not whole(result):
            return result
        with self._lock:
            self._results[key] = result
            while len(self._results) > KEPT:
                self._results.popitem(last=False)
        return result
