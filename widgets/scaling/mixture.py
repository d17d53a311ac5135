"""A mixture of domains: what the fit predicts for it, the best one, and into the manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import ipywidgets as w
import pandas as pd

from widgets.own_changes import OwnChanges
from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.live_figure import LiveFigure
from workbench.core.text import escape_control_characters, escaped
from workbench.figures.mixtures import mixture_simplex
from workbench.session.scaling_desk import ScalingDesk

MOST_WEIGHT = 10.0  # of a loss; each begins at 1
SEARCHING = "searching the best mixture"
EMPTY = (
    "<p>No mixtures are on the desk. Train small models on several mixtures (notebook 13), then "
    "<code>ScalingExplorer(mixtures=wb.fit_mixture(plan, losses))</code>.</p>"
)


class MixturePanel(w.VBox):
    """Sliders for the shares of the domains, weights of the losses, and the best mixture.

    The shares sum to 1 at all times: where one is moved, the others follow in proportion.

    Attributes:
        mix: the shares that the sliders show, not rounded; by domain.
    """

    def __init__(
        self,
        desk: ScalingDesk,
        status: StatusLine,
        queues: TaskQueues,
        more: Sequence[w.Widget] = (),
    ) -> None:
        """The controls, or a sentence that says how to bring mixtures.

        Args:
            desk: whose mixtures are shown.
            status: shows the errors.
            queues: do the work.
            more: controls that stand beside the buttons.
        """
        self.desk, self._queues = desk, queues
        self._ours = OwnChanges()
        self.figure, self.note = LiveFigure("scaling-mixture"), Note()
        if desk.mixtures is None:
            super().__init__([w.HTML(EMPTY)])
            return
        runs = desk.mixtures.runs
        self.mix = runs.mean().rename(index=str)
        self.shares = {
            str(domain): _slider(
                str(domain), share, "share of the training tokens; the others follow"
            )
            for domain, share in self.mix.items()
        }
        self.weights = {
            str(name): _slider(
                str(name), 1.0, "how much this loss counts against the others", MOST_WEIGHT
            )
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
        for domain, slider in self.shares.items():
            moved = guarded(lambda change, domain=domain: self._moved(domain, change), self.note)
            slider.observe(self._unless_ours(moved), "value")
        weighed = guarded(lambda _: self._show(), self.note)
        for slider in self.weights.values():
            slider.observe(self._unless_ours(weighed), "value")
        sliders = w.VBox([
            w.HTML("<b>shares of the domains, which sum to 1</b>"), *self.shares.values(),
            w.HTML("<b>how much each loss counts (only their ratios matter)</b>"),
            *self.weights.values(),
        ])  # fmt: skip
        sliders.add_class("aiw-shares")
        beside = w.HBox([sliders, self.figure])
        beside.add_class("aiw-mixture")
        line = w.HBox([self.find, self.export, *more, self.note])
        super().__init__([line, self.predicted, beside])
        if desk.shares is not None:
            self.follow_shares()
        else:
            self.predicted.value = escaped(desk.predicted(self._mixture(), self._weights()))
            self._draw()
            self.follow()

    def _unless_ours(self, act: Callable[..., None]) -> Callable[[object], None]:
        def changed(change: object) -> None:
            if not self._ours.under_way:
                act(change)

        return changed

    def follow(self) -> None:
        """Show the runs, the predicted losses and the best mixture, if one was found."""
        desk, best = self.desk, self.desk.best
        if desk.mixtures is None or best is None:
            return
        self.mix = best.shares.rename(index=str)
        self._set_sliders()
        self._draw()
        self.predicted.value = escaped(
            f"best: {best.predicted:.3f} [{best.low:.3f}, {best.high:.3f}] nats predicted; the "
            f"nearest run is {best.nearest_run}, at Hellinger distance {best.distance:.2f}"
        )

    def follow_shares(self) -> None:
        """Show the mixture that a cell looks at; that of our own sliders is shown already."""
        desk = self.desk
        if self._ours.under_way or desk.shares is None:
            return
        self.mix = desk.shares.rename(index=str)
        self._set_sliders()
        weights = dict.fromkeys(self.weights, 1.0) if desk.weights is None else desk.weights
        scale = MOST_WEIGHT / max(MOST_WEIGHT, *weights.values())  # only their ratios matter
        with self._ours.made():
            for name, slider in self.weights.items():
                slider.value = weights.get(name, 0.0) * scale
        self.predicted.value = escaped(desk.predicted(desk.shares, desk.weights))
        self._draw()

    def _set_sliders(self) -> None:
        """Rounded as sliders are: they would answer with the rounded value, as if it was chosen."""
        with self._ours.made():
            for domain, share in self.mix.items():
                self.shares[str(domain)].value = round(float(share), 2)

    def _moved(self, domain: str, change: Mapping[str, float]) -> None:
        """One share was set: the others keep their ratios, and the sum stays 1."""
        value = float(change["new"])
        others = self.mix.drop(domain)
        if others.empty:
            value = 1.0
        elif others.sum() > 0:
            self.mix[others.index] = others / others.sum() * (1 - value)
        else:  # they had nothing, and so no ratios
            self.mix[others.index] = (1 - value) / len(others)
        self.mix[domain] = value
        self._set_sliders()
        self._show()

    def _show(self) -> None:
        """What is predicted for the shares of the sliders, in words and in the figure."""
        with self._ours.made():
            said = self.desk.mix(self._mixture(), self._weights())
        self.predicted.value = escaped(said)
        self._draw()

    def _mixture(self) -> pd.Series:
        """The shares, under the names that the fit has for its domains."""
        assert self.desk.mixtures is not None
        return self.mix.set_axis(self.desk.mixtures.runs.columns)

    def _draw(self) -> None:
        desk = self.desk
        assert desk.mixtures is not None
        if desk.mixtures.runs.shape[1] >= 3:  # a triangle needs them
            at, weights = self._mixture(), self._weights()
            self.figure.show(mixture_simplex(desk.mixtures, desk.best, weights=weights, at=at))

    def tables(self) -> dict[str, pd.DataFrame]:
        """What the figure shows, as tables: shares of the sliders, the best ones, and the runs."""
        fit, best = self.desk.mixtures, self.desk.best
        if fit is None:
            return {}
        shares = pd.DataFrame({"sliders": self.mix})
        if best is not None:
            shares["best"] = best.shares.rename(index=str)
        told = shares.rename_axis("domain").reset_index()
        runs = fit.runs.add_prefix("share of ").join(fit.losses.add_prefix("loss "))
        return {f"Shares ({fit.form} law, {len(fit.runs)} runs)": told, "Runs of mixtures": runs}

    def _weights(self) -> dict[str, float]:
        return {name: slider.value for name, slider in self.weights.items()}

    def _find(self) -> None:
        weights = self._weights()
        self._queues.begin(SEARCHING, lambda: self.desk.find_mixture(weights), note=self.note)

    def _export(self) -> None:
        path = self.desk.export()
        self.note.say(f"{path} holds the mixture")


def _slider(name: str, value: float, tooltip: str, most: float = 1.0) -> w.FloatSlider:
    return w.FloatSlider(
        description=escape_control_characters(str(name)), description_allow_html=False, min=0,
        max=most, step=0.01 * most, value=round(min(value, most), 2), tooltip=tooltip,
        readout_format=".2f",
        layout={"width": "100%"}, style={"description_width": "84px"},
    )  # fmt: skip
