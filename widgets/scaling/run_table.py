"""One's own runs without Python: a file, cells pasted from a spreadsheet, or numbers edited.

What is typed here is read by `wb.runs_from_text`, which says what it refuses and why.
"""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w

from widgets.status_line import Note, StatusLine
from workbench.scaling.run_text import runs_as_text
from workbench.session.scaling_desk import ScalingDesk
from workbench.training.run_records import runs_from_text

MOST_BYTES = 2_000_000  # of a file that is sent through the page
EXAMPLE = (
    "run\tparams\ttokens\tloss\tlearning_rate\nsmall\t1e7\t2e8\t3.91\t1e-3\n\n"
    "Paste cells of a spreadsheet here, the names of the columns in the first line: params, tokens "
    "and loss, and what else is known (learning_rate, batch_tokens, ...). Commas and semicolons "
    "between the cells will do as well."
)


class RunTable(w.VBox):
    """A file to choose, and a table to paste or edit, which become the runs of the desk."""

    def __init__(
        self, desk: ScalingDesk, status: StatusLine, before: Callable[[], object] = lambda: None
    ) -> None:
        """Nothing is taken until a file is chosen or the button pressed.

        Args:
            desk: gets the runs.
            status: shows the errors.
            before: is called when a table was read, before the desk gets it.
        """
        self.desk, self._before = desk, before
        self.note = Note()
        self.file = w.FileUpload(
            accept=".csv,.tsv,.txt", multiple=False, description="File of runs",
            layout={"width": "auto"},
            tooltip="A CSV or TSV file with the columns params, tokens and loss",
        )  # fmt: skip
        self.edit = w.Button(
            description="Show my runs", icon="pencil", layout={"width": "auto"},
            tooltip="Write the runs that are on the desk into the field, to edit them",
        )  # fmt: skip
        self.take = w.Button(
            description="Take these runs", icon="check", layout={"width": "auto"},
            tooltip="Put the table in the field on the desk, in place of the runs that are there",
        )  # fmt: skip
        self.cells = w.Textarea(
            placeholder=EXAMPLE, rows=7, layout={"width": "100%"},
            continuous_update=False, tooltip="Table of runs, such as cells of a spreadsheet",
        )  # fmt: skip
        self.cells.add_class("aiw-cells")
        guarded = status.guarded
        self.file.observe(guarded(lambda _: self._chosen(), self.note), "value")
        self.edit.on_click(guarded(lambda _: self._show(), self.note))
        self.take.on_click(guarded(lambda _: self._take(), self.note))
        line = w.HBox([self.file, self.edit, self.take, self.note])
        super().__init__([line, self.cells])

    def _chosen(self) -> None:
        if not self.file.value:
            return
        chosen = self.file.value[0]
        name, content = str(chosen["name"]), bytes(chosen["content"])
        self.file.value = ()  # so that the same file can be chosen again, mended
        if len(content) > MOST_BYTES:
            raise ValueError(
                f"{name} has {len(content):,} bytes, and a page takes {MOST_BYTES:,}: keep one "
                "line a run, or give the path to wb.training_runs"
            )
        self._bring(content, name)
        self._show()

    def _take(self) -> None:
        self._bring(self.cells.value, "pasted cells")

    def _bring(self, content: str | bytes, origin: str) -> None:
        runs = runs_from_text(content)
        self._before()
        self.desk.bring(runs, origin)
        self.note.say(f"{len(runs)} runs from {origin}")

    def _show(self) -> None:
        if self.desk.runs is None:
            raise ValueError("no runs are on the desk yet: choose a file, or paste a table")
        self.cells.value = runs_as_text(self.desk.runs, "\t")
