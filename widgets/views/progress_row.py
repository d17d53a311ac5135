"""A line that says how far work is and how long it will take, with a button to cancel it."""

from __future__ import annotations

import time
from collections.abc import Callable

import ipywidgets

from widgets.problem_box import escaped
from workbench.core.progress import Progress

QUIET = 0.4  # seconds that work takes without being announced
OFTEN = 0.2  # seconds between two changes of the line


class ProgressRow(ipywidgets.HBox):
    """A line of progress, hidden while nothing runs."""

    def __init__(self, cancel: Callable[[], object], at_once: bool = False) -> None:
        """Hidden.

        Args:
            cancel: is called by the button.
            at_once: shown as soon as work begins, and not only when it turns out to be long.
        """
        self.at_once = at_once
        self.bar = ipywidgets.FloatProgress(min=0, max=1, layout={"width": "180px"})
        self.words = ipywidgets.HTML(layout={"flex": "1 1 auto"})
        self.button = ipywidgets.Button(
            description="Cancel", icon="stop", layout={"width": "auto"}, tooltip="Stop this work"
        )
        self.button.on_click(lambda _: cancel())
        super().__init__([self.bar, self.words, self.button], layout={"display": "none"})
        self.add_class("aiw-progress")
        self._told = 0.0

    def watch(self, title: str, progress: Progress | None) -> None:
        """Show how far a task is; made to be the `watch` of a `TaskQueue`.

        Args:
            title: of the running task; empty: none runs.
            progress: how far it is; None: it begins.
        """
        if not title:
            self.layout.display = "none"
        elif progress is None:
            self.bar.value, self.words.value = 0, escaped(f"{title} ...")
            if self.at_once:
                self.layout.display = ""
        elif progress.seconds >= QUIET:
            now = time.monotonic()
            if now - self._told >= OFTEN or progress.done == progress.total:
                self._told = now
                with self.bar.hold_sync():
                    self.bar.max = progress.total or 1
                    self.bar.value = progress.done if progress.total else 0
                self.words.value = escaped(str(progress))
                self.layout.display = ""
