"""What one text loses: computed from a state when asked for, and kept, so going back is instant.

Results belong to (weights, tokens, heads, mode, dtype): all of that is in their key.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

from workbench.masking.attention_rows import (
    AttentionRow,
    HeadQueries,
    When,
    head_queries,
    row_of,
)
from workbench.masking.effects import HeadEffects, Method, head_effects
from workbench.masking.residual_cache import ResidualCache, streams_of
from workbench.masking.token_changes import (
    TokenChanges,
    TokenPrediction,
    aligned,
    guesses,
    pieces_of,
)
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.identity import state_of
from workbench.models.model import Model
from workbench.session.state import Heads, State, as_heads

T = TypeVar("T")

MAX_TOKENS = 1024  # of a text that is looked at
KEPT = 512  # results
QUERIES = 1 << 27  # bytes of queries and keys, from which rows of attention are read


class TextResults:
    """Losses, predictions, attention and head effects of the text of a state, which are kept."""

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
        self._queries: OrderedDict[Hashable, HeadQueries] = OrderedDict()
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

    def looks(
        self, state: State, token: int, heads: Heads | None, when: When
    ) -> tuple[AttentionRow, AttentionRow]:
        """Where heads look from one token, before and after.

        Args:
            state: text, heads and mode.
            token: its number in the text.
            heads: whose attention is wanted; None: that of the masked heads.
            when: as in `attention_row`.

        Returns:
            The rows under the set compared with, and under the masked heads.

        Raises:
            TypeError: `heads` are no heads.
            ValueError: there is no such row, or no head is named and none is masked.
        """
        if heads is None and not state.heads:
            raise ValueError("no head is masked: name those that are meant, heads='L17H3'")
        chosen = state.heads if heads is None else as_heads(heads, self.model)
        every, pieces = self._encoded(state.text)
        ids = every[: self.max_tokens]

        def under(masked: HeadSet) -> AttentionRow:
            return row_of(
                self.model, ids, pieces[: len(ids)], token, when,
                lambda window: self._read(tuple(window), chosen, masked, state.mode),
            )  # fmt: skip

        return under(state.against), under(state.heads)

    def _read(
        self, window: tuple[int, ...], chosen: HeadSet, masked: HeadSet, mode: Mode
    ) -> HeadQueries:
        """Queries and keys of heads, kept while they fit: the next token is read without a pass."""
        key = (state_of(self.model), window, chosen, masked, mode if masked else "")
        with self._lock:
            if key in self._queries:
                self._queries.move_to_end(key)
                return self._queries[key]
        queries = head_queries(self.model, self._streams, window, chosen, masked, mode)
        with self._lock:
            self._queries[key] = queries
            while sum(kept.nbytes for kept in self._queries.values()) > QUERIES:
                self._queries.popitem(last=False)
        return queries

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
            # Its listener may stop it.
            whole=lambda effects: bool(np.isfinite(effects.effect).all()),
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

    def require_askable(self, text: str, token: int) -> None:
        """Require a token that `needs` can answer for.

        Args:
            text: any text.
            token: its number in the text.

        Raises:
            ValueError: the token is not predicted in the first window.
        """
        known = self.askable(text)
        if token not in known:
            raise ValueError(
                f"token must lie between {known.start} and {known.stop - 1}, the predicted tokens "
                f"of the first window; got {token}"
            )

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
