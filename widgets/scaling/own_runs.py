"""Laws fitted to one's own runs: hold some out, and see whether the fit predicts them."""

from __future__ import annotations

from collections.abc import Collection

import ipywidgets as w

from widgets.own_changes import OwnChanges
from widgets.scaling.run_table import RunTable
from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from workbench.core.text import escaped
from workbench.scaling.law_fit import REFITTED
from workbench.scaling.laws.book import LAWS
from workbench.session.scaling_desk import ScalingDesk

FITTING = "fitting the law"
EMPTY = (
    "<p>No runs are on the desk: choose a file, or paste cells of a spreadsheet; in Python, "
    "<code>ScalingExplorer(runs=wb.training_runs('arms/'))</code>.</p>"
)
SHOWN = 8  # runs that are held out whose predictions are listed


class OwnRuns(w.VBox):
    """Chooses the law that is fitted and the runs that are kept from it.

    Once a law was fitted, it is fitted again whenever runs are held out, taken back or edited.
    """

    def __init__(self, desk: ScalingDesk, status: StatusLine, queues: TaskQueues) -> None:
        """The controls; without runs, those that bring some.

        Args:
            desk: whose runs are fitted.
            status: shows the errors.
            queues: do the work.
        """
        self.desk, self._queues, self._ours = desk, queues, OwnChanges()
        self.note = Note()
        self.found = w.HTML()
        self.empty = w.HTML(EMPTY)
        self.law = w.Dropdown(
            tooltip="The law to fit", layout={"width": "170px"},
        )  # fmt: skip
        self.refit = w.Button(
            description="Fit to my runs", icon="refresh", layout={"width": "auto"},
            tooltip="Fit the law to the runs that are not held out, with intervals (200 resamples)",
        )  # fmt: skip
        self.held = w.SelectMultiple(
            rows=4, layout={"width": "100%"},
            tooltip="Runs to hold out of the fit (Ctrl+click or Shift+arrows for several; or "
            "click a point of the figure)",
        )  # fmt: skip
        self.bring = w.ToggleButton(
            description="File or table", icon="table", layout={"width": "auto"},
            value=desk.runs is None,
            tooltip="Bring runs from a file or a spreadsheet, or edit those that are here",
        )  # fmt: skip
        self.table = RunTable(desk, status, before=self._remember)
        self._follows: str | None = None  # the law that is fitted again when the runs change
        self._known: object = None  # the table of runs that the controls were made for
        self.refit.on_click(status.guarded(lambda _: self._refit(), self.note))
        hold_out = status.guarded(self._hold_out, self.note)
        self.held.observe(
            lambda change: None if self._ours.under_way else hold_out(change["new"]), "value"
        )
        self.bring.observe(lambda _: self._arrange(), "value")
        line = w.HBox([self.empty, self.law, self.refit, self.bring, self.note])
        super().__init__([line, self.table, self.held, self.found])
        self._arrange()
        self.follow()

    def _arrange(self) -> None:
        """Show what there is something to do with.

        The rest is hidden: children that change are drawn anew, under the pointer that clicks them.
        """
        here = self.desk.runs is not None
        _display(not here, self.empty)
        _display(here, self.law, self.refit, self.held, self.found)
        _display(self.bring.value, self.table)

    def _refit(self) -> None:
        law = self.law.value
        if law is None:
            have = () if self.desk.runs is None else tuple(self.desk.runs)
            raise ValueError(
                "the runs lack the columns of every law (params, tokens and loss for most of "
                f"them): they have {', '.join(map(str, have)) or 'none'}"
            )
        self._follows = law
        work = lambda: self.desk.refit(law)  # noqa: E731
        self._queues.begin(FITTING, work, note=self.note, anew=True)

    def _remember(self) -> None:
        """Before the desk forgets its fit: which law it was of."""
        if self.desk.fit is not None:
            self._follows = self.desk.fit.law.key.removesuffix(REFITTED)

    def _hold_out(self, rows: Collection[int]) -> None:
        self._remember()
        self.desk.hold_out(rows)
        self._again()

    def _again(self) -> None:
        if self._follows in self.law.options:
            self.law.value = self._follows
            self._refit()

    def toggle(self, row: int) -> None:
        """Hold a run out, or take it back; where a law was fitted, it is fitted again.

        Args:
            row: its number in the runs of the desk.
        """
        self._hold_out(self.desk.held_out ^ {row})

    def follow(self) -> None:
        """Show which runs are held out, and what the fit to the others says of them."""
        desk = self.desk
        if self._known is not desk.runs:
            before, self._known = self._known, desk.runs
            with self._ours.made():
                self.held.value = ()
                chosen, laws = self.law.value, _fitting(desk)
                self.law.options, self.held.options = laws, _runs(desk)
                self.law.value = chosen if chosen in laws else next(iter(laws), None)
            self._arrange()
            if before is not None:
                self._again()
        with self._ours.made():
            self.held.value = tuple(sorted(desk.held_out))
        fit = desk.fit
        if fit is None:
            self.found.value = ""
            return
        lines = [f"<pre>{escaped(fit.describe())}</pre>", f"<p>{escaped(fit.units)}</p>"]
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


def _display(on: bool, *controls: w.DOMWidget) -> None:
    for control in controls:
        control.layout.display = "" if on else "none"


def _fitting(desk: ScalingDesk) -> list[str]:
    """Laws whose inputs and output the runs have."""
    columns = set() if desk.runs is None else set(desk.runs.dropna(axis="columns", how="all"))
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
