"""What the browser gets of a view: its module, behind the helpers that all views share."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def module(name: str) -> str:
    """The ES module of a view, with `shared.js` in front: anywidget loads one text, not imports.

    Args:
        name: of the view, which is also the name of its file.

    Returns:
        JavaScript.
    """
    return (HERE / "shared.js").read_text("utf-8") + (HERE / f"{name}.js").read_text("utf-8")


def stylesheet(name: str) -> Path:
    """The style sheet of a view.

    Args:
        name: of the view, which is also the name of its file.

    Returns:
        Where it lies.
    """
    return HERE / f"{name}.css"
