"""The two usual formulas of laws, which `refit` knows how to fit: any other is a plain function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Powers:
    """The form y = scale x product of input^exponent, which `refit` fits as a line in logs.

    Attributes:
        scale: the name of the constant in front.
        exponents: input to the name of its exponent.
    """

    scale: str
    exponents: Mapping[str, str]

    def __call__(self, constants: Any, inputs: Any) -> Any:
        """The value.

        Args:
            constants: by attribute.
            inputs: by attribute.
        """
        value = getattr(constants, self.scale)
        for name, exponent in self.exponents.items():
            value = value * getattr(inputs, name) ** getattr(constants, exponent)
        return value


@dataclass(frozen=True)
class PowerTerms:
    """The form L = E + sum of A / (x / unit)^a, or of (x0 / x)^a, which `fit_law` fits.

    Attributes:
        terms: input to the names of its coefficient (A or x0) and exponent.
        constant: the name of E; None: there is none.
        units: input to the unit that its x is counted in; 1 where not given.
        scales: whether the coefficients are the x0 of (x0 / x)^a.
    """

    terms: Mapping[str, tuple[str, str]]
    constant: str | None = "E"
    units: Mapping[str, float] = field(default_factory=dict)
    scales: bool = False

    def __call__(self, constants: Any, inputs: Any) -> Any:
        """The value.

        Args:
            constants: by attribute.
            inputs: by attribute.
        """
        total = getattr(constants, self.constant) if self.constant else 0.0
        for name, (coefficient, exponent) in self.terms.items():
            size = getattr(inputs, name) / self.units.get(name, 1.0)
            first, power = getattr(constants, coefficient), getattr(constants, exponent)
            total = total + ((first / size) ** power if self.scales else first / size**power)
        return total
