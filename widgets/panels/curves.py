"""What is lost as more and more heads are masked."""

from __future__ import annotations

import ipywidgets as w
import pandas as pd

from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.live_figure import LiveFigure
from workbench.figures.heads import masking_curve
from workbench.session.session import Session

FIRST = "Find the heads, then draw"


class CurvesPanel(w.VBox):
    """Draws loss and retrieval accuracy against the number of masked heads."""

    def __init__(self, session: Session, status: StatusLine, queues: TaskQueues) -> None:
        """An empty figure with its controls.

        Args:
            session: whose curve is drawn.
            status: shows the errors.
            queues: do the work.
        """
        self.session, self._queues = session, queues
        self.draw = w.Button(
            icon="line-chart", layout={"width": "auto"},
            tooltip="Minutes on a laptop: detected order and five random draws at several sizes",
        )  # fmt: skip
        self.probes = w.BoundedIntText(
            value=4, min=1, max=800, layout={"width": "60px"},
            tooltip="On how many lookup probes the accuracy is measured",
        )  # fmt: skip
        self.note = Note()
        self.figure = LiveFigure()
        self.draw.on_click(status.guarded(lambda _: self._draw(), self.note))
        super().__init__(
            [w.HBox([self.draw, w.Label("probes"), self.probes]), self.note, self.figure]
        )
        self.follow()

    def follow(self) -> None:
        """Say what the button will do: without scores, the heads are found first."""
        self.draw.description = FIRST if self.session.scores is None else "Draw the masking curve"

    def _draw(self) -> None:
        session, probes, state = self.session, self.probes.value, self.session.state

        def curve() -> pd.DataFrame:
            if session.scores is None:
                session.detect()
            return session.curve(probes=probes, state=state)

        self._queues.begin("masking curve", curve, self._drawn, self.note)

    def _drawn(self, table: pd.DataFrame) -> None:
        self.figure.show(masking_curve(table))
