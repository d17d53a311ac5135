"""Which published laws are looked at, and at what size of run: the left side of the panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets as w
import pandas as pd

from widgets.own_changes import OwnChanges
from widgets.status_line import StatusLine
from workbench.core.text import escaped
from workbench.scaling.laws.book import LAWS
from workbench.scaling.laws.law import Law
from workbench.session.scaling_desk import LINKED, ScalingDesk

RANGES = {"params": (6, 12), "tokens": (8, 14), "compute": (14, 27), "batch_tokens": (3, 8)}
NAMES = {"params": "N, parameters", "tokens": "D, tokens", "compute": "C, FLOP = 6ND",
         "batch_tokens": "tokens a step"}  # fmt: skip
STEP = 0.05  # of a slider, in powers of ten


class LawChooser(w.VBox):
    """A quantity, the laws that give it in one unit, sliders for a run, and what each law says."""

    def __init__(self, desk: ScalingDesk, status: StatusLine) -> None:
        """The controls as the desk has them.

        Args:
            desk: whose laws and inputs are set.
            status: shows the errors.
        """
        self.desk = desk
        self._ours = OwnChanges()
        self.unit = w.Dropdown(
            options=_units(), layout={"width": "100%"},
            tooltip="What the laws give; only those of one unit can be compared",
        )  # fmt: skip
        self.laws = w.SelectMultiple(
            rows=5, layout={"width": "100%"},
            tooltip="Published laws of this unit: Ctrl+click or Shift+arrows for several",
        )  # fmt: skip
        self.lock = w.ToggleButtons(
            options=[(f"keep {one}", name) for one, name in zip("NDC", LINKED, strict=True)],
            tooltips=["Stays as it is when another of the three is moved"] * 3,
            style={"button_width": "68px"},
        )  # fmt: skip
        self.sliders = {
            name: w.FloatLogSlider(
                description=NAMES[name],
                min=low,
                max=high,
                step=STEP,
                readout_format=".2e",
                tooltip=NAMES[name],
                layout={"width": "100%"},
                style={"description_width": "104px"},
            )
            for name, (low, high) in RANGES.items()
        }
        self.table = w.HTML()
        self.table.add_class("aiw-law-table")
        super().__init__(
            [self.unit, self.laws, self.lock, *self.sliders.values(), self.table]
        )  # fmt: skip
        self.add_class("aiw-laws")
        guarded = status.guarded
        for control, act in (
            (self.unit, self._unit_chosen), (self.laws, self._laws_chosen),
            (self.lock, self._locked),
        ):  # fmt: skip
            control.observe(self._unless_ours(guarded(act)), "value")
        for name, slider in self.sliders.items():
            slider.observe(
                self._unless_ours(guarded(lambda value, name=name: self._moved(name, value))),
                "value",
            )
        self.follow()

    def _unless_ours(self, act: Callable[..., None]) -> Callable[[dict[str, object]], None]:
        def changed(change: dict[str, object]) -> None:
            if not self._ours.under_way:
                act(change["new"])

        return changed

    def follow(self) -> None:
        """Set every control to what the desk has, and say what the laws say."""
        desk = self.desk
        unit = LAWS[desk.laws[0]].output.unit
        with self._ours.made():
            self.unit.value = unit
            self.laws.options = [key for key, law in LAWS.items() if law.output.unit == unit]
            self.laws.value = desk.laws
            self.lock.value = desk.locked
            for name, slider in self.sliders.items():
                slider.value = min(max(desk.inputs[name], 10**slider.min), 10**slider.max)
        self.table.value = _says(desk.says()) + _counted([LAWS[key] for key in desk.laws])

    def _unit_chosen(self, unit: str) -> None:
        self.desk.choose([key for key, law in LAWS.items() if law.output.unit == unit])

    def _laws_chosen(self, laws: tuple[str, ...]) -> None:
        if laws:  # none is chosen for a moment while the options change
            self.desk.choose(laws)

    def _locked(self, name: str) -> None:
        self.desk.locked = name

    def _moved(self, name: str, value: float) -> None:
        self.desk.change(name, value)


def _units() -> list[tuple[str, str]]:
    units: dict[str, str] = {}
    for law in LAWS.values():
        name = law.output.name.replace("_", " ")
        units.setdefault(law.output.unit, f"{name}: {law.output.unit}")
    return [(words, unit) for unit, words in units.items()]


def _counted(laws: Sequence[Law]) -> str:
    """In which units the laws count what goes in, and what comes out: papers differ."""
    told: dict[str, list[str]] = {}
    for law in laws:
        for quantity in (law.output, *law.inputs):
            words = f"{quantity.symbol} = {quantity.name.replace('_', ' ')}: {quantity.unit}"
            told.setdefault(words, []).append(law.key)
    lines = [
        words + ("" if len(keys) == len(laws) else f" ({', '.join(keys)})")
        for words, keys in told.items()
    ]
    return f"<p>Counted in: {escaped('; '.join(lines))}.</p>"


def _says(table: pd.DataFrame) -> str:
    """What each law says of the run, as a table, with how far outside its range it is asked."""
    if table.empty:
        return "<p>These laws take more than params, tokens, compute and batch.</p>"
    said = table.to_dict("records")
    rows = [
        f"<tr><td>{escaped(str(row['law']))}</td><td>{row['value']:.4g}</td>"
        f"<td>{'outside' if row['outside'] else 'measured'}</td></tr>"
        for row in said
    ]
    spread = ""
    if len(table) > 1:
        spread = f"<p>The largest is {table['times_least'].max():.2f} times the least.</p>"
    notes = "".join(
        f"<p>{escaped(str(row['law']))}: {escaped(str(row['outside']))}.</p>"
        for row in said
        if row["outside"]
    )
    return (
        f"<table><tr><th>law</th><th>says</th><th>asked where</th></tr>{''.join(rows)}</table>"
        f"{spread}{notes}"
    )
