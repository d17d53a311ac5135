"""Documents as points: the score against what it may go along with, and a part of them chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w
import numpy as np
import pandas as pd

from widgets.own_changes import OwnChanges
from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.scatter import Scatter
from workbench.core.text import escape_control_characters, escaped
from workbench.session.corpus.columns import BOILERPLATE
from workbench.session.corpus.filters import Lasso
from workbench.session.corpus.scored_corpus import ScoredCorpus
from workbench.session.session import Session

FIRST = "loss_base"  # the confound that the score goes along with most often
HALF = {"flex": "1 1 0", "width": "auto", "min_width": "0"}
COUNTING = "counting boilerplate"


class ScatterPanel(w.VBox):
    """Draws the documents of a session, and hands those that the reader chooses to its owner."""

    def __init__(
        self,
        session: Session,
        status: StatusLine,
        queues: TaskQueues,
        on_choose: Callable[[Lasso | None], object],
        on_open: Callable[[int], object],
    ) -> None:
        """Empty until there is a scored corpus.

        Args:
            session: whose corpus is drawn.
            status: shows the errors.
            queues: do the work.
            on_choose: is called with the shape that was drawn; None: all are shown again.
            on_open: is called with the position of a document that was clicked.
        """
        self.session, self._queues, self._on_choose = session, queues, on_choose
        self._ours = OwnChanges()  # of the controls, which are set to what the corpus has
        self.across = w.Dropdown(layout=HALF, tooltip="What the horizontal axis shows")
        self.up = w.Dropdown(layout=HALF, tooltip="What the vertical axis shows")
        for control in (self.across, self.up):
            control.observe(status.guarded(lambda _: self._redraw()), "value")
        self.along = w.HTML()
        self.along.add_class("aiw-source")  # one line, cut where there is no room
        self.points = Scatter(status)
        self.points.on_select = status.guarded(self._select)
        self.points.on_open = status.guarded(on_open)
        self.boilerplate = w.Button(
            description="Boilerplate", icon="clone", layout={"width": "auto"},
            tooltip="Count which runs of 13 words of each document stand in two or more others: "
            "licences, banners, templates, which the model may know by heart; a column more",
        )  # fmt: skip
        self.note = Note()  # of no width while it says nothing
        self.boilerplate.on_click(status.guarded(lambda _: self._count(), self.note))
        axes = w.HBox([self.up, w.Label("against"), self.across, self.boilerplate])
        super().__init__(
            [axes, w.HBox([self.note, self.along]), self.points], layout={"display": "none"}
        )
        self._corpus: ScoredCorpus | None = None

    def show(self, on: bool) -> None:
        """Show or hide the points.

        Args:
            on: whether they are shown.
        """
        self.layout.display = "" if on else "none"
        self.renew()

    @property
    def showing(self) -> bool:
        """Whether the points are shown."""
        return self.layout.display != "none"

    def renew(self) -> None:
        """Show the corpus of the session, if it is another than before."""
        corpus = self.session.corpus
        if corpus is None or not self.showing or corpus is self._corpus:
            return
        self._corpus = corpus
        self.note.clear()
        self._offer(corpus, FIRST)
        self.along.value = ""
        self._correlate(corpus)

    def follow_columns(self) -> None:
        """Offer the columns that came since; boilerplate, if it did, is shown at once."""
        corpus = self._corpus
        if corpus is None or corpus is not self.session.corpus:
            return
        self._offer(corpus, BOILERPLATE if BOILERPLATE in corpus.numeric_columns else FIRST)
        self._correlate(corpus)

    def _offer(self, corpus: ScoredCorpus, across: str) -> None:
        names = [name for name in corpus.numeric_columns if name not in ("rank", "margin")]
        with self._ours.made():
            for control, first in ((self.across, across), (self.up, "score")):
                control.options, control.value = names, first
        self._draw()

    def _correlate(self, corpus: ScoredCorpus) -> None:
        self._queues.corpus.do(
            "confounds of the score", lambda: corpus.confounds, self._show_confounds
        )

    def _count(self) -> None:
        self._queues.begin(COUNTING, self.session.measure_boilerplate, self._counted, self.note)

    def _counted(self, _: object) -> None:
        corpus = self.session.corpus
        if corpus is not None and BOILERPLATE not in corpus.numeric_columns:
            self.note.say("no text that was read has 13 words")

    def keep(self, positions: np.ndarray) -> None:
        """Tell the documents that pass the filters from the others.

        Args:
            positions: of those that pass.
        """
        if self._corpus is not None and self._corpus is self.session.corpus:
            self.points.keep(positions)

    def _redraw(self) -> None:
        if not self._ours.under_way:
            self._on_choose(None)  # what was chosen was so in another plane
            self._draw()
            if self._corpus is not None:
                self._show_confounds(self._corpus.confounds)

    def _draw(self) -> None:
        corpus = self._corpus
        assert corpus is not None
        (x, x_axis), (y, y_axis) = (_plotted(corpus, box.value) for box in (self.across, self.up))
        group = pd.factorize(corpus.domain_of_each, sort=True)[0]
        self.points.show(x, y, group, corpus.domains, {"x": x_axis, "y": y_axis})

    def _show_confounds(self, table: pd.DataFrame) -> None:
        """In one line, first what the horizontal axis shows; all of it under the pointer."""
        here = table["confound"] == self.across.value
        words = [_correlation(row) for row in pd.concat([table[here], table[~here]]).itertuples()]
        title = "Spearman correlation of the score, 95 % interval over documents:\n"
        self.along.value = (
            f'<span title="{escaped(title + chr(10).join(words))}">Spearman '
            f"{escaped('; '.join(words))}</span>"
        )

    def _select(self, corners: Sequence[tuple[float, float]] | None) -> None:
        if corners is None:
            self._on_choose(None)
        else:  # few digits, for they stand in the code that rebuilds this
            short = [(float(f"{x:.5g}"), float(f"{y:.5g}")) for x, y in corners]
            self._on_choose({"across": self.across.value, "up": self.up.value, "corners": short})


def _plotted(corpus: ScoredCorpus, name: str) -> tuple[np.ndarray, dict[str, object]]:
    """A column as it is plotted, with its axis: logarithmic where it is wide."""
    (low, high), log = corpus.extent(name), corpus.is_wide(name)
    if log:
        low, high = np.log10(low), np.log10(high)
    return corpus.plotted(name), {"label": name, "low": float(low), "high": float(high), "log": log}


def _correlation(row: Any) -> str:
    name = f"{row.confound} in {escape_control_characters(str(row.domain))}"
    if row.reason:
        return f"{name}: {row.reason}"
    return f"{name} {row.spearman:+.2f} ({row.low:+.2f} to {row.high:+.2f})"
