"""A session with one model: one state behind notebook cell, widget and test.

Every action of the interface is one method here, so whatever was clicked can be typed, and the
other way round. Actions change the state at once and notify the listeners; what is computed
from the state (losses, predictions, maps) is computed when asked for, and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.detection.masking_curves import masking_curve
from workbench.detection.probes import Probes, make_probes
from workbench.detection.report import HeadReport
from workbench.detection.report_measurements import head_report
from workbench.detection.retrieval import retrieval_scores
from workbench.detection.shipped import shipped_probes_of
from workbench.masking.attention_rows import AttentionRow, When
from workbench.masking.effects import HeadEffects, Method
from workbench.masking.masks import require_fitting
from workbench.masking.reference import require_max_tokens
from workbench.masking.token_changes import TokenChanges, TokenPrediction
from workbench.models.attention_hook import Mode
from workbench.models.head_scores import HeadScores, as_head_scores
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.step_influence import Steps, split_steps, steps_of
from workbench.selection.ranking import SCORE, By, Selection
from workbench.session.actions import Listeners, action
from workbench.session.changed_texts import ChangedTexts, changed_texts
from workbench.session.code_export import session_code
from workbench.session.head_choices import control_for, highest, toggled
from workbench.session.head_colours import (
    METHODS,
    NEED,
    RETRIEVAL,
    HeadColours,
    Palette,
    streaming_map,
)
from workbench.session.scored_corpus import ScoredCorpus
from workbench.session.state import Heads, History, State, as_heads, require_text
from workbench.session.text_results import MAX_TOKENS, TextResults

PROBE_TOKENS = 768
SAMPLE = (
    "Bring seven candles, a copper kettle, two violins and the blue umbrella. "
    "I repeat: bring seven candles, a copper kettle, two violins and the blue umbrella."
)


class Session:
    """One person's work with one model.

    Actions may come from several threads.

    Attributes:
        model: the model.
        scores: of the heads, or None (`use_scores`).
        corpus: the scored corpus, or None.
        probes: that the heads were scored on, by `detect` or in the package; None: not known.
        report: what `check_heads` said of these scores, or None.
        document: id of the opened document, or None.
        position: its position in the corpus, or None.
        palette: what the heads are coloured by, and the token that was asked about.
        history: the present state, with what can be undone and redone.
    """

    def __init__(
        self,
        model: Model,
        text: str = SAMPLE,
        heads: Heads | None = None,
        *,
        scores: HeadScores | pd.DataFrame | None = None,
        mode: Mode = "uniform",
        max_tokens: int = MAX_TOKENS,
        memory: int | None = None,
    ) -> None:
        """Begin with a text and a head set.

        Args:
            model: what `load_model` or `from_transformers` returned.
            text: what is looked at.
            heads: what is masked: a HeadSet, text such as "L17H3 L18H6", or (layer, head) pairs;
                None: no head.
            scores: of all heads (`retrieval_scores`), or a frame with layer, head, score; None:
                there are none yet.
            mode: what masked heads put out: "uniform" attention, "zero", or their "mean" output.
            max_tokens: how many tokens of a text are read to look at it.
            memory: bytes for stored residual streams of its own; None: it shares those of all
                sessions with the model.

        Raises:
            TypeError: `model` is no Model, `text` no string, or `heads` no heads.
            ValueError: the text is empty, or the heads do not fit the model or the mode.
        """
        if not isinstance(model, Model):
            raise TypeError(
                f"a session needs a Model, got {type(model).__name__}: make one with load_model() "
                "or from_transformers(hf, tokenizer)"
            )
        require_max_tokens(max_tokens)
        chosen = as_heads(heads if heads is not None else (), model)
        require_fitting(model, chosen, mode)
        self.model = model
        self.history = History(State(require_text(text), chosen, mode, HeadSet.of([], model)))
        self.scores: HeadScores | None = None
        self.probes: Probes | None = None
        self.report: HeadReport | None = None
        self.palette = Palette(model)
        self.corpus: ScoredCorpus | None = None
        self.document: str | None = None
        self.position: int | None = None
        self._text_results = TextResults(model, max_tokens, memory)
        self._listeners = Listeners()
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
        """How many tokens of a text are read."""
        return self._text_results.max_tokens

    def code(self, text_file: str | None = None) -> str:
        """Python that rebuilds the present state; it runs.

        Args:
            text_file: a file that holds the text, which the code then reads; None: the text stands
                in the code.

        Returns:
            The lines.
        """
        asked = self.palette.token if self.palette.colour_by == NEED else None
        return session_code(
            self.model, self.state, corpus=self.corpus, document=self.document,
            position=self.position, max_tokens=self.max_tokens,
            scored_heads=self.scores is not None, asked_token=asked,
            text_file=text_file,
        )  # fmt: skip

    @property
    def state(self) -> State:
        """The text, the masked heads and what they are compared with."""
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
        """Call a function after each action.

        Args:
            listener: is called after each action with what changed: "state", "document", "scores",
                "colours", "corpus", "cut" or "columns" (of the corpus).

        Returns:
            What ends that, when it is called.
        """
        return self._listeners.add(listener)

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
        self._become(heads=self.heads ^ as_heads(heads, self.model))

    @action
    def toggle_layer(self, layer: int) -> None:
        """Mask all heads of a layer, or unmask them if all are masked.

        Args:
            layer: its number.
        """
        line = HeadSet.of([(layer, head) for head in range(self.model.num_heads)], self.model)
        self._become(heads=toggled(self.heads, line))

    @action
    def toggle_head(self, head: int) -> None:
        """Mask the heads of one number in every layer, or unmask them if all are masked.

        Args:
            head: the number.
        """
        line = HeadSet.of([(site.layer, head) for site in self.model.sites], self.model)
        self._become(heads=toggled(self.heads, line))

    def top(self, count: int, *, by: str | None = None, allow_ties: bool = False) -> None:
        """Mask the heads of highest value.

        Args:
            count: how many.
            by: one of `palette.names`, computed if need be; None: the retrieval score.
            allow_ties: as in `HeadSet.top`: what happens if the next head has the same value.

        Raises:
            ValueError: no head has a score yet, `count` is out of range, heads tie at the cut, or
                there are no colours of this name.
        """
        if by in (None, RETRIEVAL):
            scores = self._scores()
        else:
            scores = as_head_scores(self.colours(name=by).frame())
        self.mask(highest(scores, count, allow_ties))

    @action
    def random(self, seed: int = 0) -> None:
        """Mask as many heads drawn at random from the others: a control of the same size.

        Called again, it draws another control for the same heads, not one for the control.

        Args:
            seed: of the draw.

        Raises:
            ValueError: no head is masked.
        """
        heads = self.state.control_of or self.heads
        self._become(heads=control_for(heads, self.model, seed), control_of=heads)

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
        return self._text_results.windows(self.text)

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
                f"no window {number}: this text has {self.windows}, of {self.max_tokens:,} tokens "
                "each; give a number from 0"
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
        require_fitting(self.model, None, changes.get("mode", self.mode))
        self._step(lambda: self.history.become(control_of=control_of, **changes))

    def _step(self, move: Callable[[], bool]) -> bool:
        before = self.state
        if not move():
            return False
        if before.text != self.text:
            self.document = self.position = None
        now = self.state
        recolour = (before.text, before.window, before.mode) != (now.text, now.window, now.mode)
        if recolour:
            self.palette.text_changed()
        self._listeners.notify("state")
        if recolour:
            self._listeners.notify("colours")
        return True

    # ---- what the text loses ----------------------------------------------------------------

    def ids(self) -> tuple[int, ...]:
        """The tokens of the text that are read.

        Returns:
            Token ids, without special tokens.
        """
        return self._text_results.ids(self.text, self.state.window)

    def changes(self, state: State | None = None) -> TokenChanges:
        """The losses of every token under the set compared with and under the masked heads.

        Args:
            state: an earlier one than the present; None: the present one.

        Returns:
            Losses in nats, with the tokens.
        """
        return self._text_results.changes(state or self.state)

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
        read = self._text_results.stretch(self.text, self.state.window)
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
        return self._text_results.predictions(state or self.state, token, count)

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
        return self._text_results.looks(state or self.state, token, heads, when)

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
        return self._text_results.needs(self.state, token, method, on_layer)

    # ---- scores and colours of heads --------------------------------------------------------

    def detect(self, probes: int = 16, max_tokens: int | None = None, seed: int = 0) -> HeadScores:
        """Score all heads on fresh lookup probes (`retrieval_scores`), and use the scores.

        Args:
            probes: how many.
            max_tokens: tokens of a probe, at most; None: 768, or as many as the model reads.
            seed: of the probes.

        Returns:
            What `retrieval_scores` returns.
        """
        most = min(PROBE_TOKENS, self.model.context) if max_tokens is None else max_tokens
        made = make_probes(self.model, n=probes, max_tokens=most, seed=seed)
        scores = retrieval_scores(self.model, made)
        self.use_scores(scores)
        self.probes = made
        return scores

    def check_heads(self) -> HeadReport:
        """Say how far the top 5 % of the heads can be trusted (`head_report`); takes minutes.

        It goes on from `probes`, and is kept as `report` until other scores come.

        Returns:
            The report, with its verdict.

        Raises:
            ValueError: the heads were not scored here, so their probes are not known.
        """
        if self.probes is None or self.scores is None:
            raise ValueError(
                "the check goes on from lookup probes: find the heads here first "
                "(session.detect()), or call wb.head_report(scores, model, probes) with your own"
            )
        scores = self.scores
        report = head_report(scores, self.model, self.probes, allow_ties=True)
        if self.scores is scores:
            self.report = report
            self._listeners.notify("scores")
        return report

    @action
    def use_scores(self, scores: HeadScores | pd.DataFrame) -> None:
        """Rank and colour heads by their scores.

        Args:
            scores: of every head of the model, or a frame with layer, head and score.

        Raises:
            ValueError: the heads are not those of the model.
        """
        scores = as_head_scores(scores)
        require_fitting(self.model, HeadSet.top(scores, allow_ties=True), self.mode)
        self.palette.columns[RETRIEVAL] = HeadColours.of(scores.frame, self.model, name=RETRIEVAL)
        self.scores, self.report = scores, None
        self.probes = shipped_probes_of(scores, self.model)
        self._listeners.notify("scores")
        self.colour_by(RETRIEVAL)

    @action
    def add_columns(self, frame: pd.DataFrame) -> list[str]:
        """Offer the numeric columns of a frame as colours.

        Args:
            frame: layer, head and further columns.

        Returns:
            The names of the new colours.

        Raises:
            ValueError: there is no numeric column, a name is taken, or a head has several rows.
        """
        names = self.palette.add(frame)
        self._listeners.notify("colours")
        return names

    @action
    def colour_by(self, name: str) -> None:
        """Colour heads by another value.

        Args:
            name: one of `palette.names`.

        Raises:
            ValueError: there are no colours of this name.
        """
        self.palette.choose(name)
        self._listeners.notify("colours")

    @action
    def ask(self, token: int) -> None:
        """Ask which heads a token of the text needs; `colours` gives the answer.

        Args:
            token: its number in the text.

        Raises:
            ValueError: the token is not predicted in the first pass through the model.
        """
        self._text_results.require_askable(self.state, token)
        self.palette.token = token
        self.colour_by(NEED)

    def colours(
        self,
        on_progress: Callable[[HeadColours], object] | None = None,
        name: str | None = None,
    ) -> HeadColours:
        """The value of every head, computed if need be.

        Args:
            on_progress: is called with an exact map of effects as it grows, from the last layer
                downwards; None: nothing is called.
            name: one of `palette.names`; None: the present colouring.

        Returns:
            One value a head, with its scale.

        Raises:
            ValueError: there are no colours of this name.
        """
        with self._listeners.lock:
            name = name or self.palette.colour_by
            self.palette.require(name)
            columns, state = self.palette.columns, self.state
            token = self.palette.token if name == NEED else None
        if name in columns:
            return columns[name]
        on_layer = None if on_progress is None else streaming_map(self.model, name, on_progress)
        return HeadColours.of_effects(
            self._text_results.needs(state, token, METHODS[name], on_layer)
        )

    def known_colours(self) -> dict[str, HeadColours]:
        """The values of heads that are there without computing anything.

        Returns:
            Name, one of `palette.names`, to values: those of the present text and mode.
        """
        with self._listeners.lock:
            palette, state = self.palette, self.state
            known = dict(palette.columns)
            for name, method in METHODS.items():
                token = palette.token if name == NEED else None
                if name in palette.names:
                    effects = self._text_results.known_needs(state, token, method)
                    if effects is not None:
                        known[name] = HeadColours.of_effects(effects)
        return known

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

        Args:
            texts: whose loss is measured; none: the text that is looked at.
            probes: how many fresh ones.
            sizes: how many heads are masked, one point each; None: as in `masking_curve`.
            draws: random orders beside the detected one.
            state: an earlier one than the present, whose text and mode are meant; None: the present
                one.

        Returns:
            What `masking_curve` returns.

        Raises:
            ValueError: no head has a score yet.
        """
        scores = self._scores()
        length = min(560, self.model.context)
        made = make_probes(self.model, n=probes, max_tokens=length, seed=1)
        now = state or self.state
        return masking_curve(
            self.model, scores, made, texts or [now.text], sizes=sizes, draws=draws,
            mode=now.mode, max_tokens=self.max_tokens,
        )  # fmt: skip

    def _scores(self) -> HeadScores:
        if self.scores is None:
            raise ValueError("no head has a score yet: call session.detect(), or use_scores(frame)")
        return self.scores

    # ---- corpus -----------------------------------------------------------------------------

    def score(
        self,
        corpus: Any,
        out: str | Path | None = None,
        *,
        state: State | None = None,
        **options: Any,
    ) -> ScoredCorpus:
        """Score a corpus under the masked heads (`score_corpus`), and look through it.

        Args:
            corpus: as in `score_corpus`.
            out: the folder of the run; None: it is not kept.
            state: an earlier one than the present, whose heads and mode are meant; None: the
                present one.
            **options: further options of `score_corpus`.

        Returns:
            The scored corpus, which is that of the session from now on.
        """
        now = state or self.state
        return self._take(
            ScoredCorpus.score(self.model, now.heads, corpus, out, mode=now.mode, **options)
        )

    def load(self, folder: str | Path, corpus: Any = None, **columns: Any) -> ScoredCorpus:
        """Take up a finished run.

        Args:
            folder: of the run.
            corpus: what it scored, to open its documents; None: they cannot be opened.
            **columns: id, text and domain: names of the columns of the corpus.

        Returns:
            The scored corpus, which is that of the session from now on.
        """
        return self._take(ScoredCorpus.load(folder, corpus, **columns))

    def open(self, document: int | str) -> None:
        """Look at a document of the scored corpus.

        Args:
            document: its position or id.

        Raises:
            ValueError: there is no scored corpus, or several documents have this id.
            KeyError: no document has this id.
            IndexError: there is no such position.
            CorpusError: the corpus is not at hand or holds another text by now.
        """
        corpus = self._corpus()
        position = corpus.position(document)
        opened = corpus.document(position)  # may take a while, and the session goes on meanwhile
        with self._listeners.lock:
            self.read(opened.text)
            self.document, self.position = opened.doc_id, position
            self._listeners.notify("document")

    @action
    def cut(self, fraction: float = 0.20, by: By = "documents", by_score: str = SCORE) -> Selection:
        """Choose the top share of each domain of the scored corpus.

        Args:
            fraction: the share, above 0 and at most 1.
            by: "documents" or "tokens": what it is a share of.
            by_score: the column to rank by, as in `select`; the paper's score unless given.

        Returns:
            The selection.

        Raises:
            ValueError: there is no scored corpus, the share is out of range, or no document can be
                ranked by the column.
        """
        selection = self._corpus().cut(fraction, by, by_score)
        self._listeners.notify("cut")
        return selection

    def change_texts(
        self,
        count: int = 24,
        positions: Sequence[int] | np.ndarray | None = None,
        seed: int = 0,
    ) -> ChangedTexts:
        """What the scores listen to: some documents are changed, and both are scored again.

        Their sentences are shuffled, their second half swapped, names renamed, the first half
        repeated, a licence put in front (`counterfactuals`); six texts are scored for each.

        Args:
            count: how many documents of the scored corpus to draw.
            positions: to draw from; None: all.
            seed: of all draws.

        Returns:
            The paired response of every column of the scores.

        Raises:
            ValueError: there is no scored corpus, too few documents, or another model scored them.
            CorpusError: the texts of the corpus are not at hand.
        """
        return changed_texts(
            self.model, self._corpus(), self.state, count, positions, seed=seed
        )  # fmt: skip

    def measure_boilerplate(self) -> None:
        """Count which n-grams of the scored corpus stand in several documents, as a new column.

        Raises:
            ValueError: there is no scored corpus.
            CorpusError: the texts of the corpus are not at hand.
        """
        corpus = self._corpus()
        corpus.measure_boilerplate()
        with self._listeners.lock:
            if corpus is self.corpus:
                self._listeners.notify("columns")

    def export(self, folder: str | Path | None = None, **options: Any) -> Path:
        """Write the manifest of the present cut.

        Args:
            folder: where to; None: the folder of the run.
            **options: as in `write_manifest`.

        Returns:
            The path of the manifest.

        Raises:
            ValueError: there is no scored corpus, or no folder to write to.
        """
        return self._corpus().export(folder, **options)

    def _take(self, corpus: ScoredCorpus) -> ScoredCorpus:
        with self._listeners.lock:
            self.corpus = corpus
            self.document = self.position = None  # it was one of the corpus before
            self._listeners.notify("corpus")
        return corpus

    def _corpus(self) -> ScoredCorpus:
        if self.corpus is None:
            raise ValueError(
                "no corpus is scored yet: call session.score(corpus, out='run/') or "
                "session.load('run/', corpus)"
            )
        return self.corpus
