"""What is lost as more and more heads are masked."""

from __future__ import annotations

import ipywidgets as w
import pandas as pd

from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.live_figure import LiveFigure
from workbench.core.progress import Cancelled
from workbench.detection.masking_curves import default_sizes
from workbench.figures.heads import masking_curve
from workbench.session.session import Session

FIRST = "Find the heads, then draw"
DRAWING = "masking curve"


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
            tooltip="Minutes on a laptop: detected order and random draws at several sizes",
        )  # fmt: skip
        self.probes = w.BoundedIntText(
            value=4, min=1, max=800, layout={"width": "58px", "flex": "none"},
            tooltip="On how many lookup probes the accuracy is measured",
        )  # fmt: skip
        self.draws = w.BoundedIntText(
            value=5, min=1, max=100, layout={"width": "52px", "flex": "none"},
            tooltip="How many random orders are drawn beside the detected one",
        )  # fmt: skip
        usual = default_sizes(session.model.head_count)
        self.sizes = w.Text(
            placeholder=" ".join(map(str, usual)), layout={"flex": "1 1 90px", "min_width": "0"},
            tooltip="Sizes: how many heads are masked, one point each, such as 0 1 2 4; empty: "
            "from none to a fifth of all heads",
        )  # fmt: skip
        self.note = Note()
        self.figure = LiveFigure()
        self.draw.on_click(status.guarded(lambda _: self._draw(), self.note))
        line = w.HBox(
            [
                w.HBox([self.draw]),
                w.HBox(
                    [
                        w.Label("probes"), self.probes, w.Label("draws"), self.draws,
                        w.Label("sizes"), self.sizes,
                    ]
                ),
            ]
        )  # fmt: skip
        line.add_class("aiw-wrap")  # two lines where there is no room for one
        super().__init__([line, self.note, self.figure])
        self.add_class("aiw-form")
        self.follow()

    def follow(self) -> None:
        """Say what the button will do: without scores, the heads are found first."""
        self.draw.description = FIRST if self.session.scores is None else "Draw the masking curve"

    def _sizes(self) -> list[int] | None:
        words = self.sizes.value.replace(",", " ").split()
        if not all(word.isdecimal() for word in words):
            raise ValueError(
                f"sizes are numbers of masked heads, such as {self.sizes.placeholder}; got "
                f"{self.sizes.value!r:.60}"
            )
        return [int(word) for word in words] or None

    def _draw(self) -> None:
        session, state, sizes = self.session, self.session.state, self._sizes()
        probes, draws = self.probes.value, self.draws.value

        def curve() -> pd.DataFrame:
            if session.scores is None:
                session.detect()
            try:
                return session.curve(
                    probes=probes, sizes=sizes, draws=draws, state=state, on_points=self._drawn
                )
            except Cancelled:
                self.note.say("cancelled: what was measured until then stays")
                raise

        self._queues.begin(DRAWING, curve, self._drawn, self.note)

    def _drawn(self, table: pd.DataFrame) -> None:
        self.figure.show(masking_curve(table))
