"""All heads as a table beside the grid: sorted by any value, the highest masked with one click."""

from __future__ import annotations

import ipywidgets as w

from widgets.status_line import Note, StatusLine
from widgets.tasks.task_queues import TaskQueues
from widgets.views.head_grid import HeadGrid
from widgets.views.head_table import HeadTable
from workbench.core.text import escaped
from workbench.detection.report import HeadReport
from workbench.models.heads import cut_size
from workbench.session.head_colours import ESTIMATE, RETRIEVAL
from workbench.session.head_table import HIGH, LOW, head_table
from workbench.session.session import Session

CHECKING, MASKING = "checking the heads", "masking the top of the table"
CHECK, FIND_FIRST = "Check the heads", "Find and check the heads"
NAMED = ("layer", "head", "masked")  # columns by which nothing can be masked


class HeadListPanel(w.VBox):
    """Lists the heads of a session.

    The head of a row that is clicked is chosen in the grid, that of a row that is pointed at or
    gone to is outlined there.
    """

    def __init__(
        self, session: Session, status: StatusLine, queues: TaskQueues, grid: HeadGrid
    ) -> None:
        """The table with what masks its highest heads.

        Args:
            session: whose heads are listed.
            status: shows the errors.
            queues: do the work.
            grid: whose chosen head is that of the opened row.
        """
        self.session, self._status, self._queues = session, status, queues
        self._grid = grid
        every = session.model.head_count
        self.note = Note()
        self.top = w.Button(
            description="Mask the top", layout={"width": "auto"},
            tooltip="Mask the heads of highest value in the column that sorts the table",
        )  # fmt: skip
        self.top.on_click(status.guarded(lambda _: self._mask_top(), self.note))
        self.count = w.BoundedIntText(
            value=cut_size(0.05, every), min=1,
            max=max(every - 1, 1), layout={"width": "58px", "flex": "none"},
            tooltip="How many heads 'Mask the top' masks",
        )  # fmt: skip
        self.ties = w.ToggleButton(
            description="ties", layout={"width": "auto"},
            tooltip="Where heads of equal value tie at the cut, let the lower layer and head win",
        )  # fmt: skip
        self.check = w.Button(
            description=CHECK, icon="stethoscope", layout={"width": "auto"},
            tooltip="Do lookups need the top 5 %, and is the set the same on other probes? Takes "
            "some minutes; the verdict stands above as a badge",
        )  # fmt: skip
        self.check.on_click(status.guarded(lambda _: self._check(), self.note))
        self.ranking = w.HTML()
        self.ranking.add_class("aiw-source")  # one line, cut where there is no room
        self.table = HeadTable(status)
        self.table.on_sort = status.guarded(self._sort)
        self.table.on_open = status.guarded(self._choose)
        self.table.add_class("aiw-fill")
        super().__init__(
            [
                w.HBox([self.top, self.count, self.ranking, self.ties]),
                w.HBox([self.check, self.note]),
                self.table,
            ]
        )
        self.add_class("aiw-head-list")
        # Column and direction, once a title is clicked.
        self._sorted: tuple[str, bool] | None = None
        self._showing = False
        grid.observe(self._chosen, "chosen")
        # In the browser alone, so that it is quick and no table but this one tells Python.
        self._pointing = w.jsdlink((self.table, "pointed"), (grid, "pointed"))

    def show(self, on: bool) -> None:
        """Begin or end to follow the session, as the panel comes to the front or goes.

        Args:
            on: whether it is in front.
        """
        self._showing = on
        self.follow()

    def close(self) -> None:
        """Close the panel and its link with the grid."""
        self._pointing.close()
        super().close()

    def follow(self) -> None:
        """Show what the session knows now, if anybody looks, and estimate the influences."""
        if not self._showing:
            return
        self._show()
        if ESTIMATE not in self.session.known_colours():  # one backward pass
            # Then it only shows: values that are not kept would be asked for without end.
            self._queues.colours.do(
                "the influence of every head", lambda: self.session.colours(name=ESTIMATE),
                lambda _: self._show(),
            )  # fmt: skip

    def _show(self) -> None:
        with self.session.lock:  # what was read first is shown first
            self.check.description = FIND_FIRST if self.session.probes is None else CHECK
            table = head_table(self.session)
            known = self.session.known_colours()
            if self._sorted is not None and self._sorted[0] not in table:
                self._sorted = None  # a token of another text is no longer asked about
            by, ascending = self._order()
            self.table.show(table, known, self.session.model.num_heads, by, ascending)
            self.ranking.value = f"by <b>{escaped(self._ranking())}</b>"

    def _order(self) -> tuple[str, bool]:
        """The column that sorts the table, and whether its lowest value comes first."""
        first = ("layer", True) if self.session.scores is None else (RETRIEVAL, False)
        return self._sorted or first

    def _ranking(self) -> str:
        """The column that heads are masked by: the sorted one, if it ranks."""
        by, _ = self._order()
        if by in (LOW, HIGH) or (by in NAMED and self.session.scores is not None):
            return RETRIEVAL
        return ESTIMATE if by in NAMED else by

    def _sort(self, by: str) -> None:
        # The highest values are of interest, and the first layer.
        before, ascending = self._order()
        self._sorted = by, (not ascending if by == before else by == "layer")
        self.follow()

    def _check(self) -> None:
        session = self.session

        def check() -> HeadReport:
            if session.probes is None:  # nothing is known of how the scores came about
                session.detect()
            return session.check_heads()

        self._queues.begin(
            CHECKING, check, lambda report: self.note.say(report.verdict), self.note
        )  # fmt: skip

    def _choose(self, position: int) -> None:
        self._grid.chosen = position

    def _chosen(self, change: dict[str, int]) -> None:
        self.table.reveal(change["new"])

    def _mask_top(self) -> None:
        session, count, by = self.session, self.count.value, self._ranking()
        ties = self.ties.value
        self._status.beside(MASKING, self.note)
        self._status.offer("allow_ties=True", "Allow ties", self._allow_ties)
        self._queues.colours.do(  # values that are not there yet are computed first
            MASKING, lambda: session.top(count, by=by, allow_ties=ties), lambda _: self.follow()
        )

    def _allow_ties(self) -> None:
        self.ties.value = True
        self._mask_top()
