"""The geometry of a model: how many layers and query heads it has, and which layers have none."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable


@runtime_checkable
class HasGeometry(Protocol):
    """Anything that says how many layers and query heads a layer it has (a `Model`, say).

    It may also have `headless`, the layers without attention heads.
    """

    @property
    def num_layers(self) -> int:
        """Number of decoder layers."""

    @property
    def num_heads(self) -> int:
        """Number of query heads in each layer that has any."""


class Geometry(NamedTuple):
    """The shape of a model as far as its heads go.

    Attributes:
        num_layers: how many decoder layers it has.
        num_heads: how many query heads a layer has.
        headless: the layers that have none.
    """

    num_layers: int
    num_heads: int
    headless: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """How many heads there are."""
        return (self.num_layers - len(self.headless)) * self.num_heads

    def __str__(self) -> str:
        without = f", none in layers {', '.join(map(str, self.headless))}" if self.headless else ""
        return f"{self.num_layers} layers x {self.num_heads} heads{without}"


def geometry_of(model: HasGeometry) -> Geometry:
    """The geometry of a model.

    Args:
        model: the model, or anything that has a geometry.
    """
    return Geometry(model.num_layers, model.num_heads, tuple(getattr(model, "headless", ())))
