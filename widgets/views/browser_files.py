"""What the browser gets of a view: its module, behind the helpers that all views share."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
PARTS = {"token_view": ("step_bands",)}  # of a module, that stand in files of their own


def module(name: str) -> str:
    """The ES module of a view, `shared.js` and its parts in front: anywidget takes one text.

    Args:
        name: of the view, which is also the name of its file.

    Returns:
        JavaScript.
    """
    files = ("shared", *PARTS.get(name, ()), name)
    return "".join((HERE / f"{file}.js").read_text("utf-8") for file in files)


def stylesheet(name: str) -> Path:
    """The style sheet of a view.

    Args:
        name: of the view, which is also the name of its file.

    Returns:
        Where it lies.
    """
    return HERE / f"{name}.css"
