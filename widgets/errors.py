"""Errors of callbacks. Jupyter swallows them, so each is handed to somebody who shows it."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import wraps
from typing import Any

import ipywidgets

from workbench.visible import visible

Report = Callable[[BaseException], object]


def raises(error: BaseException) -> None:
    """The report of a widget that nobody owns: raise it where it happened."""
    raise error


def escaped(text: str) -> str:
    """Text from anywhere as HTML that shows it and does nothing else."""
    return html.escape(visible(text, newline="\n"), quote=True)


class ProblemBox(ipywidgets.HBox):
    """The last error, in words, until it is dismissed or something succeeds after it."""

    def __init__(self) -> None:
        self._words = ipywidgets.HTML(layout={"flex": "1 1 auto"})
        dismiss = ipywidgets.Button(description="Dismiss", layout={"width": "auto"})
        dismiss.on_click(lambda _: self.clear())
        super().__init__([self._words, dismiss], layout={"display": "none"})
        self.add_class("aiw-problem")
        self.error: BaseException | None = None

    def __call__(self, error: BaseException) -> None:
        self.error = error
        kind = type(error).__name__
        said = str(error) or "no message"
        self._words.value = (
            f'<div role="alert" style="color:var(--jp-error-color1,#b00020);white-space:pre-wrap">'
            f"<b>{escaped(kind)}</b>: {escaped(said)}</div>"
        )
        self.layout.display = ""

    def clear(self) -> None:
        self.error = None
        self.layout.display = "none"
        self._words.value = ""

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., None]:
        """`callback` with its errors shown here; what it then does right clears the last one."""

        @wraps(callback)
        def careful(*args: Any, **kwargs: Any) -> None:
            try:
                callback(*args, **kwargs)
            except Exception as error:
                self(error)
            else:
                self.clear()

        return careful
