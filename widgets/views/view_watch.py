"""Telling Python when a view of a widget is made in the browser, when it goes, and its theme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from widgets.views.browser_files import module


class ViewWatch(anywidget.AnyWidget):
    """Stands unseen in a box and hears of the views of that box.

    Moving a cell of JupyterLab takes the views of its output away and makes new ones.

    Attributes:
        theme: of the page, as the browser says: "light", "dark", or "" without a browser.
    """

    _esm = module("view_watch")

    theme = traitlets.Enum(["", "light", "dark"], "").tag(sync=True)

    def __init__(self, on_renewed: Callable[[], object]) -> None:
        """Without a view.

        Args:
            on_renewed: is called when a view is there after another one went.
        """
        super().__init__()
        self.layout.height = "0"
        self._on_renewed = on_renewed
        self._views, self._gone = 0, False
        self.on_msg(self._heard)

    def _heard(self, _: object, message: dict[str, Any], buffers: object) -> None:
        shown = message.get("action") == "shown"
        self._views = max(self._views + (1 if shown else -1), 0)
        self._gone |= not shown
        if self._gone and self._views:
            self._gone = False
            self._on_renewed()
