"""A mixture of domains: what the fit predicts for it, the best one, and into the manifest."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w
import pandas as pd

from widgets.escaping import escaped
from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.live_figure import LiveFigure
from widgets.views.own_changes import OwnChanges
from workbench.core.text import escape_control_characters
from workbench.figures.mixtures import mixture_simplex
from workbench.session.scaling_desk import ScalingDesk

SEARCHING = "searching the best mixture"
EMPTY = (
    "<p>No mixtures are on the desk. Train small models on several mixtures (notebook 12), then "
    "<code>ScalingExplorer(mixtures=wb.fit_mixture(plan, losses))</code>.</p>"
)


class MixturePanel(w.VBox):
    """Sliders for the shares of the domains, weights of the losses, and the best mixture."""

    def __init__(self, desk: ScalingDesk, status: StatusLine, queues: TaskQueues) -> None:
        """The controls, or a sentence that says how to bring mixtures.

        Args:
            desk: whose mixtures are shown.
            status: shows the errors.
            queues: do the work.
        """
        self.desk, self._queues = desk, queues
        self._ours = OwnChanges()
        self.figure, self.note = LiveFigure(), Note()
        if desk.mixtures is None:
            super().__init__([w.HTML(EMPTY)])
            return
        runs = desk.mixtures.runs
        self.shares = {
            str(domain): _slider(
                str(domain), float(runs[domain].mean()), "share of the training tokens"
            )
            for domain in runs
        }
        self.weights = {
            str(name): _slider(str(name), 1.0, "how much this loss counts")
            for name in desk.mixtures.losses
        }
        self.predicted = w.HTML()
        self.find = w.Button(
            description="Find the best", icon="search", layout={"width": "auto"},
            tooltip="The mixture of lowest predicted loss inside the shares that were run",
        )  # fmt: skip
        self.export = w.Button(
            description="Into the manifest", icon="file-text-o", layout={"width": "auto"},
            tooltip="Write the manifest of the session's selection with the best mixture in it",
        )  # fmt: skip
        guarded = status.guarded
        self.find.on_click(guarded(lambda _: self._find(), self.note))
        self.export.on_click(guarded(lambda _: self._export(), self.note))
        moved = guarded(lambda _: self._moved(), self.note)
        for slider in self.shares.values():
            slider.observe(self._unless_ours(moved), "value")
        sliders = w.VBox([
            w.HTML("<b>shares of the domains</b>"), *self.shares.values(),
            w.HTML("<b>which losses count</b>"), *self.weights.values(),
        ])  # fmt: skip
        sliders.add_class("aiw-shares")
        beside = w.HBox([sliders, self.figure])
        beside.add_class("aiw-mixture")
        line = w.HBox([self.find, self.export, self.note])
        super().__init__([line, self.predicted, beside])
        self._moved()
        self.follow()

    def _unless_ours(self, act: Callable[..., None]) -> Callable[[object], None]:
        def changed(change: object) -> None:
            if not self._ours.under_way:
                act(change)

        return changed

    def follow(self) -> None:
        """Show the runs, the predicted losses and the best mixture, if one was found."""
        desk, best = self.desk, self.desk.best
        if desk.mixtures is None:
            return
        if best is not None:
            with self._ours.made():
                for domain, share in best.shares.items():
                    slider = self.shares[str(domain)]
                    slider.value = round(float(share), 2)  # as the slider has it
            self.predicted.value = escaped(
                f"best: {best.predicted:.3f} [{best.low:.3f}, {best.high:.3f}] nats predicted; the "
                f"nearest run is {best.nearest_run}, at Hellinger distance {best.distance:.2f}"
            )
        self.figure.show(mixture_simplex(desk.mixtures, best), anew=True)

    def _moved(self) -> None:
        assert self.desk.mixtures is not None
        total = sum(slider.value for slider in self.shares.values())
        if not total:
            raise ValueError("all shares are 0: move one of the sliders up")
        shares = pd.Series({name: slider.value / total for name, slider in self.shares.items()})
        self.predicted.value = escaped(self.desk.predicted(shares, self._weights()))

    def _weights(self) -> dict[str, float]:
        return {name: slider.value for name, slider in self.weights.items()}

    def _find(self) -> None:
        weights = self._weights()
        self._queues.begin(SEARCHING, lambda: self.desk.find_mixture(weights), note=self.note)

    def _export(self) -> None:
        path = self.desk.export()
        self.note.say(f"{path} holds the mixture")


def _slider(name: str, value: float, tooltip: str) -> w.FloatSlider:
    return w.FloatSlider(
        description=escape_control_characters(str(name)), description_allow_html=False, min=0,
        max=1, step=0.01, value=min(value, 1.0), tooltip=tooltip, readout_format=".2f",
        layout={"width": "100%"}, style={"description_width": "84px"},
    )  # fmt: skip
