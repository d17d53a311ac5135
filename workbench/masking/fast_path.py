"""Faster ways to compute the same: each is compared with the plain way before it is used."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from typing import TypeVar

from workbench.masking.row_size import is_out_of_memory
from workbench.models.attached_hooks import MaskNotSeen
from workbench.models.model import Model

T = TypeVar("T")


def fast_path(
    model: Model,
    name: str,
    make: Callable[[], T],
    difference: Callable[[T], str | None],
    warning: str,
) -> T | None:
    """A faster way to compute with a model, where it gives what the plain way gives.

    Compared once for each dtype and device that the model is moved to.

    Args:
        model: the model.
        name: of the way, for the cache of the model.
        make: gives what computes in this way.
        difference: how its numbers differ from those of the plain way on a sample, in words; None
            if they do not.
        warning: what is said where they do, with {problem} in the place of how.

    Returns:
        What `make` gave; None, with one warning, where its numbers differ or it cannot be tried.
    """

    def compared() -> T | None:
        try:
            made = make()
            problem = difference(made)
        except MaskNotSeen:
            raise  # says nothing about the way
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise  # nor does this
            problem = f"{type(error).__name__}: {error}"
        if problem is None:
            return made
        warnings.warn(f"{model.source}: {warning.format(problem=problem)}", stacklevel=4)
        return None

    return model.cache.kept(key_of(model, name), compared)


def key_of(model: Model, name: str) -> Hashable:
    """Where `fast_path` keeps its result in the model's cache.

    Args:
        model: the model.
        name: of the way.

    Returns:
        The key for the dtype and device of the model.
    """
    return name, model.dtype, model.device
