"""What is lost as more and more heads are masked."""

from __future__ import annotations

import ipywidgets as w
import pandas as pd

from widgets.problem_box import ProblemBox
from widgets.tasks.task_queues import TaskQueues
from widgets.views.live_figure import LiveFigure
from workbench.figures.heads import masking_curve
from workbench.session.session import Session


class CurvesPanel(w.VBox):
    """Draws loss and retrieval accuracy against the number of masked heads."""

    def __init__(self, session: Session, problem: ProblemBox, queues: TaskQueues) -> None:
        """An empty figure with its controls.

        Args:
            session: whose curve is drawn.
            problem: shows the errors.
            queues: do the work.
        """
        self.draw = w.Button(
            description="Draw the masking curve", icon="line-chart", layout={"width": "auto"},
            tooltip="Minutes on a laptop: detected order and five random draws at several sizes",
        )  # fmt: skip
        self.probes = w.BoundedIntText(
            description="probes", value=4, min=1, max=800, layout={"width": "150px"},
            style={"description_width": "initial"},
        )  # fmt: skip
        self.figure = LiveFigure()
        self.draw.on_click(problem.guarded(lambda _: self._draw(session, queues)))
        super().__init__([w.HBox([self.draw, self.probes]), self.figure])

    def _draw(self, session: Session, queues: TaskQueues) -> None:
        probes, state = self.probes.value, session.state
        curve = lambda: session.curve(probes=probes, state=state)  # noqa: E731
        queues.begin("masking curve", curve, self._drawn)

    def _drawn(self, table: pd.DataFrame) -> None:
        self.figure.show(masking_curve(table))
