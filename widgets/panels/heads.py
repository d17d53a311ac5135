"""The grid of heads and what colours it."""

from __future__ import annotations

import ipywidgets as w

from widgets.own_changes import OwnChanges
from widgets.status_line import StatusLine
from widgets.views.head_grid import HeadGrid
from workbench.core.text import escape_control_characters
from workbench.models.heads import HeadSet
from workbench.session.head_colours import HeadColours
from workbench.session.session import Session


class HeadsPanel(w.VBox):
    """Shows the heads of a session and hands it what is clicked."""

    def __init__(self, session: Session, status: StatusLine) -> None:
        """The grid with the choice of its colours.

        Args:
            session: whose heads are shown.
            status: shows the errors.
        """
        self.session, self._status = session, status
        self._ours = OwnChanges()  # of the controls, which are set to what the session says
        self.grid = HeadGrid(session.model, self._refused)
        self.grid.on_mask = self._mask
        self.grid.on_undo = status.guarded(session.undo)
        self.grid.on_redo = status.guarded(session.redo)
        self.colour = w.Dropdown(
            tooltip="What colours the heads",
            layout={"flex": "1 1 auto", "width": "auto"},
        )  # fmt: skip
        careful = status.guarded(session.colour_by)
        self.colour.observe(
            lambda change: None if self._ours.under_way else careful(change["new"]), "value"
        )
        self.lock = w.ToggleButton(
            icon="lock", layout={"width": "30px"},
            tooltip="Keep the scale of the values shown now, so that others of the same quantity "
            "compare; another quantity has its own",
        )  # fmt: skip
        self.lock.observe(self._lock_changed, "value")
        super().__init__([w.HBox([self.colour, self.lock]), self.grid])
        self.add_class("aiw-heads")
        self._shown: HeadColours | None = None
        self._locked: HeadColours | None = None  # whose scale holds for its quantity

    def _mask(self, heads: HeadSet) -> None:
        self._status.clear()
        self.session.mask(heads)

    def _refused(self, error: BaseException) -> None:
        """Say why, and take back what the browser has crossed by itself, ahead of the session."""
        self.follow()
        self._status(error)

    def follow(self) -> None:
        """Set every control to what the session says."""
        palette = self.session.palette
        with self._ours.made():
            self.grid.masked = self.session.heads
            self.grid.compare_with(self.session.state.against)
            options = tuple((escape_control_characters(name), name) for name in palette.names)
            if self.colour.options != options:
                self.colour.options = options
            self.colour.value = palette.colour_by

    def chosen(self) -> HeadSet:
        """The heads whose attention the text shows: the one gone to last, or the masked ones."""
        head = self.grid.chosen_head
        return self.session.heads if head is None else HeadSet.of([head], self.session.model)

    def chosen_words(self) -> str:
        """What `chosen` is, for a reader; empty if it is no head."""
        heads = self.chosen()
        # The heads themselves, since an answer is matched by these words.
        return f"{len(heads)} masked heads: {heads}" if len(heads) > 1 else str(heads)

    def show(self, colours: HeadColours) -> None:
        """Colour the grid.

        Args:
            colours: one value a head; on the locked scale if that is of the same quantity.
        """
        locked = self._locked
        if locked is not None and locked.quantity == colours.quantity:
            colours = colours.on_scale_of(locked)
        self._shown = colours
        self.grid.colour(colours)

    def _lock_changed(self, change: dict[str, bool]) -> None:
        self._locked = self._shown if change["new"] else None
