"""Errors and texts on their way to the page: who is told of an error, and text as text."""

from __future__ import annotations

import html
from collections.abc import Callable

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
