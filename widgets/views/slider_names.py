"""Names and tooltips of sliders, which ipywidgets gives to their labels alone."""

from __future__ import annotations

import anywidget

from widgets.views.browser_files import module


class SliderNames(anywidget.AnyWidget):
    """Stands unseen in an explorer and names what is moved and typed in its sliders."""

    _esm = module("slider_names")

    def __init__(self) -> None:
        """Of no height."""
        super().__init__(layout={"height": "0", "margin": "0"})
