"""What the scores listen to: documents changed on purpose, and how every column answers."""

from __future__ import annotations

from typing import Any

import ipywidgets as w
import numpy as np
import pandas as pd

from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.live_figure import LiveFigure
from workbench.core.text import escaped
from workbench.figures.score_tests import response_dots
from workbench.figures.theme import COLOURS
from workbench.session.corpus.changed_texts import ChangedTexts
from workbench.session.session import Session

CHANGING = "changing texts and scoring them"
MEANINGS = {
    "shuffled": "sentences in another order",
    "swapped": "second half of another document",
    "renamed": "other names and identifiers",
    "repeated": "first half twice",
    "header": "a licence notice in front",
}


class ChangesPanel(w.VBox):
    """Changes some documents of a session, scores them again and shows what each column did."""

    def __init__(self, session: Session, status: StatusLine, queues: TaskQueues) -> None:
        """A button; figure and table once it has been pressed.

        Args:
            session: whose corpus is meant.
            status: shows the errors.
            queues: do the work.
        """
        self.session, self._queues = session, queues
        self._among: np.ndarray | None = None  # the documents that pass the filters
        self.count = w.BoundedIntText(
            value=24, min=2, max=10_000,
            layout={"width": "64px", "flex": "none"},
            tooltip="How many documents are changed, drawn from those that pass the filters; six "
            "texts are scored for each",
        )  # fmt: skip
        self.run = w.Button(
            description="Change and score", icon="play", layout={"width": "auto"},
            tooltip="Shuffle, swap, rename, repeat and head the texts with a licence, and score "
            "them again: what does each column listen to?",
        )  # fmt: skip
        self.note = Note()
        self.run.on_click(status.guarded(lambda _: self._run(), self.note))
        self.summary = w.HTML()
        self.summary.add_class("aiw-source")  # one line, cut where there is no room
        self.table = w.HTML()
        self.figure = LiveFigure()
        self.legend = w.HTML()
        super().__init__(
            [
                w.HBox([w.Label("Documents"), self.count, self.run, self.summary]),
                self.note, self.table, self.figure, self.legend,
            ], layout={"display": "none"},
        )  # fmt: skip
        self.add_class("aiw-form")
        self.add_class("aiw-changes")

    def show(self, on: bool) -> None:
        """Show or hide the panel.

        Args:
            on: whether it is shown.
        """
        self.layout.display = "" if on else "none"

    def draw_from(self, positions: np.ndarray) -> None:
        """Say from which documents the sample is drawn.

        Args:
            positions: of those that pass the filters.
        """
        self._among = positions

    def renew(self) -> None:
        """Forget what another corpus answered."""
        self.summary.value = self.table.value = self.legend.value = ""
        self.note.clear()
        self.figure.clear()

    def _run(self) -> None:
        session, corpus = self.session, self.session.corpus
        count, among = self.count.value, self._among

        def change() -> tuple[Any, ChangedTexts]:
            return corpus, session.change_texts(count, among)

        self._queues.begin(CHANGING, change, self._show, self.note)

    def _show(self, made: tuple[Any, ChangedTexts]) -> None:
        corpus, changed = made
        if corpus is not self.session.corpus:
            return  # another one was taken up meanwhile
        reasons = "\n".join(
            f"{row.kind}: {row.documents} not changed, {row.reason}"
            for row in changed.refused.itertuples()
        )
        words = changed.describe()
        self.summary.value = f'<span title="{escaped(reasons or words)}">{escaped(words)}</span>'
        frame = changed.response.frame
        if frame.empty:
            gaps = [*changed.refused["reason"], *changed.response.left_out["reason"]]
            self.note.say(f"nothing can be compared: {'; '.join(dict.fromkeys(gaps))}")
            self.table.value = self.legend.value = ""
            self.figure.clear()
            return
        self.table.value = _table(frame)
        figure = response_dots(changed.response)
        figure.update_layout(showlegend=False)  # its place is lost when the window gets wider
        self.legend.value = _legend(frame)
        self.figure.show(figure, anew=True)


def _table(frame: pd.DataFrame) -> str:
    """A line a column, a cell a kind of change; bold where the interval is on one side of 0."""
    kinds, columns = (list(dict.fromkeys(frame[name])) for name in ("kind", "column"))
    rows = {(row.kind, row.column): row for row in frame.itertuples()}
    head = "".join(
        f'<th title="{escaped(MEANINGS.get(kind, ""))}">{escaped(kind)}</th>' for kind in kinds
    )
    lines = []
    for column in columns:
        cells = "".join(_cell(rows.get((kind, column))) for kind in kinds)
        name = escaped(column).replace("_", "_<wbr>")  # where a narrow column may break it
        lines.append(f"<tr><th>{name}</th>{cells}</tr>")
    return (
        f'<table class="aiw-counts"><tr><th>change in s.d.</th>{head}</tr>{"".join(lines)}</table>'
        "<small>mean of the paired changes, over the standard deviation of the column; 95 % "
        "interval over documents; bold: not 0</small>"
    )


def _legend(frame: pd.DataFrame) -> str:
    """The colours of the columns, as `response_dots` gives them."""
    spans = [
        f'<span class="aiw-swatch" style="--aiw-swatch: {COLOURS[number % len(COLOURS)]}">'
        f"{escaped(column)}</span>"
        for number, column in enumerate(dict.fromkeys(frame["column"]))
    ]
    return " ".join(spans)


def _cell(row: Any) -> str:
    if row is None:
        return (
            '<td title="fewer than two pairs have a value, or all have the same">\N{EN DASH}</td>'
        )
    low, high = row.low / row.spread, row.high / row.spread
    mean = f"{row.standardised:+.2f}"
    if low > 0 or high < 0:
        mean = f"<b>{mean}</b>"
    title = (
        f"{row.column}: {row.before:.4g} before, {row.after:.4g} after; change "
        f"{row.difference:+.4g} ({row.low:+.4g} to {row.high:+.4g}), {row.n} pairs"
    )
    interval = f"<small>{low:+.2f} to {high:+.2f}</small>"
    return f'<td title="{escaped(title)}"><span>{mean}</span> {interval}</td>'
