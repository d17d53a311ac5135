"""Names and tooltips of controls, where ipywidgets gives them to hidden labels alone."""

from __future__ import annotations

from widgets.views.browser_files import module
from widgets.views.view import View


class ControlNames(View):
    """Stands unseen in an explorer and names what is moved, chosen and typed in it."""

    _esm = module("control_names")

    def __init__(self) -> None:
        """Of no height."""
        super().__init__(layout={"height": "0", "margin": "0"})
