"""Which widgets a box holds, however deep: what closes with it."""

from __future__ import annotations

import ipywidgets as w


def inside(box: w.Box) -> list[w.Widget]:
    """All widgets inside a box.

    Args:
        box: any box.

    Returns:
        The innermost first; one that stands in several places once for each.
    """
    children: list[w.Widget] = []
    for child in box.children:
        children += [*(inside(child) if isinstance(child, w.Box) else []), child]
    return children
