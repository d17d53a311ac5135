"""The text that is looked at: its tokens, a box to type another one in, and the next document."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w

from widgets.own_changes import OwnChanges
from widgets.panels.examples import EXAMPLES
from widgets.status_line import Note, StatusLine
from widgets.views.token_view import TokenView
from workbench.core.text import escaped
from workbench.session.head_colours import NEED
from workbench.session.session import Session

ORDERS = [("reading order", "text"), ("most hurt first", "hurt")]
NARROW = {"width": "30px"}
WINDOW = {"width": "58px", "flex": "none"}


class TextPanel(w.VBox):
    """Shows the text of a session; what the tokens lose is shown when it is computed."""

    def __init__(self, session: Session, status: StatusLine) -> None:
        """The tokens; in their place, when asked for, a box to type another text in.

        Args:
            session: whose text is shown.
            status: shows the errors.
        """
        self.session = session
        self.on_step: Callable[[int], object] = lambda by: None  # to the next document of a table
        self.on_whole: Callable[[bool], object] = lambda whole: None  # of the opened document
        self._written = ""  # into the box
        guarded = status.guarded
        self.tokens = TokenView(status)
        self.tokens.on_undo = guarded(session.undo)
        self.tokens.on_redo = guarded(session.redo)
        self.tokens.on_step = lambda by: self.on_step(by)
        self.order = w.Dropdown(
            options=ORDERS, layout={"width": "130px", "flex": "none"},
            tooltip="The order of the tokens",
        )  # fmt: skip
        w.link((self.order, "value"), (self.tokens, "order"))
        # Both stand under the legend of the tokens, which has the lock: one end of the scale.
        self.other = TokenView(status, locked=True)
        w.dlink((self.tokens, "color_max"), (self.other, "color_max"))
        self.other.add_class("aiw-side")
        w.link((self.order, "value"), (self.other, "order"))
        w.link((self.tokens, "step_by"), (self.other, "step_by"))
        self.sides = w.ToggleButton(
            description="A | B", layout={"width": "auto"},
            tooltip="The text twice, each against the model without a mask: left under the heads "
            "that are compared with (Compare), right under those that are masked now",
        )  # fmt: skip
        self._texts = w.HBox([self.tokens])
        self._texts.add_class("aiw-texts")
        self.before = self._step_button(
            "chevron-left", "The document above, in the table (Alt+Up in the text)", -1
        )
        self.after = self._step_button(
            "chevron-right", "The document below, in the table (Alt+Down in the text)", 1
        )
        self._ours = OwnChanges()  # of the control, which is set to what the session says
        self.step_note = Note()  # of no width while it says nothing
        self.step_note.layout = {"flex": "0 1 auto", "width": "auto", "margin": "0"}
        self.window = w.BoundedIntText(
            value=1, min=1, max=1, layout=WINDOW,
            tooltip="Window of the text: a long one is read window by window, each by itself",
        )  # fmt: skip
        turn = guarded(lambda number: session.read_window(number - 1))
        self.window.observe(
            lambda change: None if self._ours.under_way else turn(change["new"]), "value"
        )
        self.of = w.Label()
        self._windows = w.HBox([w.Label("window"), self.window, self.of])
        self.whole = w.ToggleButton(
            description="whole document", layout={"width": "auto"},
            tooltip="Only a part of this document was read for its score, and only that is shown: "
            "show all of it",
        )  # fmt: skip
        self.whole.observe(self._ask_for_whole, "value")
        self._parts = w.HBox([self._windows, self.whole], layout={"flex": "none"})
        self.source = w.HTML()
        self.source.add_class("aiw-source")
        self.edit = w.ToggleButton(
            description="Edit", icon="pencil", layout={"width": "auto"},
            tooltip="Type or paste another text, or take an example",
        )  # fmt: skip
        self.box = w.Textarea(continuous_update=False, tooltip="The text to read")
        self.box.add_class("aiw-text-box")
        self.examples = w.Dropdown(
            options=[("an example ...", ""), *EXAMPLES],
            layout={"width": "200px"},
            tooltip="Example texts, which show at once what retrieval heads do",
        )  # fmt: skip
        self.examples.observe(self._take_example, "value")
        self.note = Note()
        self.read = w.Button(
            description="Read this text", layout={"width": "auto"}, button_style="primary",
            tooltip="Show the losses of the text in the box",
        )  # fmt: skip
        self.read.on_click(guarded(lambda _: self._read(), self.note))
        self._editor = w.VBox(
            [self.box, w.HBox([self.read, self.examples]), self.note], layout={"display": "none"}
        )
        self._editor.add_class("aiw-editor")
        self.edit.observe(self._show_editor, "value")
        line = [
            self.order, self.sides, self.before, self.after, self.step_note, self.source, self.edit,
        ]  # fmt: skip
        super().__init__([w.HBox(line), self._parts, self._texts, self._editor])
        self.add_class("aiw-text")
        self.follow_sides()

    def _step_button(self, icon: str, tooltip: str, by: int) -> w.Button:
        made = w.Button(icon=icon, tooltip=tooltip, layout=NARROW)
        made.on_click(lambda _: self.on_step(by))
        return made

    def _ask_for_whole(self, change: dict[str, bool]) -> None:
        if self._ours.under_way:
            return
        self.on_whole(change["new"])
        with self._ours.made():  # pressed when it is shown; what cannot be opened never is
            self.whole.value = bool(self.session.whole)

    def _take_example(self, change: dict[str, str]) -> None:
        if change["new"]:
            self.box.value = change["new"]
            self.examples.value = ""
            self.read.click()

    def _read(self) -> None:
        self.session.read(self.box.value)
        self.edit.value = False

    def _show_editor(self, change: dict[str, bool]) -> None:
        self._editor.layout.display = "" if change["new"] else "none"
        self._texts.layout.display = "none" if change["new"] else ""

    def follow_sides(self) -> None:
        """Offer two texts side by side where two head sets are compared, and only there."""
        self.sides.disabled = not self.session.state.against
        self._texts.children = (self.tokens, self.other) if self.two else (self.tokens,)

    @property
    def two(self) -> bool:
        """Whether the text stands there twice, under each of the two head sets."""
        return self.sides.value and bool(self.session.state.against)

    def close(self) -> None:
        """Close the text that may be out of sight, too."""
        self.other.close()
        super().close()

    def follow(self) -> None:
        """Show the text of the session in the box, and which token was asked about."""
        session = self.session
        self.follow_sides()
        if session.text != self._written:  # else what is being typed would be lost
            self.box.value = self._written = session.text
        document, position, corpus = session.document, session.position, session.corpus
        label = "" if document is None else f"<bdi><b>{escaped(document)}</b></bdi>"
        if position is not None and corpus is not None:
            label += f", {escaped(corpus.status(position))}"
        self.source.value = label
        for button in (self.before, self.after):
            button.disabled = position is None
        windows = session.windows
        with self._ours.made():
            self.window.max = max(windows, self.window.value)  # it is never below the value
            self.window.value = session.state.window + 1
            self.window.max = windows
            self.whole.value = bool(session.whole)
        self.of.value = f"of {windows:,}"
        self._windows.layout.display = "" if windows > 1 else "none"
        self.whole.layout.display = "none" if session.whole is None else ""
        self._parts.layout.display = "none" if windows == 1 and session.whole is None else ""
        palette = session.palette
        asked = palette.token if palette.colour_by == NEED else None
        self.tokens.selected = -1 if asked is None else asked
