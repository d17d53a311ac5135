"""Telling Python when a view of a widget is made in the browser, when it goes, and its theme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets

from widgets.views.browser_files import module
from widgets.views.view import View


class ViewWatch(View):
    """Stands unseen in a box and hears of the views of that box.

    Moving a cell of JupyterLab takes the views of its output away and makes new ones.

    Attributes:
        theme: of the page, as the browser says: "light", "dark", or "" without a browser.
        figure: id of the model of the figure in that box; empty: there is none.
    """

    _esm = module("view_watch")

    theme = traitlets.Enum(["", "light", "dark"], "").tag(sync=True)
    figure = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, on_renewed: Callable[[], object], on_loaded: Callable[[bool], object]
    ) -> None:
        """Without a view.

        Args:
            on_renewed: is called when a view is there after another one went.
            on_loaded: is called when the browser has the module of the figure, with whether that
                was too late for anywidget, so that what was sent meanwhile is lost (`View`).
        """
        super().__init__()
        self.layout.height = "0"
        self._on_renewed, self._on_loaded = on_renewed, on_loaded
        self._views, self._gone = 0, False
        self.on_msg(self._heard)

    def _heard(self, _: object, message: dict[str, Any], buffers: object) -> None:
        if message.get("action") == "loaded":
            if message.get("figure") == self.figure:
                self._on_loaded(bool(message.get("late")))
            return
        shown = message.get("action") == "shown"
        self._views = max(self._views + (1 if shown else -1), 0)
        self._gone |= not shown
        if self._gone and self._views:
            self._gone = False
            self._on_renewed()
