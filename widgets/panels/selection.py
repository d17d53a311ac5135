"""The cut through a scored corpus: how many documents and tokens it takes, and the manifest."""

from __future__ import annotations

from typing import Any

import ipywidgets as w

from widgets.problem_box import escaped
from widgets.status_line import StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.live_figure import LiveFigure
from widgets.views.own_changes import OwnChanges
from workbench.core.text import escape_control_characters
from workbench.figures.selection import influence_histogram
from workbench.selection.ranking import By
from workbench.session.session import Session

SPACED = "line-height:1.6;border-spacing:14px 0;text-align:right"
HEAD = ("domain", "documents", "of", "share", "tokens", "of", "share", "threshold")


class SelectionPanel(w.VBox):
    """Moves the cut of a session's corpus and exports the manifest."""

    def __init__(self, session: Session, status: StatusLine, queues: TaskQueues) -> None:
        """Without controls until there is a scored corpus.

        Args:
            session: whose corpus is cut.
            status: shows the errors.
            queues: do the work.
        """
        self.session, self.queues = session, queues
        self._ours = OwnChanges()  # of the controls, which are set to what the session says
        self.fraction = w.FloatSlider(
            description="Top share", value=0.2, min=0.01, max=1, step=0.01, readout_format=".0%",
            layout={"width": "420px"},
        )  # fmt: skip
        self.by = w.Dropdown(description="of the", options=["documents", "tokens"])
        for control in (self.fraction, self.by):
            control.observe(self._moved, "value")
        self._act = status.guarded(self._cut)
        self.counts = w.HTML()
        self.figure = LiveFigure()
        self.folder = w.Text(description="Manifest in", layout={"width": "420px"})
        self.export = w.Button(
            description="Export the manifest", icon="save", layout={"width": "auto"},
            tooltip="Write manifest.json and selection.parquet, which others can verify",
        )  # fmt: skip
        self.export.on_click(status.guarded(lambda _: self._export()))
        self.written = w.HTML()
        self._parts = [
            w.HBox([self.fraction, self.by]), self.counts, self.figure,
            w.HBox([self.folder, self.export]), self.written,
        ]  # fmt: skip
        super().__init__([w.HTML("Score a corpus, or load a run, under <b>Documents</b> first.")])

    def renew(self) -> None:
        """Show the corpus of the session, another than before."""
        corpus = self.session.corpus
        if corpus is None:
            return
        self.folder.value = "" if corpus.folder is None else str(corpus.folder)
        self.written.value = ""
        self.children = self._parts
        self.follow()

    def follow(self) -> None:
        """Show the present cut."""
        corpus = self.session.corpus
        if corpus is None:
            return
        chosen = corpus.selection
        with self._ours.made():
            self.fraction.value, self.by.value = chosen.fraction, chosen.by
        head = "".join(f"<th>{title}</th>" for title in HEAD)
        rows = "".join(
            f"<tr><td>{escaped(escape_control_characters(str(d.domain)))}</td><td>{d.documents_selected:,}</td>"
            f"<td>{d.documents_seen:,}</td><td>{d.documents_share:.1%}</td>"
            f"<td>{d.tokens_selected:,}</td><td>{d.tokens_seen:,}</td>"
            f"<td>{d.tokens_share:.1%}</td><td>{d.threshold:.4f}</td></tr>"
            for d in chosen.domains.itertuples()
        )
        self.counts.value = (
            f'<table class="aiw-counts" style="{SPACED}"><tr>{head}</tr>{rows}</table>'
        )
        self.figure.show(influence_histogram(chosen))

    def _moved(self, change: Any) -> None:
        if not self._ours.under_way:
            moved = {"fraction": self.fraction.value, "by": self.by.value}
            # The control itself may be set to something else by now.
            moved["fraction" if change["owner"] is self.fraction else "by"] = change["new"]
            self._act(**moved)

    def _cut(self, fraction: float, by: By) -> None:
        self.queues.corpus.do("cut", lambda: self.session.cut(fraction, by), lambda _: None)

    def _export(self) -> None:
        session, corpus = self.session, self.session.corpus
        folder = self.folder.value.strip() or None
        fraction, by = self.fraction.value, self.by.value
        self.written.value = ""

        def export() -> str:  # what the controls say at the click, whatever is done meanwhile
            if session.corpus is not corpus:
                raise ValueError("another corpus was taken up since the click: export it again")
            session.cut(fraction, by)
            return f"top {fraction:.0%} of the {by} written: {session.export(folder)}"

        self.queues.begin("writing the manifest", export, self._show_written)

    def _show_written(self, message: str) -> None:
        self.written.value = f"{escaped(message)}; <code>workbench verify</code> checks it"
