"""Points of two values, up to hundreds of thousands, chosen by a box or a lasso."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets
from ipywidgets.widgets.trait_types import CByteMemoryView

from widgets.error_report import Report, raises
from widgets.views.browser_files import module, stylesheet
from widgets.views.view import View
from workbench.core.text import escape_control_characters


class Scatter(View):
    """An empty plane until `show`.

    The owner sets on_select(corners of a polygon, as the points are plotted; None: the selection
    was taken away) and on_open(position of a point that was clicked).

    Attributes:
        x: float32, one a point, as plotted; NaN: the point is not shown.
        y: as `x`.
        group: one byte a point: its group, which gives it a colour.
        kept: one byte a point: 1 if it passes the filters; the others are faint.
        axes: label, low and high end of `x` and `y` (as plotted), and whether it is logarithmic.
        groups: their names.
        opened: position of the opened point, or -1.
    """

    _esm = module("scatter")
    _css = stylesheet("scatter")

    x = CByteMemoryView(b"").tag(sync=True)
    y = CByteMemoryView(b"").tag(sync=True)
    group = CByteMemoryView(b"").tag(sync=True)
    kept = CByteMemoryView(b"").tag(sync=True)
    axes = traitlets.Dict().tag(sync=True)
    groups = traitlets.List(traitlets.Unicode()).tag(sync=True)
    opened = traitlets.Int(-1).tag(sync=True)

    def __init__(self, report: Report = raises) -> None:
        """An empty plane.

        Args:
            report: is called with errors in handling what the browser sent.
        """
        super().__init__()
        self.report = report
        self.on_select: Callable[[Sequence[tuple[float, float]] | None], object] = lambda _: None
        self.on_open: Callable[[int], object] = lambda position: None
        self.on_msg(self._heard)

    def show(
        self,
        x: np.ndarray,
        y: np.ndarray,
        group: np.ndarray,
        groups: Sequence[str],
        axes: dict[str, dict[str, Any]],
    ) -> None:
        """Show points, all of which are kept.

        Args:
            x: one coordinate of the points as plotted, shape (points,).
            y: the other one.
            group: number of the group of each point.
            groups: names of the groups.
            axes: "x" and "y": label, low, high (as plotted) and log.
        """
        with self.hold_sync():
            self.x, self.y = x.astype(np.float32).tobytes(), y.astype(np.float32).tobytes()
            self.group = np.minimum(group, 255).astype(np.uint8).tobytes()
            self.groups = [escape_control_characters(name) for name in groups]
            self.kept = b"\1" * len(x)
            self.axes = axes

    def keep(self, positions: np.ndarray) -> None:
        """Tell the points that pass the filters from the others.

        Args:
            positions: of those that pass.
        """
        kept = np.zeros(len(self.group), np.uint8)
        kept[positions] = 1
        self.kept = kept.tobytes()

    def _heard(self, _: object, message: dict[str, Any], buffers: object) -> None:
        try:
            match message:
                case {"action": "select", "corners": list(corners)}:
                    self.on_select([(float(x), float(y)) for x, y in corners])
                case {"action": "select", "corners": None}:
                    self.on_select(None)
                case {"action": "open", "position": int(position)}:
                    self.opened = position
                    self.on_open(position)
                case _:
                    raise ValueError(f"a scatter plot does not know the message {message!r}")
        except Exception as error:
            self.report(error)
