"""What several laws say of one run, or of one compute. Levels are compared in one unit only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from workbench.scaling.laws.book import LAWS
from workbench.scaling.laws.law import Law, Optimum


def as_law(law: Any) -> Law:
    """The law that is meant.

    Args:
        law: a key of `LAWS`, a `Law`, or the fit of one (`refit`).

    Returns:
        The law.

    Raises:
        KeyError: the book has no law of that key.
        TypeError: it is none of the three.
    """
    law = LAWS[law] if isinstance(law, str) else getattr(law, "law", law)
    if not isinstance(law, Law):
        raise TypeError(
            f"a law is a key of wb.LAWS, one of its entries, or what wb.refit returns; got {law!r}"
        )
    return law


def require_one_unit(laws: Sequence[Law]) -> None:
    """Refuse laws whose levels cannot be compared.

    Args:
        laws: whose outputs are to be compared.

    Raises:
        ValueError: there is none, or the outputs have different units, which are named.
    """
    units = {law.key: law.output.unit for law in laws}
    if len(set(units.values())) != 1:
        raise ValueError(
            "laws are compared in one unit only, and these give "
            + ("; ".join(f"{key}: {unit}" for key, unit in units.items()) or "nothing")
        )


def compare_laws(laws: Sequence[Any], **inputs: float) -> pd.DataFrame:
    """What each law says of the same run.

    Args:
        laws: keys of `LAWS`, laws, or fits of laws, whose outputs have one unit.
        **inputs: values of all inputs that any of the laws takes; each gets its own.

    Returns:
        One row a law: law (its key), value, unit, times_least (value / the least of all: the
        largest is the spread), outside (how far outside its range it is asked, in words), status.

    Raises:
        ValueError: the outputs have different units, or an input is missing.
    """
    chosen = [as_law(law) for law in laws]
    require_one_unit(chosen)
    unknown = inputs.keys() - {quantity.name for law in chosen for quantity in law.inputs}
    if unknown:
        raise ValueError(f"none of the laws takes {', '.join(sorted(unknown))}")
    rows = []
    for law in chosen:
        names = {quantity.name for quantity in law.inputs}
        given = {name: value for name, value in inputs.items() if name in names}
        outside = "; ".join(law.outside(**given))
        rows.append((law.key, law.evaluate(**given), law.output.unit, outside, law.status))
    table = pd.DataFrame(rows, columns=["law", "value", "unit", "outside", "status"])
    table.insert(3, "times_least", table["value"] / table["value"].min())
    return table


def compare_optima(laws: Sequence[Any], compute: float) -> pd.DataFrame:
    """Where each law puts the best model of a compute of 6 x params x tokens.

    Sizes can be compared even where losses cannot; what is counted as a parameter still differs.

    Args:
        laws: keys of `LAWS`, laws, or fits of laws, of params and tokens.
        compute: FLOP.

    Returns:
        One row a law: law (its key), params, tokens, tokens_per_parameter, loss, unit (of the
        loss), counted (what params are), outside (in words), status.

    Raises:
        ValueError: a law does not take params and tokens, or has no optimum.
    """
    rows = []
    for law in map(as_law, laws):
        best: Optimum = law.optimum(compute)
        counted = next(quantity.unit for quantity in law.inputs if quantity.name == "params")
        rows.append(
            (
                law.key, best["params"], best["tokens"], best.tokens_per_parameter, best.value,
                law.output.unit, counted, "; ".join(law.outside(**best.inputs)), law.status,
            )
        )  # fmt: skip
    names = ["law", "params", "tokens", "tokens_per_parameter", "loss", "unit", "counted"]
    return pd.DataFrame(rows, columns=[*names, "outside", "status"])
