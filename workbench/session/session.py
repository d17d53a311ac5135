"""A session at the bench: one state behind notebook cell, widget and test.

Every action of the interface is one method here, so whatever was clicked can be typed, and the
other way round. Actions change the state at once and tell it to whoever listens; what is computed
from the state (losses, predictions, maps) is computed when asked for, and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.detection.masking_curves import masking_curve
from workbench.detection.probes import make_probes
from workbench.detection.retrieval import retrieval_scores
from workbench.manifest.writing import write_manifest
from workbench.masking.effects import HeadEffects, Method
from workbench.masking.masks import require_fitting
from workbench.masking.reference import require_max_tokens
from workbench.masking.token_changes import Guess, TokenChanges
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.run import score_corpus
from workbench.selection.ranking import By, Selection
from workbench.session import code_export
from workbench.session.actions import Actions, Heads, action
from workbench.session.head_colours import METHODS, NEED, RETRIEVAL, HeadColours, growing
from workbench.session.history import State
from workbench.session.scored_corpus import ScoredCorpus
from workbench.session.text_results import MAX_TOKENS, TextView

SAMPLE = (
    "Bring seven candles, a copper kettle, two violins and the blue umbrella. "
    "I repeat: bring seven candles, a copper kettle, two violins and the blue umbrella."
)


class Session(Actions):
    """One person's work with one model.

    scores: a frame with layer, head, score (`retrieval_scores`), if there is one; max_tokens: how
    much of a text is read to look at it; memory: bytes for stored residual streams of its own;
    None: it shares those of all sessions with the model.
    Attributes to read: model, state, scores, corpus (a ScoredCorpus or None), document and position
    (the id of the opened document and its position in the corpus, or None), palette (what the heads
    are coloured by, and the token that was asked about).
    `on_change(listener)` calls listener(what) after each action, `what` being one of "state",
    "document", "scores", "colours", "corpus", "cut". Actions may come from several threads.
    """

    def __init__(
        self,
        model: Model,
        text: str = SAMPLE,
        heads: Heads | None = None,
        *,
        scores: pd.DataFrame | None = None,
        mode: Mode = "uniform",
        max_tokens: int = MAX_TOKENS,
        memory: int | None = None,
    ) -> None:
        if not isinstance(model, Model):
            raise TypeError(
                f"a session needs a Model, got {type(model).__name__}: make one with load_model() "
                "or from_transformers(hf, tokenizer)"
            )
        require_max_tokens(max_tokens)
        super().__init__(model, text, heads, mode)
        self.corpus: ScoredCorpus | None = None
        self._view = TextView(model, max_tokens, memory)
        if scores is not None:
            self.use_scores(scores)

    def __repr__(self) -> str:
        return (
            f"<Session with {self.model.source}: {len(self.heads)} of "
            f"{self.model.head_count} heads masked ({self.mode}), a text of "
            f"{len(self.state.text):,} characters>"
        )

    @property
    def max_tokens(self) -> int:
        """How much of a text is read."""
        return self._view.max_tokens

    def code(self) -> str:
        """Python that rebuilds the present state; it runs."""
        return code_export.code(self)

    # ---- what the text loses ----------------------------------------------------------------

    def ids(self) -> tuple[int, ...]:
        """The tokens of the text that are read."""
        return self._view.ids(self.text)

    def changes(self, state: State | None = None) -> TokenChanges:
        """The losses of every token under `against` and under the masked heads.

        state: an earlier one than the present.
        """
        return self._view.changes(state or self.state)

    def predictions(
        self, token: int, count: int = 5, state: State | None = None
    ) -> tuple[list[Guess], list[Guess]]:
        """The most probable tokens in the place of one token, before and after.

        state: an earlier one than the present.

        Raises ValueError for a token without a prediction.
        """
        return self._view.predictions(state or self.state, token, count)

    def needs(
        self,
        token: int | None = None,
        method: Method = "exact",
        on_layer: Callable[[int, np.ndarray], object] | None = None,
    ) -> HeadEffects:
        """Which heads this token needs (None: the whole text): the loss rise when each head is
        masked alone, against the stock model. on_layer as in `head_effects`."""
        return self._view.needs(self.state, token, method, on_layer)

    # ---- scores and colours of heads --------------------------------------------------------

    def detect(self, probes: int = 16, max_tokens: int = 768, seed: int = 0) -> pd.DataFrame:
        """Score all heads on fresh lookup probes (`retrieval_scores`)."""
        made = make_probes(self.model, n=probes, max_tokens=max_tokens, seed=seed)
        scores = retrieval_scores(self.model, made)
        self.use_scores(scores)
        return scores

    @action
    def use_scores(self, scores: pd.DataFrame) -> None:
        """Rank and colour heads by this frame of layer, head and score."""
        geometry = HeadSet.top(scores, allow_ties=True)
        require_fitting(self.model, geometry, self.mode)
        self.palette.columns[RETRIEVAL] = HeadColours.of(scores, self.model, name=RETRIEVAL)
        self.scores = scores
        self._tell("scores")
        self.colour_by(RETRIEVAL)

    @action
    def add_columns(self, frame: pd.DataFrame) -> list[str]:
        """Offer the numeric columns of a frame with layer and head as colours; their names."""
        names = self.palette.add(frame)
        self._tell("colours")
        return names

    @action
    def colour_by(self, name: str) -> None:
        """Colour heads by one of `palette.names`."""
        self.palette.choose(name)
        self._tell("colours")

    @action
    def ask(self, token: int) -> None:
        """Which heads does this token of the text need? `colours` gives the answer."""
        known = self._view.askable(self.text)
        if token not in known:
            raise ValueError(
                f"token must lie between {known.start} and {known.stop - 1}, the predicted tokens "
                f"of the first window; got {token}"
            )
        self.palette.token = token
        self.colour_by(NEED)

    def colours(self, hear: Callable[[HeadColours], object] | None = None) -> HeadColours:
        """The value of every head under the present colouring, computed if need be.

        hear: is handed an exact map of effects as it grows, from the last layer downwards.
        """
        with self._lock:
            name, columns, state = self.palette.chosen, self.palette.columns, self.state
            token = self.palette.token if name == NEED else None
        if name in columns:
            return columns[name]
        on_layer = None if hear is None else growing(self.model, name, hear)
        return HeadColours.of_effects(self._view.needs(state, token, METHODS[name], on_layer))

    def curve(
        self,
        texts: Sequence[str] = (),
        *,
        probes: int = 6,
        sizes: Sequence[int] | None = None,
        draws: int = 5,
        state: State | None = None,
    ) -> pd.DataFrame:
        """Loss and retrieval accuracy against the number of masked heads (`masking_curve`).

        probes: how many fresh ones; texts: default, the text that is looked at; state: an earlier
        one than the present.
        """
        if self.scores is None:
            raise ValueError("no head has a score yet: call session.detect(), or use_scores(frame)")
        length = min(560, self.model.context)
        made = make_probes(self.model, n=probes, max_tokens=length, seed=1)
        now = state or self.state
        return masking_curve(
            self.model, self.scores, made, texts or [now.text], sizes=sizes, draws=draws,
            mode=now.mode, max_tokens=self.max_tokens,
        )  # fmt: skip

    # ---- corpus -----------------------------------------------------------------------------

    def score(
        self,
        corpus: Any,
        out: str | Path | None = None,
        *,
        state: State | None = None,
        **options: Any,
    ) -> ScoredCorpus:
        """Score a corpus under the masked heads (`score_corpus`, which has the options).

        state: an earlier one than the present, whose heads and mode are meant.
        """
        now = state or self.state
        if not hasattr(corpus, "__len__") and not isinstance(corpus, str | Path):
            # It is read again when a document is opened.
            corpus = pa.table(corpus) if hasattr(corpus, "__arrow_c_stream__") else list(corpus)
        table = score_corpus(self.model, now.heads, corpus, out, mode=now.mode, **options)
        columns = {key: options[key] for key in ("id", "text", "domain") if key in options}
        return self._take(ScoredCorpus(table, corpus, out, **columns))

    def load(self, folder: str | Path, corpus: Any = None, **columns: Any) -> ScoredCorpus:
        """Take up a finished run and, to open its documents, the corpus that it scored."""
        return self._take(ScoredCorpus.load(folder, corpus, **columns))

    def open(self, document: int | str) -> None:
        """Look at a document of the scored corpus, given by position or id."""
        corpus = self._corpus()
        position = corpus.position(document) if isinstance(document, str) else document
        found = corpus.document(position)  # may take a while, and the session goes on meanwhile
        with self._lock:
            self.read(found.text)
            self.document, self.position = found.doc_id, position
            self._tell("document")

    @action
    def cut(self, fraction: float = 0.20, by: By = "documents") -> Selection:
        """Choose the top share of each domain of the scored corpus."""
        selection = self._corpus().cut(fraction, by)
        self._tell("cut")
        return selection

    def export(self, folder: str | Path | None = None, **options: Any) -> Path:
        """Write the manifest of the present cut (default: into the folder of the run).

        options: as in `write_manifest`.
        """
        corpus = self._corpus()
        folder = corpus.folder if folder is None else Path(folder)
        if folder is None:
            raise ValueError("the run was not kept in a folder: say where to, export('run/')")
        return write_manifest(corpus.selection, folder, **options)

    def _take(self, corpus: ScoredCorpus) -> ScoredCorpus:
        with self._lock:
            self.corpus = corpus
            self.document = self.position = None  # it was one of the corpus before
            self._tell("corpus")
        return corpus

    def _corpus(self) -> ScoredCorpus:
        if self.corpus is None:
            raise ValueError(
                "no corpus is scored yet: call session.score(corpus, out='run/') or "
                "session.load('run/', corpus)"
            )
        return self.corpus
