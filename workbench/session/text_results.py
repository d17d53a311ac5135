"""What one text loses: computed from a state when asked for, and kept, so going back is instant.

Results belong to (weights, tokens, heads, mode, dtype): all of that is in their key.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

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
    CONTINUED,
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
from workbench.scoring.step_scores import Steps, split_steps, steps_of
from workbench.session.state import Heads, History, State, as_heads

T = TypeVar("T")

MAX_TOKENS = 1024  # of a text that is looked at
KEPT = 512  # results
QUERIES = 1 << 27  # bytes of queries and keys, from which rows of attention are read


class TextResults:
    """Losses, predictions, attention and head effects of the text of a state, which are kept."""

    def __init__(self, model: Model, history: History, max_tokens: int, memory: int | None) -> None:
        """Begin without results.

        Args:
            model: that reads the texts.
            history: with the present state, whose text, heads and mode are meant.
            max_tokens: how many tokens of a text are read.
            memory: bytes for stored residual streams of its own; None: it shares those of all
                sessions with the model.
        """
        self.model, self.history, self.max_tokens = model, history, max_tokens
        self._streams = streams_of(model) if memory is None else ResidualCache(model, memory)
        self._results: OrderedDict[Hashable, Any] = OrderedDict()
        self._queries: OrderedDict[Hashable, HeadQueries] = OrderedDict()
        self._lock = threading.Lock()

    def ids(self, state: State | None = None) -> tuple[int, ...]:
        """The tokens of the text that are read.

        Args:
            state: an earlier one than the present; None: the present one.

        Returns:
            Token ids, without special tokens, at most `max_tokens`.
        """
        return self._read_of(state or self.history.state)[0]

    @property
    def windows(self) -> int:
        """How many windows of `max_tokens` tokens the text has.

        It is 1 where the tokenizer does not say where its tokens lie in the text.
        """
        text = self.history.state.text
        ids, pieces = self._encoded(text)
        count = -(-len(ids) // self.max_tokens)
        if count > 1 and _length(pieces) != len(text):
            return 1
        return max(count, 1)

    def _stretch(self, state: State) -> str:
        """The stretch of a text that lies in a window, which is read by itself.

        It is the whole text for the first window, of which the first `max_tokens` tokens are read.
        """
        if state.window == 0:
            return state.text
        _, pieces = self._encoded(state.text)
        first = state.window * self.max_tokens
        start = _length(pieces[:first])
        return state.text[start : start + _length(pieces[first : first + self.max_tokens])]

    def _read_of(self, state: State) -> tuple[tuple[int, ...], tuple[str, ...], int]:
        """Tokens and pieces that are read, and how many other tokens the text has."""
        ids, pieces = self._encoded(self._stretch(state))
        most = self.max_tokens
        left_out = len(self._encoded(state.text)[0]) - len(ids[:most])
        return ids[:most], pieces[:most], max(left_out, 0)

    def changes(self, state: State | None = None) -> TokenChanges:
        """The losses of every token under the set compared with and under the masked heads.

        Args:
            state: an earlier one than the present; None: the present one.

        Returns:
            Losses in nats, with the tokens.
        """
        state = state or self.history.state
        ids, pieces, left_out = self._read_of(state)
        before, after = (self._losses(ids, heads, state) for heads in (state.against, state.heads))
        return TokenChanges(pieces, ids, before, after, left_out)

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
        read = self._stretch(self.history.state)
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
        now = state or self.history.state
        ids = self.ids(now)

        def under(heads: HeadSet) -> list[TokenPrediction]:
            return self._kept(
                ("guesses", ids, token, count, heads, now.mode if heads else ""),
                lambda: guesses(self.model, self._streams, ids, token, heads, now.mode, count),
            )

        return under(now.against), under(now.heads)

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
            TypeError: `heads` are no heads.
            ValueError: there is no such row, or no head is named and none is masked.
        """
        now = state or self.history.state
        if heads is None and not now.heads:
            raise ValueError("no head is masked: name those that are meant, heads='L17H3'")
        chosen = now.heads if heads is None else as_heads(heads, self.model)
        ids, pieces, _ = self._read_of(now)

        def under(masked: HeadSet) -> AttentionRow:
            return row_of(
                self.model, ids, pieces, token, when,
                lambda window: self._read(tuple(window), chosen, masked, now.mode),
            )  # fmt: skip

        return under(now.against), under(now.heads)

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
        token: int | None = None,
        method: Method = "exact",
        on_layer: Callable[[int, np.ndarray], object] | None = None,
        state: State | None = None,
    ) -> HeadEffects:
        """Which heads a token needs: the loss rise when each head is masked alone.

        The rise is that over the stock model, whatever is masked in the session.

        Args:
            token: its number in the text; None: the whole text.
            method: "exact", or "gradient" for an estimate.
            on_layer: as in `head_effects`.
            state: an earlier one than the present; None: the present one.

        Returns:
            The effects, in nats.
        """
        now = state or self.history.state
        return self._kept(
            ("needs", self.ids(now), token, method, now.mode),
            lambda: head_effects(
                self.model, self._stretch(now), token=token, mode=now.mode, method=method,
                max_tokens=self._pass, on_layer=on_layer,
            ),
            # Its listener may stop it. Layers without heads have no value, and no row here.
            whole=lambda effects: bool(np.isfinite(effects.table()["score"]).all()),
        )  # fmt: skip

    def known_needs(self, token: int | None, method: Method) -> HeadEffects | None:
        """What `needs` would return without computing anything.

        Args:
            token: its number in the text; None: the whole text.
            method: "exact" or "gradient".

        Returns:
            The effects; None: they are not there yet.
        """
        now = self.history.state
        key = ("needs", self.ids(now), token, method, now.mode)
        with self._lock:
            return self._results.get((state_of(self.model), key))

    def require_askable(self, token: int) -> None:
        """Require a token that `needs` can answer for.

        Args:
            token: its number in the window.

        Raises:
            ValueError: the token is not predicted in the first pass.
        """
        first = max(1 - len(self.model.bos_ids), 0)
        known = range(first, min(len(self.ids()), self._pass))
        if token not in known:
            raise ValueError(
                f"token must lie between {known.start} and {known.stop - 1}, the predicted tokens "
                f"of the first pass through the model; got {token}"
            )

    @property
    def _pass(self) -> int:
        """Tokens that go through the model at once."""
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


def _length(pieces: Sequence[str]) -> int:
    """How many characters of the text some tokens stand for."""
    return sum(len(piece) for piece in pieces if piece != CONTINUED)
