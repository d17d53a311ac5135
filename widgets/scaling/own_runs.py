"""Laws fitted to one's own runs: hold some out, and see whether the fit predicts them."""

from __future__ import annotations

import ipywidgets as w

from widgets.escaping import escaped
from widgets.panels.named import named
from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.own_changes import OwnChanges
from workbench.scaling.law_book import LAWS
from workbench.session.scaling_desk import ScalingDesk

FITTING = "fitting the law"
SHOWN = 8  # runs that are held out whose predictions are listed


class OwnRuns(w.VBox):
    """Chooses the law that is fitted and the runs that are kept from it."""

    def __init__(self, desk: ScalingDesk, status: StatusLine, queues: TaskQueues) -> None:
        """The controls; without runs, a sentence that says how to bring some.

        Args:
            desk: whose runs are fitted.
            status: shows the errors.
            queues: do the work.
        """
        self.desk, self._queues, self._ours = desk, queues, OwnChanges()
        self.note = Note()
        self.found = w.HTML()
        self.law = named(w.Dropdown(
            description="Law to fit", options=_fitting(desk), tooltip="The law to fit",
            layout={"width": "170px"},
        ))  # fmt: skip
        self.refit = w.Button(
            description="Fit to my runs", icon="refresh", layout={"width": "auto"},
            tooltip="Fit the law to the runs that are not held out, with intervals (200 resamples)",
        )  # fmt: skip
        self.held = named(w.SelectMultiple(
            description="Runs to hold out", rows=4, options=_runs(desk),
            layout={"width": "100%"},
            tooltip="Runs that are kept from the fit (Ctrl+click or Shift+arrows for several)",
        ))  # fmt: skip
        self.refit.on_click(status.guarded(lambda _: self._refit(), self.note))
        hold_out = status.guarded(desk.hold_out, self.note)
        self.held.observe(
            lambda change: None if self._ours.under_way else hold_out(change["new"]), "value"
        )
        if desk.runs is None:
            words = (
                "<p>No runs are on the desk. <code>ScalingExplorer(runs=wb.training_runs("
                "'arms/'))</code> puts yours here: a table with params, tokens and loss.</p>"
            )
            super().__init__([w.HTML(words)])
        else:
            line = w.HBox([self.law, self.refit, self.note])
            super().__init__([line, self.held, self.found])

    def _refit(self) -> None:
        law = self.law.value
        self._queues.begin(FITTING, lambda: self.desk.refit(law), note=self.note)

    def follow(self) -> None:
        """Show which runs are held out, and what the fit to the others says of them."""
        desk = self.desk
        with self._ours.made():
            self.held.value = tuple(sorted(desk.held_out))
        fit = desk.fit
        if fit is None:
            self.found.value = ""
            return
        lines = [f"<pre>{escaped(fit.describe())}</pre>"]
        held = desk.held()
        for row in held.head(SHOWN).itertuples():
            seen = getattr(row, fit.output)
            words = "inside" if row.inside else "outside"
            lines.append(
                f"<p>{_size(row)}: seen {seen:.4g}, predicted {row.predicted:.4g}, a run "
                f"[{row.run_low:.4g}, {row.run_high:.4g}]: {words}</p>"
            )
        if len(held):
            lines.append(f"<p>{int(held['inside'].sum())} of {len(held)} held out lie inside.</p>")
        self.found.value = "".join(lines)


def _fitting(desk: ScalingDesk) -> list[str]:
    """Laws whose inputs and output the runs have."""
    columns = set() if desk.runs is None else set(desk.runs)
    able = [
        key
        for key, law in LAWS.items()
        if {quantity.name for quantity in law.inputs} | {law.output.name} <= columns
    ]
    return sorted(able, key=lambda key: key not in desk.laws)  # those that are looked at first


def _runs(desk: ScalingDesk) -> list[tuple[str, int]]:
    if desk.runs is None:
        return []
    return [(_size(row), number) for number, row in enumerate(desk.runs.itertuples())]


def _size(row: object) -> str:
    return f"{row.params:.3g} parameters, {row.tokens:.3g} tokens"  # type: ignore[attr-defined]
