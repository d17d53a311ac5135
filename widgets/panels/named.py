"""Controls whose place says what they are, to those who see it."""

from __future__ import annotations

from typing import TypeVar

import ipywidgets as w

W = TypeVar("W", bound=w.Widget)


def named(control: W) -> W:
    """Keep the description of a control for screen readers, and off the page.

    Args:
        control: with a description.

    Returns:
        The same control.
    """
    control.add_class("aiw-named")
    return control
