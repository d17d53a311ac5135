"""The grid of heads with everything that chooses heads: presets, text, mode, colours."""

from __future__ import annotations

import ipywidgets as w

from widgets.problem_box import ProblemBox, escaped
from widgets.views.head_grid import HeadGrid
from widgets.views.own_changes import OwnChanges
from workbench.models.heads import cut_size
from workbench.session.session import Session

NARROW = {"width": "auto"}
MODES = [("uniform attention", "uniform"), ("zero output", "zero"), ("mean output", "mean")]


class HeadsPanel(w.VBox):
    """Shows the heads of a session and hands it what is clicked."""

    def __init__(self, session: Session, problem: ProblemBox, detect: w.Button) -> None:
        """The grid and its controls.

        Args:
            session: whose heads are shown.
            problem: shows the errors.
            detect: the button that scores the heads.
        """
        self.session = session
        self._ours = OwnChanges()  # of the controls, which are set to what the session says
        guarded = problem.guarded
        self.grid = HeadGrid(session.model, problem)
        self.grid.on_mask = guarded(session.mask)
        self.grid.on_undo = guarded(session.undo)
        self.grid.on_redo = guarded(session.redo)

        def button(text: str, tooltip: str, click: object) -> w.Button:
            button = w.Button(description=text, tooltip=tooltip, layout=NARROW)
            button.on_click(guarded(lambda _: click()))  # type: ignore[operator]
            return button

        def chosen(widget: w.Widget, act: object) -> None:
            careful = guarded(act)  # type: ignore[arg-type]

            def changed(change: dict[str, object]) -> None:
                if not self._ours.under_way:
                    careful(change["new"])

            widget.observe(changed, "value")

        every = session.model.head_count
        self.colour = w.Dropdown(description="Colour by", layout={"width": "320px"})
        chosen(self.colour, session.colour_by)
        self.detect = detect
        self.top = w.IntSlider(
            description="Top heads", min=0, max=every - 1, value=0, continuous_update=False,
            layout={"width": "320px"},
        )  # fmt: skip
        chosen(self.top, session.top)
        self.top5 = button(
            "Top 5 %", "Mask the 5 % of heads with the highest retrieval score",
            lambda: session.top(cut_size(0.05, every)),
        )  # fmt: skip
        self.seed = w.BoundedIntText(
            description="seed", min=0, max=2**31 - 1, layout={"width": "130px"},
            style={"description_width": "initial"},
        )  # fmt: skip
        self.random = button(
            "Random control", "Mask as many heads drawn at random from the others",
            lambda: session.random(self.seed.value),
        )  # fmt: skip
        chosen(self.seed, lambda seed: session.random(seed) if session.state.control_of else None)
        self.invert = button("Invert", "Mask what is not masked", session.invert)
        self.clear = button("Clear", "Unmask all heads", session.clear)
        self.undo = button("Undo", "Take the last change back (Ctrl+Z in the grid)", session.undo)
        self.redo = button("Redo", "Do it again (Ctrl+Shift+Z in the grid)", session.redo)
        self.names = w.Text(
            description="Heads", placeholder="L17H3 L18H6", continuous_update=False,
            layout={"width": "100%"},
        )  # fmt: skip
        chosen(self.names, session.mask)
        self.mode = w.Dropdown(description="Masked to", options=MODES, layout={"width": "260px"})
        chosen(self.mode, session.set_mode)
        self.keep = button(
            "Compare with these", "Show changes from the losses under the present mask",
            lambda: session.compare_with(session.heads),
        )  # fmt: skip
        self.stock = button(
            "Compare with no mask", "Show changes from the losses of the model as it is",
            session.compare_with,
        )  # fmt: skip
        self.against = w.HTML()
        super().__init__(
            [
                w.HBox([self.colour, self.detect]),
                self.grid,
                w.HBox([self.top, self.top5, self.random, self.seed], layout={"flex_flow": "wrap"}),
                w.HBox(
                    [self.undo, self.redo, self.invert, self.clear, self.mode, self.keep,
                     self.stock, self.against],
                    layout={"flex_flow": "wrap"},
                ),
                self.names,
            ]
        )  # fmt: skip

    def follow(self) -> None:
        """Set every control to what the session says."""
        session, state = self.session, self.session.state
        with self._ours.made():
            self.grid.masked = state.heads
            self.names.value = str(state.heads)
            self.mode.value = state.mode
            self.undo.disabled = not session.history.can_undo
            self.redo.disabled = not session.history.can_redo
            self.top.disabled = self.top5.disabled = session.scores is None
            self.top.value = session.top_count() or 0
            self.random.disabled = not (state.heads or state.control_of)
            self.against.value = (
                f"compared with {escaped(str(state.against))}" if state.against else ""
            )
            self.stock.disabled = not state.against
            palette = session.palette
            if self.colour.options != tuple(palette.names):
                self.colour.options = tuple(palette.names)
            self.colour.value = palette.colour_by
