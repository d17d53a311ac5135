"""A published law as an entry: formula, constants, units, where it was measured, and its checks.

An entry is evaluated, inverted and optimised by the one class here, and so is a law that was fitted
to one's own runs. Each carries numbers by which it is checked, so that a mistyped constant is seen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import optimize

from workbench.scaling.laws.quantity import Quantity

Formula = Callable[[Any, Any], Any]  # of the constants and the inputs, each by attribute
BEYOND = 1e4  # times the measured range, on either side, in which `invert` and `best` search
UNMEASURED = (1e-3, 1e12)  # the range of an input for which the source gives none
POINTS = 400  # of the grid on which a search begins


class OutsideDomain(UserWarning):
    """A law was asked outside the range in which it was measured."""


@dataclass(frozen=True)
class Check:
    """A number that a law must give.

    Attributes:
        at: the inputs; or, where the number is no value of the law, a function of the law that
            finds it.
        value: what must come out.
        within: relative deviation that rounding of the source's own digits allows.
        where: where the source prints the number.
        stated: whether the source prints it; False: it was worked out from the printed constants,
            and guards against a changed constant only.
    """

    at: Mapping[str, float] | Callable[[Law], float]
    value: float
    within: float
    where: str
    stated: bool = True

    def found(self, law: Law) -> float:
        """What a law gives instead of `value`.

        Args:
            law: the entry, perhaps with other constants.
        """
        return float(self.at(law) if callable(self.at) else law.evaluate(**self.at))


@dataclass(frozen=True)
class Optimum:
    """Where a law is best under a constraint.

    Attributes:
        inputs: name to value, of all inputs of the law.
        value: of the law there, in the unit of its output.
    """

    inputs: Mapping[str, float]
    value: float

    def __getitem__(self, name: str) -> float:
        return self.inputs[name]

    @property
    def tokens_per_parameter(self) -> float:
        """Tokens divided by params."""
        return self["tokens"] / self["params"]


@dataclass(frozen=True, repr=False, eq=False)
class Law:
    """One law of the book (`LAWS`), or one that was fitted to runs (`refit`).

    Attributes:
        key: its name in the book.
        title: what it says, in a line.
        output: what it gives.
        inputs: what it is given.
        constants: name to value.
        formula: a function of the constants and the inputs, each by attribute.
        text: the formula as one reads it.
        source: where it stands.
        status: "verified" (read in the paper, its code or its data, or recomputed from them),
            "second-hand" (from texts about it), "unsound" (`notes` say why) or "refitted".
        conditions: under which it was measured.
        checks: numbers that it must give.
        notes: what to know before one uses it.
        uncaught: constants that none of the checks catches if they change, with the reason.
    """

    key: str
    title: str
    output: Quantity
    inputs: Sequence[Quantity]
    constants: Mapping[str, float]
    formula: Formula
    text: str
    source: str
    status: str = "verified"
    conditions: str = ""
    checks: Sequence[Check] = ()
    notes: str = ""
    uncaught: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Law {self.key}: {self.text}>"

    def __call__(self, **inputs: Any) -> Any:
        """The value of the law; warns `OutsideDomain` where it was not measured.

        A curve is drawn by `evaluate`, which leaves a gap where there is no value.

        Args:
            **inputs: each input of the law, a number or an array.

        Returns:
            A float, or an array of the inputs' common shape, in the unit of `output`.

        Raises:
            ValueError: an input is missing, unknown, or makes no sense (below 0, not finite, none
                of its choices); or the formula has no finite value there.
        """
        value = self.evaluate(**inputs)
        if not np.isfinite(value).all():
            raise ValueError(self._without_value(value, inputs))
        outside = self.outside(**inputs)
        if outside:
            warnings.warn(f"{self.key}: {'; '.join(outside)}", OutsideDomain, stacklevel=2)
        return value

    def evaluate(self, **inputs: Any) -> Any:
        """The value of the law wherever it is asked, without a warning.

        Args:
            **inputs: as in a call of the law.

        Returns:
            As a call of the law.

        Raises:
            ValueError: an input is missing, unknown or makes no sense. Where the formula has no
                finite value it gives NaN or infinity, without an error.
        """
        given = self._given(inputs)
        with np.errstate(all="ignore"):  # far outside, a power may leave what a float holds
            value = self.formula(SimpleNamespace(**self.constants), SimpleNamespace(**given))
        return float(value) if np.ndim(value) == 0 else value

    def outside(self, **inputs: Any) -> list[str]:
        """How far the inputs lie outside the measured ranges, in words.

        Args:
            **inputs: as in a call of the law.

        Returns:
            A sentence an end of a range that is left; empty inside.

        Raises:
            ValueError: as a call of the law.
        """
        given = self._given(inputs)
        return [said for quantity in self.inputs for said in quantity.outside(given[quantity.name])]

    def invert(self, name: str, output: float, **inputs: float) -> float:
        """The value of one input at which the law gives `output`.

        Args:
            name: the input that is searched, up to 10,000 times beyond its measured range.
            output: in the unit of the law's output.
            **inputs: the others.

        Returns:
            The input; of several solutions the one nearest to the middle of the measured range.

        Raises:
            ValueError: no value of the input gives that output.
        """
        grid = self._grid(name)

        def away(log: float) -> float:
            return float(self.evaluate(**inputs, **{name: np.exp(log)})) - output

        values = self.evaluate(**inputs, **{name: np.exp(grid)}) - output
        with np.errstate(invalid="ignore"):
            crossings = np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) <= 0)
        if not len(crossings):
            finite = values[np.isfinite(values)] + output
            raise ValueError(
                f"{self.key} gives {finite.min():.4g} to {finite.max():.4g} {self.output.unit} for "
                f"{name} from {np.exp(grid[0]):.2g} to {np.exp(grid[-1]):.2g}, and nowhere "
                f"{output:.4g}"
            )
        at = crossings[np.abs(crossings - len(grid) / 2).argmin()]
        return float(np.exp(optimize.brentq(away, grid[at], grid[at + 1], xtol=1e-12)))

    def best(
        self, name: str, *, largest: bool = False, **inputs: float | Callable[[Any], Any]
    ) -> Optimum:
        """The value of one input at which the law is least, or largest.

        Args:
            name: the input that is searched, up to 10,000 times beyond its measured range.
            largest: seek the largest value, not the least.
            **inputs: the others; a function of the searched input where the two are tied
                (`tokens=lambda params: compute / (6 * params)`).

        Returns:
            All inputs there, and the value.

        Raises:
            ValueError: the law is best at an end of the range of search.
        """
        grid, sign = self._grid(name), -1 if largest else 1

        def tied(value: Any) -> dict[str, Any]:
            return {k: v(value) if callable(v) else v for k, v in inputs.items()} | {name: value}

        def cost(log: Any) -> Any:
            return sign * np.asarray(self.evaluate(**tied(np.exp(log))))

        values = np.where(np.isfinite(costs := cost(grid)), costs, np.inf)
        at = int(values.argmin())
        if at in (0, len(grid) - 1) or not np.isfinite(values[[at - 1, at + 1]]).all():
            raise ValueError(
                f"{self.key} is {'largest' if largest else 'least'} at {name} "
                f"{np.exp(grid[at]):.3g}, an end of the range of search: it has no best inside"
            )
        found = optimize.minimize_scalar(
            cost, bounds=(grid[at - 1], grid[at + 1]), method="bounded", options={"xatol": 1e-9}
        )
        chosen = {key: float(value) for key, value in tied(float(np.exp(found.x))).items()}
        return Optimum(chosen, self.evaluate(**chosen))

    def optimum(self, compute: float) -> Optimum:
        """Params and tokens of the least loss at a compute of 6 x params x tokens.

        Args:
            compute: FLOP.

        Returns:
            Params, tokens and the loss.

        Raises:
            ValueError: the law does not take exactly params and tokens, or has no optimum.
        """
        names = {quantity.name for quantity in self.inputs}
        if names != {"params", "tokens"}:
            raise ValueError(
                f"{self.key} takes {', '.join(sorted(names))}: an optimum at a compute needs a law "
                "of params and tokens; for others say what is tied with best()"
            )
        return self.best("params", tokens=lambda params: compute / (6 * params))

    def with_constants(self, **constants: float) -> Law:
        """The law with other constants.

        Args:
            **constants: those that change.

        Returns:
            A law whose checks are still those of the published constants.

        Raises:
            ValueError: the law has no such constant.
        """
        unknown = sorted(constants.keys() - self.constants.keys())
        if unknown:
            raise ValueError(f"{self.key} has the constants {', '.join(self.constants)}: {unknown}")
        return replace(self, constants={**self.constants, **constants})

    def failing(self) -> list[str]:
        """The checks that the law does not pass, in words; empty for every entry of the book."""
        failed = []
        for check in self.checks:
            try:
                found = check.found(self)
            except ValueError as error:
                failed.append(f"{check.where}: {check.value:.6g} expected, and {error}")
                continue
            if not abs(found / check.value - 1) <= check.within:
                failed.append(
                    f"{check.where}: {check.value:.6g} expected (within {check.within:.2g}), "
                    f"got {found:.6g}"
                )
        return failed

    def describe(self) -> str:
        """The entry in words: formula, units, ranges, conditions, source, checks."""
        lines = [
            f"{self.title} [{self.status}]", f"  {self.text}", f"  gives: {self.output.unit}"
        ]  # fmt: skip
        for quantity in self.inputs:
            range_ = "" if quantity.low is None else f", {quantity.low:.3g} to {quantity.high:.3g}"
            lines.append(f"  {quantity.symbol} = {quantity.name}: {quantity.unit}{range_}")
        lines += ["  " + ", ".join(f"{key} {value:.6g}" for key, value in self.constants.items())]
        lines += [f"  {text}" for text in (self.conditions, self.notes, self.source) if text]
        for check in self.checks:
            stated = "" if check.stated else " (recomputed)"
            lines.append(f"  {check.where}{stated}: {check.value:.6g}; {check.found(self):.6g}")
        return "\n".join(lines)

    def _grid(self, name: str) -> np.ndarray:
        """Logarithms of the values among which an input is searched."""
        quantity = next((quantity for quantity in self.inputs if quantity.name == name), None)
        if quantity is None:
            raise ValueError(
                f"{self.key} takes {', '.join(quantity.name for quantity in self.inputs)}, "
                f"and no {name!r}"
            )
        if quantity.choices:
            raise ValueError(f"{self.key} has few values of {name}, {quantity.choices}: try each")
        low, high = quantity.low or UNMEASURED[0], quantity.high or UNMEASURED[1]
        low = max(low / BEYOND, quantity.least * (1 + 1e-12))  # the power of its log is no less
        return np.linspace(np.log(low), np.log(high * BEYOND), POINTS)

    def _without_value(self, value: Any, inputs: Mapping[str, Any]) -> str:
        """What a call says that meets no finite value: the first such point."""
        values = np.ravel(value)
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        at = ", ".join(
            f"{name} {np.broadcast_to(given, np.shape(value)).flat[first]:.4g}"
            for name, given in self._given(inputs).items()
        )
        return (
            f"{self.key} has no finite value at {at}: {self.text} is {values[first]} there; "
            "evaluate() leaves such gaps in a curve"
        )

    def _given(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs as floats or arrays of floats."""
        names = [quantity.name for quantity in self.inputs]
        if set(names) != inputs.keys():
            needs = ", ".join(f"{quantity.name} ({quantity.unit})" for quantity in self.inputs)
            raise ValueError(f"{self.key} needs {needs}; got {', '.join(inputs) or 'nothing'}")
        return {one.name: one.checked(inputs[one.name]) for one in self.inputs}
