"""Errors of callbacks. Jupyter swallows them, so each is handed to somebody who shows it."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import wraps
from typing import Any

import ipywidgets

from workbench.core.text import escape_control_characters

Report = Callable[[BaseException], object]


def raises(error: BaseException) -> None:
    """The report of a widget that nobody owns: raise the error where it happened.

    Args:
        error: what happened.
    """
    raise error


def escaped(text: str) -> str:
    """Text from anywhere as HTML that shows it and does nothing else.

    Args:
        text: any text.

    Returns:
        HTML without markup of the text's own.
    """
    return html.escape(escape_control_characters(text, newline="\n"), quote=True)


class ProblemBox(ipywidgets.HBox):
    """The last error, in words, until it is dismissed or the reader does something else.

    The error of long work stays until it is dismissed (`keep`).
    """

    def __init__(self) -> None:
        self._words = ipywidgets.HTML(layout={"flex": "1 1 auto"})
        dismiss = ipywidgets.Button(description="Dismiss", layout={"width": "auto"})
        dismiss.on_click(lambda _: self.dismiss())
        super().__init__([self._words, dismiss], layout={"display": "none"})
        self.add_class("aiw-problem")
        self.error: BaseException | None = None
        self._kept = False

    def keep(self, error: BaseException) -> None:
        """Show an error of work that ran for itself: nobody may be looking just now.

        Args:
            error: what happened.
        """
        self(error)
        self._kept = True

    def __call__(self, error: BaseException) -> None:
        """Show an error until the next success.

        Args:
            error: what went wrong; its kind and message are shown, as text.
        """
        self.error, self._kept = error, False
        kind = type(error).__name__
        message = str(error) or "no message"
        self._words.value = (
            f'<div role="alert" style="color:var(--jp-error-color1,#b00020);white-space:pre-wrap">'
            f"<b>{escaped(kind)}</b>: <bdi>{escaped(message)}</bdi></div>"
        )
        self.layout.display = ""

    def clear(self) -> None:
        """The reader goes on: an error of the last click is no longer of interest."""
        if not self._kept:
            self.dismiss()

    def dismiss(self) -> None:
        """Hide the error."""
        self.error, self._kept = None, False
        self.layout.display = "none"
        self._words.value = ""

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., None]:
        """A callback of something that the reader did, with its errors shown here.

        Args:
            callback: what the reader's action calls.

        Returns:
            The careful callback.
        """

        @wraps(callback)
        def careful(*args: Any, **kwargs: Any) -> None:
            self.clear()
            try:
                callback(*args, **kwargs)
            except Exception as error:
                self(error)

        return careful
