"""The grid of query heads: which are masked, and one value a head as its colour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import traitlets
from ipywidgets.widgets.trait_types import CByteMemoryView

from widgets.error_report import Report, raises
from widgets.own_changes import OwnChanges
from widgets.views.browser_files import module, stylesheet
from widgets.views.view import View
from workbench.core.text import escape_control_characters
from workbench.models.geometry import HasGeometry, geometry_of
from workbench.models.heads import Head, HeadSet
from workbench.session.head_colours import HeadColours


class HeadGrid(View):
    """Layers x heads to be toggled by mouse and keyboard.

    The owner sets on_mask(HeadSet), called when the browser changed the masked set, on_undo and
    on_redo.

    Attributes:
        layers: number of layers.
        heads: query heads of a layer.
        headless: the layers without attention heads, whose cells do nothing.
        mask: one byte a head, layer by layer: 1 for a masked head.
        values: shape (layers, heads), float32; NaN: no value.
        reference: as `mask`, of the heads that losses are compared with.
        legend: name and scale of the values, and a note on them.
        chosen: number of the cell whose head the text shows the attention of, layer by layer; -1:
            none.
        pointed: number of the cell that another view points at; -1: none.
    """

    _esm = module("head_grid")
    _css = stylesheet("head_grid")

    layers = traitlets.Int().tag(sync=True)
    heads = traitlets.Int().tag(sync=True)
    headless = traitlets.List(traitlets.Int()).tag(sync=True)
    # One byte a head, layer by layer. Plain Bytes would refuse the memoryview that comes back.
    mask = CByteMemoryView(b"").tag(sync=True)
    values = CByteMemoryView(b"").tag(sync=True)  # (layers, heads) float32
    reference = CByteMemoryView(b"").tag(sync=True)
    legend = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)
    pointed = traitlets.Int(-1).tag(sync=True)

    def __init__(self, model: HasGeometry, report: Report = raises) -> None:
        """A grid without masked heads and values.

        Args:
            model: whose heads are shown.
            report: is called with errors in handling what the browser sent.
        """
        self.geometry = model
        size = model.num_layers * model.num_heads
        super().__init__(
            layers=model.num_layers,
            heads=model.num_heads,
            headless=list(geometry_of(model).headless),
            mask=bytes(size),
            reference=bytes(size),
            values=np.full(size, np.nan, np.float32).tobytes(),
        )
        self.report = report
        self._ours = OwnChanges()  # of the mask: the owner's, and not the browser's
        self.on_mask: Callable[[HeadSet], object] = lambda heads: None
        self.on_undo: Callable[[], object] = lambda: None
        self.on_redo: Callable[[], object] = lambda: None
        self.observe(self._masked, "mask")
        self.on_msg(self.handle)

    @property
    def masked(self) -> HeadSet:
        """The heads that are shown as masked."""
        return self._heads_of(self.mask)

    @masked.setter
    def masked(self, heads: HeadSet) -> None:
        mask = self._bytes_of(heads)
        if mask != bytes(self.mask):  # what the browser knows is not sent again
            with self._ours.made():
                self.mask = mask

    @property
    def chosen_head(self) -> Head | None:
        """The head that was gone to last, or None."""
        return None if self.chosen < 0 else Head(*divmod(self.chosen, self.heads))

    def compare_with(self, heads: HeadSet) -> None:
        """Mark the heads that losses are compared with.

        Args:
            heads: none for the stock model.
        """
        self.reference = self._bytes_of(heads)

    def colour(self, colours: HeadColours) -> None:
        """Colour the heads by other values.

        Args:
            colours: one value a head, with its scale.
        """
        with self.hold_sync():
            self.legend = {
                "name": escape_control_characters(colours.name), "note": colours.note,
                "low": colours.low, "high": colours.high,
                "diverging": colours.diverging, "digits": colours.digits,
            }  # fmt: skip
            self.values = colours.values.astype(np.float32).tobytes()

    def _masked(self, change: Any) -> None:
        try:
            if not self._ours.under_way:
                self.on_mask(self._heads_of(change["new"]))  # the mask may be another by now
        except Exception as error:
            self.report(error)

    def _bytes_of(self, heads: HeadSet) -> bytes:
        mask = np.zeros((self.layers, self.heads), np.uint8)
        for head in heads:
            mask[head] = 1
        return mask.tobytes()

    def _heads_of(self, mask: Any) -> HeadSet:
        chosen = np.flatnonzero(np.frombuffer(mask, np.uint8))
        layer, head = np.divmod(chosen, self.heads)
        return HeadSet.of(zip(layer.tolist(), head.tolist(), strict=True), self.geometry)

    def handle(self, _: Any, message: dict[str, Any], buffers: Any = None) -> None:
        """Answer keys pressed in the grid that are the owner's to answer.

        Args:
            _: the widget.
            message: from the browser: an action, "undo" or "redo".
            buffers: none.
        """
        try:
            {"undo": self.on_undo, "redo": self.on_redo}[message["action"]]()
        except Exception as error:
            self.report(error)
