"""The scaling explorer: published laws, one's own runs, and a mixture, side by side."""

from __future__ import annotations

import html
import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as w
import pandas as pd

from widgets.inside import inside
from widgets.scaling.law_chooser import LawChooser
from widgets.scaling.mixture import MixturePanel
from widgets.scaling.own_runs import OwnRuns
from widgets.status_line import Note, StatusLine
from widgets.tasks.interrupt import on_interrupt
from widgets.tasks.task_queues import TaskQueues
from widgets.views.browser_files import stylesheet
from widgets.views.code_view import CodeView
from widgets.views.control_names import ControlNames
from widgets.views.live_figure import LiveFigure
from workbench.core.text import escaped
from workbench.detection.retention_fit import fit_retention
from workbench.figures.scaling import (
    isoflop_curves,
    law_curves,
    retention_curve,
    sensitivity_curves,
)
from workbench.scaling.laws.book import LAWS
from workbench.scaling.mixtures import MixtureFit
from workbench.session.scaling_desk import ScalingDesk
from workbench.session.session import Session

TABS = ("Loss", "IsoFLOP", "Rate and batch", "Mixture", "Masks", "Book", "Code")
DRAWING_MASKS = "masking curve"


class ScalingExplorer(w.VBox):
    """Plan a training run: what laws say, what your own runs say, and which mixture to take.

    Whatever is moved can be called on `desk`.

    Attributes:
        desk: the state behind it all.
    """

    def __init__(
        self,
        runs: pd.DataFrame | ScalingDesk | None = None,
        *,
        mixtures: MixtureFit | None = None,
        session: Session | None = None,
        **options: Any,
    ) -> None:
        """Show laws, runs and mixtures.

        Args:
            runs: one row a run (`wb.training_runs`), or a ScalingDesk to go on with; None: none.
            mixtures: what `wb.fit_mixture` returned; None: none.
            session: whose heads are masked in *Masks*, and whose selection gets the mixture.
            **options: of `ScalingDesk`: laws.
        """
        if isinstance(runs, ScalingDesk):
            self.desk = runs
        else:
            self.desk = ScalingDesk(runs, mixtures=mixtures, session=session, **options)
        desk = self.desk
        self.status = StatusLine()
        self.queues = TaskQueues(self.status)
        guarded = self.status.guarded
        self.loss_note, self.sizes_note, self.rates_note = Note(), Note(), Note()
        self.laws = LawChooser(desk, self.status)
        self.across = w.Dropdown(
            options=desk.axes(), layout={"width": "150px"},
            tooltip="What the curves are drawn across; all else stays as the sliders say",
        )  # fmt: skip
        self.across.observe(guarded(lambda _: self._draw_loss(), self.loss_note), "value")
        self.runs = OwnRuns(desk, self.status, self.queues)
        self._beside: list[int] = []  # the runs that the figure shows beside those of the fit
        self.loss = LiveFigure("scaling-loss", guarded(self._clicked, self.loss_note))
        self.sizes, self.rates, self.masks = (
            LiveFigure(f"scaling-{name}") for name in ("isoflop", "rates", "masks")
        )
        self.save = w.Button(
            description="Save as HTML", icon="save", layout={"width": "auto"},
            tooltip="Write this figure with its data, formulas, sources and code into one file "
            "beside the notebook (a PNG: the camera in the figure)",
        )  # fmt: skip
        self.save.on_click(guarded(lambda _: self._save()))
        self.optima = w.HTML()
        self.initial = w.BoundedFloatText(
            value=10.8, min=0.1, max=50, step=0.1, layout={"width": "80px"},
            tooltip="Loss of an untrained model (ln of the vocabulary, in nats): runs that end "
            "above it count as diverged",
        )  # fmt: skip
        self.initial.observe(guarded(lambda _: self._draw_rates()), "value")
        self.mixture = MixturePanel(desk, self.status, self.queues, [self.save])
        self.masking = w.Button(
            description="Measure", icon="line-chart", layout={"width": "auto"},
            tooltip="Mask more and more heads of the session's model: minutes on a laptop",
        )  # fmt: skip
        self.masks_note = Note()
        self._lock = threading.RLock()  # what was read of the desk first is shown first
        self._mask_tables: dict[str, pd.DataFrame] = {}
        self.masking.on_click(guarded(lambda _: self._measure_masks(), self.masks_note))
        self.entry = w.Dropdown(options=list(LAWS), tooltip="An entry of the book")
        self.entry.observe(lambda change: self._show_entry(change["new"]), "value")
        self.book = w.HTML()
        self.code = CodeView()
        self._show_entry(self.entry.value)
        self.tabs = self._make_tabs()
        body = w.HBox([self.laws, self.tabs])
        body.add_class("aiw-body")
        style = w.HTML(f"<style>{stylesheet('explorer').read_text('utf-8')}</style>")
        style.layout.display = "none"
        super().__init__([style, ControlNames(), self.status, body])
        self.add_class("aiw-explorer")
        self.add_class("aiw-scaling")
        self._leave: tuple[Callable[[], object], ...] = (
            desk.on_change(self._changed), on_interrupt(self.queues.cancel),
        )  # fmt: skip
        self.status.suggest(
            "Move a slider; choose laws; Fit to my runs; click a run to hold it out"
        )
        self._draw()

    def _make_tabs(self) -> w.Tab:
        untrained = w.Label("loss of an untrained model")
        parts = [
            [w.HBox([self.across, self.save, self.loss_note]), self.loss, self.runs],
            [w.HBox([self.save, self.sizes_note]), self.optima, self.sizes],
            [w.HBox([untrained, self.initial, self.save, self.rates_note]), self.rates],
            [self.mixture],
            [w.HBox([self.masking, self.save, self.masks_note]), self.masks],
            [self.entry, self.book],
            [self.code],
        ]
        tabs = w.Tab([w.VBox(part) if part[1:] else part[0] for part in parts], titles=TABS)
        tabs.add_class("aiw-tabs")
        tabs.observe(lambda _: self._draw(), "selected_index")
        return tabs

    def __repr__(self) -> str:
        runs = 0 if self.desk.runs is None else len(self.desk.runs)
        return f"<ScalingExplorer of {runs} runs and the laws {', '.join(self.desk.laws)}>"

    # ---- what is seen -----------------------------------------------------------------------

    def _changed(self, what: str) -> None:
        """Follow the desk, whoever changed it: a control here, a fit, or a cell of the notebook."""
        with self._lock:
            if what == "mixture":
                self.mixture.follow()
            elif what == "shares":
                self.mixture.follow_shares()
                if TABS[self.tabs.selected_index or 0] != "Code":
                    return  # no other tab shows them
            elif what == "runs":
                self.runs.follow()
            else:
                self.laws.follow()
            self._draw()

    def _draw(self) -> None:
        """Draw the tab in front; the others when they come there."""
        draw = {
            "Loss": (self._draw_loss, self.loss_note),
            "IsoFLOP": (self._draw_sizes, self.sizes_note),
            "Rate and batch": (self._draw_rates, self.rates_note),
            "Code": (self._code_changed, None),
        }.get(TABS[self.tabs.selected_index or 0])  # fmt: skip
        if draw is not None:
            with self._lock:
                self.status.guarded(*draw)()

    def _draw_loss(self) -> None:
        desk = self.desk
        axes = desk.axes()
        if self.across.options != tuple(axes):
            self.across.options = axes
        laws, inputs, runs = desk.drawn(self.across.value)
        self._beside = [] if runs is None else list(runs.index)
        self.loss.show(law_curves(laws, self.across.value, inputs, runs))
        others = [name for name in axes if name != self.across.value]
        at = ", ".join(f"{name} {inputs[name]:.3g}" for name in others)
        if at:
            self.loss_note.say(f"curves at {at}; each run stands at its own")

    def _clicked(self, name: str, point: int) -> None:
        """A run in the figure was clicked: it is held out, or taken back."""
        fitted = set(range(0 if self.desk.runs is None else len(self.desk.runs)))
        rows = {"runs": self._beside}.get(name, [])
        if name.startswith("runs of "):
            rows = sorted(fitted - self.desk.held_out)
        if point < len(rows):
            self.runs.toggle(rows[point])

    def _draw_sizes(self) -> None:
        desk = self.desk
        self.optima.value = _optima(desk.optima(), desk.inputs["compute"])
        if desk.runs is None:
            self.sizes_note.say("No runs are on the desk: the table is what the laws say")
            return
        try:
            found = desk.isoflop()
        except ValueError as error:  # the table below holds all the same
            self.sizes.clear()
            self.sizes_note.fail(error)
            return
        self.sizes.show(isoflop_curves(found, desk.laws_of_size()), anew=True)

    def _draw_rates(self) -> None:
        desk, initial = self.desk, self.initial.value
        if desk.runs is None or "learning_rate" not in desk.runs.dropna(axis="columns", how="all"):
            self.rates.clear()
            self.rates_note.say(
                "No runs with a learning_rate are on the desk; choose rates on the left"
            )
            return
        table = desk.sensitivity(initial)
        self.rates.show(sensitivity_curves(desk.runs, table, initial, desk.rates()), anew=True)

    def _measure_masks(self) -> None:
        session = self.desk.session
        if session is None:
            raise ValueError(
                "there is no session whose heads could be masked: ScalingExplorer(session=session)"
            )

        def measured() -> pd.DataFrame:
            if session.scores is None:
                session.detect()
            return session.curve(probes=4)

        self.queues.begin(DRAWING_MASKS, measured, self._show_masks, self.masks_note)

    def _show_masks(self, curve: pd.DataFrame) -> None:
        assert self.desk.session is not None
        fit = fit_retention(curve, self.desk.session.model.head_count)
        self._mask_tables = {"Share of heads at half": fit.halves, "Measured": fit.points}
        self.masks.show(retention_curve(fit), anew=True)

    def _save(self) -> None:
        """Keep the figure in front beside the notebook, under a name that is not taken."""
        desk, tab = self.desk, TABS[self.tabs.selected_index or 0]
        ways: dict[str, Callable[[], tuple[LiveFigure, dict[str, pd.DataFrame], Sequence[str]]]] = {
            "Loss": lambda: (self.loss, {"What each law says": desk.says()}, desk.laws),
            "IsoFLOP": lambda: (
                self.sizes, {"Best size at each compute": desk.isoflop().table,
                             "Best model by each law": desk.optima()},
                [law for law in desk.laws_of_size() if isinstance(law, str)],
            ),
            "Rate and batch": lambda: (
                self.rates, {"Best rates": desk.sensitivity(self.initial.value)}, list(desk.rates())
            ),
            "Mixture": lambda: (self.mixture.figure, self.mixture.tables(), ()),
            "Masks": lambda: (self.masks, self._mask_tables, ()),
        }  # fmt: skip
        if tab not in ways:
            raise ValueError(f"there is no figure in {tab}: open one of {', '.join(ways)}")
        figure, tables, laws = ways[tab]()
        if figure.figure is None:
            raise ValueError(f"there is no figure in {tab} yet: draw one, then save it")
        stem = f"scaling-{tab.split()[0].lower()}"
        names = (f"{stem}{f'-{count}' if count else ''}.html" for count in itertools.count())
        path = next(Path(name) for name in names if not Path(name).exists())
        title = html.unescape(figure.caption.value)
        desk.write_html(path, figure.figure, title=title, tables=tables, laws=laws)
        self.status.say(f"{path} is written, beside the notebook")

    def _show_entry(self, key: str) -> None:
        self.book.value = f"<pre>{escaped(LAWS[key].describe())}</pre>"

    def _code_changed(self) -> None:
        self.code.code = self.desk.code()

    # ---- without a browser ------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is computed any more.

        Args:
            timeout: seconds; None: for ever.

        Returns:
            False if that took longer.
        """
        return self.queues.wait(timeout)

    def close(self) -> None:
        """Stop all work for good; ipywidgets asks for it again when the object goes."""
        leave, self._leave = self._leave, ()
        for end in leave:
            end()
        self.queues.close()
        for widget in inside(self):
            widget.close()
        super().close()


def _optima(table: pd.DataFrame, compute: float) -> str:
    """Where each law puts the best model, as a table."""
    if table.empty:
        return "<p>None of the chosen laws takes params and tokens.</p>"
    rows = "".join(
        f"<tr title='{escaped(str(row['outside']))}'><td>{escaped(str(row['law']))}</td>"
        f"<td>{row['params']:.3g}</td>"
        f"<td>{row['tokens']:.3g}</td><td>{row['tokens_per_parameter']:.3g}</td>"
        f"<td>{row['loss']:.4g}</td><td>{'outside' if row['outside'] else 'measured'}</td></tr>"
        for row in table.to_dict("records")
    )
    return (
        f"<table><caption>the best model of {compute:.3g} FLOP</caption><tr><th>law</th><th>N</th>"
        f"<th>D</th><th>D/N</th><th>loss</th><th>asked where</th></tr>{rows}</table>"
    )
