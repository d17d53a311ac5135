"""The corpus that a session scored: taken up, cut, changed on purpose, its documents opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.selection.ranking import SCORE, By, Selection
from workbench.session.actions import action
from workbench.session.corpus.changed_texts import ChangedTexts, changed_texts
from workbench.session.corpus.filters import Filters
from workbench.session.corpus.placed_cut import Exclude
from workbench.session.corpus.scored_corpus import ScoredCorpus
from workbench.session.masked_text import MaskedText
from workbench.session.state import State


class SessionCorpus:
    """The scored corpus of a session, and which of its documents is open.

    Attributes:
        scored: the scored corpus, or None.
        document: id of the opened document, or None.
        position: its position in the corpus, or None.
        whole: whether all of the document is shown, where only a part of it was read; None: there
            is no such document.
        listeners: who hears of each action.
    """

    def __init__(self, text: MaskedText) -> None:
        """Begin without a corpus.

        Args:
            text: where documents are opened, and whose masked heads score.
        """
        self.scored: ScoredCorpus | None = None
        self.document: str | None = None
        self.position: int | None = None
        self.whole: bool | None = None
        self.listeners = text.listeners
        self._text = text
        text.followers.append(self._follow)

    def _follow(self, before: State, now: State) -> None:
        if before.text != now.text:
            self._close()

    def _close(self) -> None:
        self.document = self.position = self.whole = None

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
        now = state or self._text.state
        return self._take(
            ScoredCorpus.score(self._text.model, now.heads, corpus, out, mode=now.mode, **options)
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

    def open(self, document: int | str, whole: bool = False) -> None:
        """Look at what was read of a document of the scored corpus.

        Args:
            document: its position or id.
            whole: look at all of the document, also where only a part of it was read.

        Raises:
            ValueError: there is no scored corpus, or several documents have this id.
            KeyError: no document has this id.
            IndexError: there is no such position.
            CorpusError: the corpus is not at hand or holds another text by now.
        """
        corpus = self._corpus()
        position = corpus.position(document)
        opened = corpus.document(position)  # may take a while, and the session goes on meanwhile
        read = corpus.part_read(position, opened.text)
        in_part = read != opened.text and not read.isspace()
        with self.listeners.lock:
            self._text.read(read if in_part and not whole else opened.text)
            self.document, self.position = opened.doc_id, position
            self.whole = whole if in_part else None
            self.listeners.notify("document")

    @action
    def cut(
        self,
        fraction: float = 0.20,
        by: By = "documents",
        by_score: str = SCORE,
        exclude: Exclude = None,
        among: Filters | None = None,
    ) -> Selection:
        """Choose the top share of each domain of the scored corpus.

        Args:
            fraction: the share, above 0 and at most 1.
            by: "documents" or "tokens": what it is a share of.
            by_score: the column to rank by, as in `select`; the paper's score unless given.
            exclude: what `funnel` gave, or its file, whose documents are left out, as in `select`;
                None: none.
            among: what documents have to pass to be ranked, such as {"domain": "code", "ranges":
                {"loss_base": (2, 3)}} (`workbench.session.corpus.filters`); None: all are ranked.

        Returns:
            The selection.

        Raises:
            ValueError: there is no scored corpus, the share is out of range, no document can be
                ranked by the column or passes the filters, a filter is of the rank or the margin,
                it is no file of a funnel, or the funnel saw other texts or leaves nothing.
        """
        selection = self._corpus().cut(fraction, by, by_score, exclude, among)
        self.listeners.notify("cut")
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
            self._text.model, self._corpus(), self._text.state, count, positions, seed=seed
        )  # fmt: skip

    def measure_boilerplate(self) -> None:
        """Count which n-grams of the scored corpus stand in several documents, as a new column.

        Raises:
            ValueError: there is no scored corpus.
            CorpusError: the texts of the corpus are not at hand.
        """
        corpus = self._corpus()
        corpus.measure_boilerplate()
        with self.listeners.lock:
            if corpus is self.scored:
                self.listeners.notify("columns")

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
        with self.listeners.lock:
            self.scored = corpus
            self._close()  # it was one of the corpus before
            self.listeners.notify("corpus")
        return corpus

    def _corpus(self) -> ScoredCorpus:
        if self.scored is None:
            raise ValueError(
                "no corpus is scored yet: call session.score(corpus, out='run/') or "
                "session.load('run/', corpus)"
            )
        return self.scored
