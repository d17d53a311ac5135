"""What all views share: one that loaded too late for anywidget hears Python again.

anywidget waits two seconds for the module of a widget. Where that takes longer, as on a busy
machine, the widget is drawn, and every message to it is dropped from then on: it never changes.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import anywidget
import traitlets


class View(anywidget.AnyWidget):
    """A widget with a module of ours, which `viewOf` of shared.js wraps.

    Attributes:
        own_id: of its model, by which the browser finds it.
        late: whether the browser says that it loaded too late.
    """

    own_id = traitlets.Unicode().tag(sync=True)
    late = traitlets.Bool().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        """Made known to the browser at once.

        Args:
            **traits: as ipywidgets takes them.
        """
        own_id = uuid4().hex
        super().__init__(model_id=own_id, own_id=own_id, **traits)
        self.observe(self._send_anew, "late")

    def _send_anew(self, change: dict[str, bool]) -> None:
        if change["new"]:
            self.late = False  # a reloaded page may be late again
            self.send_state()  # what was sent meanwhile is lost
