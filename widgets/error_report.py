"""Who is told of an error."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[BaseException], object]


def raises(error: BaseException) -> None:
    """The report of a widget that nobody owns: raise the error where it happened.

    Args:
        error: what happened.
    """
    raise error
