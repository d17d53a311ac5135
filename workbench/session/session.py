"""A session with one model: one state behind notebook cell, widget and test.

Every action of the interface is one method here, so whatever was clicked can be typed, and the
other way round. Actions change the state at once and notify the listeners; what is computed
from the state (losses, predictions, maps) is computed when asked for, and kept.

The methods are those of the parts of a session: its text under masked heads (`MaskedText`), what
is known of each head (`HeadValues`), and the corpus that it scored (`SessionCorpus`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pandas as pd

from workbench.detection.probes import Probes
from workbench.detection.report import HeadReport
from workbench.masking.masks import require_fitting
from workbench.masking.reference import require_max_tokens
from workbench.models.attention_hook import Mode
from workbench.models.head_scores import HeadScores
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.session.actions import Listeners
from workbench.session.code_export import session_code
from workbench.session.corpus.scored_corpus import ScoredCorpus
from workbench.session.corpus.session_corpus import SessionCorpus
from workbench.session.head_colours import NEED, Palette
from workbench.session.head_values import HeadValues
from workbench.session.masked_text import MaskedText
from workbench.session.parts import of_part
from workbench.session.state import Heads, History, State, as_heads, require_text
from workbench.session.text_results import MAX_TOKENS, TextResults

SAMPLE = (
    "Bring seven candles, a copper kettle, two violins and the blue umbrella. "
    "I repeat: bring seven candles, a copper kettle, two violins and the blue umbrella."
)


class Session:
    """One person's work with one model.

    Actions may come from several threads.

    Attributes:
        model: the model.
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
        self._listeners = Listeners()
        state = State(require_text(text), chosen, mode, HeadSet.of([], model))
        self._results = TextResults(model, History(state), max_tokens, memory)
        self._text = MaskedText(self._results, self._listeners)
        self._values = HeadValues(self._text)
        self._corpus = SessionCorpus(self._text)
        if scores is not None:
            self.use_scores(scores)

    def __repr__(self) -> str:
        return (
            f"<Session with {self.model.source}: {len(self.heads)} of "
            f"{self.model.head_count} heads masked ({self.mode}), a text of "
            f"{len(self.state.text):,} characters>"
        )

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
            position=self.position, whole=bool(self.whole), max_tokens=self.max_tokens,
            scored_heads=self.scores is not None, asked_token=asked,
            text_file=text_file,
        )  # fmt: skip

    def on_change(self, listener: Callable[[str], object]) -> Callable[[], None]:
        """Call a function after each action.

        Args:
            listener: is called after each action with what changed: "state", "document", "scores",
                "colours", "corpus", "cut" or "columns" (of the corpus).

        Returns:
            What ends that, when it is called.
        """
        return self._listeners.add(listener)

    @property
    def lock(self) -> AbstractContextManager[bool]:
        """Is held by each action and its listeners.

        Whoever holds it, sees one state, and shows it before the listeners show the next one.
        """
        return self._listeners.lock

    # ---- one text under masked heads --------------------------------------------------------

    @property
    def max_tokens(self) -> int:
        """How many tokens of a text are read."""
        return self._results.max_tokens

    @property
    def history(self) -> History:
        """The present state, with what can be undone and redone."""
        return self._text.history

    @property
    def state(self) -> State:
        """The text, the masked heads and what they are compared with."""
        return self._text.state

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

    @property
    def windows(self) -> int:
        """How many windows of `max_tokens` tokens the text has."""
        return self._results.windows

    mask = of_part("_text", MaskedText.mask)
    toggle = of_part("_text", MaskedText.toggle)
    toggle_layer = of_part("_text", MaskedText.toggle_layer)
    toggle_head = of_part("_text", MaskedText.toggle_head)
    random = of_part("_text", MaskedText.random)
    invert = of_part("_text", MaskedText.invert)
    clear = of_part("_text", MaskedText.clear)
    set_mode = of_part("_text", MaskedText.set_mode)
    compare_with = of_part("_text", MaskedText.compare_with)
    read = of_part("_text", MaskedText.read)
    read_window = of_part("_text", MaskedText.read_window)
    undo = of_part("_text", MaskedText.undo)
    redo = of_part("_text", MaskedText.redo)
    ids = of_part("_results", TextResults.ids)
    changes = of_part("_results", TextResults.changes)
    steps = of_part("_results", TextResults.steps)
    predictions = of_part("_results", TextResults.predictions)
    looks = of_part("_results", TextResults.looks)
    needs = of_part("_results", TextResults.needs)

    # ---- scores and colours of heads --------------------------------------------------------

    @property
    def scores(self) -> HeadScores | None:
        """Of the heads (`use_scores`), or None."""
        return self._values.scores

    @property
    def probes(self) -> Probes | None:
        """That the heads were scored on, by `detect` or in the package; None: not known."""
        return self._values.probes

    @property
    def report(self) -> HeadReport | None:
        """What `check_heads`, or the package, says of these scores, or None."""
        return self._values.report

    @property
    def palette(self) -> Palette:
        """What the heads are coloured by, and the token that was asked about."""
        return self._values.palette

    detect = of_part("_values", HeadValues.detect)
    check_heads = of_part("_values", HeadValues.check_heads)
    use_scores = of_part("_values", HeadValues.use_scores)
    add_columns = of_part("_values", HeadValues.add_columns)
    colour_by = of_part("_values", HeadValues.colour_by)
    ask = of_part("_values", HeadValues.ask)
    colours = of_part("_values", HeadValues.colours)
    known_colours = of_part("_values", HeadValues.known_colours)
    curve = of_part("_values", HeadValues.curve)
    top = of_part("_values", HeadValues.top)

    # ---- corpus -----------------------------------------------------------------------------

    @property
    def corpus(self) -> ScoredCorpus | None:
        """The scored corpus, or None."""
        return self._corpus.scored

    @property
    def document(self) -> str | None:
        """Id of the opened document, or None."""
        return self._corpus.document

    @property
    def position(self) -> int | None:
        """Position of the opened document in the corpus, or None."""
        return self._corpus.position

    @property
    def whole(self) -> bool | None:
        """Whether all of the opened document is shown, where only a part of it was read.

        None where no such document is open.
        """
        return self._corpus.whole

    score = of_part("_corpus", SessionCorpus.score)
    load = of_part("_corpus", SessionCorpus.load)
    open = of_part("_corpus", SessionCorpus.open)
    cut = of_part("_corpus", SessionCorpus.cut)
    change_texts = of_part("_corpus", SessionCorpus.change_texts)
    measure_boilerplate = of_part("_corpus", SessionCorpus.measure_boilerplate)
    export = of_part("_corpus", SessionCorpus.export)
