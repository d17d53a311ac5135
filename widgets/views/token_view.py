"""A text token by token, coloured by what a mask does to the loss of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from ipywidgets.widgets.trait_types import CByteMemoryView

from widgets.problem_box import Report, raises
from workbench.core.text import visible
from workbench.masking.token_changes import Guess, TokenChanges

HERE = Path(__file__).parent
NOTHING = np.zeros(0, np.float32).tobytes()


class TokenView(anywidget.AnyWidget):
    """The tokens of a `TokenChanges`, with details of the one that is pointed at.

    The owner sets on_predict(token), which answers later with `tell`; on_ask(token), a click;
    on_undo and on_redo. report hears of errors in handling what the browser sent.
    """

    _esm = HERE / "token_view.js"
    _css = HERE / "token_view.css"

    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
    before = CByteMemoryView(NOTHING).tag(sync=True)  # (n,) float32 nats
    after = CByteMemoryView(NOTHING).tag(sync=True)
    reach = traitlets.Float(1.0).tag(sync=True)
    summary = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    labels = traitlets.List(traitlets.Unicode(), ["before", "after"]).tag(sync=True)
    order = traitlets.Enum(["text", "hurt"], "text").tag(sync=True)
    selected = traitlets.Int(-1).tag(sync=True)
    stamp = traitlets.Int(0).tag(sync=True)
    stale = traitlets.Bool(False).tag(sync=True)  # another text or mask is being computed
    theme = traitlets.Enum(["", "light", "dark"], "").tag(sync=True)  # told by the browser, if any

    def __init__(self, report: Report = raises, **traits: Any) -> None:
        super().__init__(**traits)
        self.report = report
        self.on_predict: Callable[[int], object] = lambda token: None
        self.on_ask: Callable[[int], object] = lambda token: None
        self.on_undo: Callable[[], object] = lambda: None
        self.on_redo: Callable[[], object] = lambda: None
        self.on_msg(self.handle)

    def show(self, changes: TokenChanges, before: str, after: str) -> None:
        """Show these losses; before and after name the two head sets."""
        left_out = f"{changes.left_out:,} more tokens of this text are not read"
        with self.hold_sync():
            self.tokens = [visible(piece) for piece in changes.pieces]
            self.before = changes.before.astype(np.float32).tobytes()
            self.after = changes.after.astype(np.float32).tobytes()
            self.reach = changes.reach
            self.summary = changes.describe()
            self.note = left_out if changes.left_out else ""
            self.labels = [before, after]
            self.stale = False
            self.stamp += 1

    def tell(self, token: int, stamp: int, before: Sequence[Guess], after: Sequence[Guess]) -> None:
        """The predictions in the place of a token, before and after."""
        sides = {"before": before, "after": after}
        rows = {key: [[visible(one.text), one.probability] for one in side]
                for key, side in sides.items()}  # fmt: skip
        self.send({"kind": "guesses", "token": token, "stamp": stamp, **rows})

    def handle(self, _: Any, message: dict[str, Any], buffers: Any = None) -> None:
        """What the browser says; of another text than the one shown, it is out of date."""
        try:
            action = message["action"]
            if action in ("undo", "redo"):
                (self.on_undo if action == "undo" else self.on_redo)()
            elif message["stamp"] == self.stamp:
                {"predict": self.on_predict, "ask": self.on_ask}[action](int(message["token"]))
        except Exception as error:
            self.report(error)
