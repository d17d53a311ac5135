"""A whole that is made of parts, and offers their methods as its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def of_part(
    name: str, method: Callable[Concatenate[Any, P], R]
) -> Callable[Concatenate[Any, P], R]:
    """A method of a part as one of the whole, with the same text and signature.

    Args:
        name: of the attribute of the whole that holds the part.
        method: of the part's class.

    Returns:
        The method, to be set in the class of the whole.
    """

    @wraps(method)
    def handed_on(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return getattr(getattr(self, name), method.__name__)(*args, **kwargs)

    return handed_on
