"""The grid of heads and what colours it."""

from __future__ import annotations

import ipywidgets as w

from widgets.status_line import StatusLine
from widgets.views.head_grid import HeadGrid
from widgets.views.own_changes import OwnChanges
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
        self.session = session
        self._ours = OwnChanges()  # of the controls, which are set to what the session says
        self.grid = HeadGrid(session.model, status)
        self.grid.on_mask = status.guarded(session.mask)
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
            tooltip="Keep this scale for the next values of the same kind, so that they compare",
        )  # fmt: skip
        super().__init__([w.HBox([self.colour, self.lock]), self.grid])
        self.add_class("aiw-heads")
        self._shown: HeadColours | None = None

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
            colours: one value a head; on the scale before if that is locked and of the same kind.
        """
        before = self._shown
        if self.lock.value and before is not None and before.diverging == colours.diverging:
            colours = colours.on_scale_of(before)
        self._shown = colours
        self.grid.colour(colours)
