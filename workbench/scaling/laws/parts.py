"""What the entries of the book share: their quantities, and the kinds of checks.

Sources count parameters differently and measure loss in different units; each entry says which. A
check is a number that the source prints; those with `recomputed` were worked out here from the
printed constants, apart from this code. Inputs are plain numbers everywhere: params 7e9, tokens
2e12, compute in FLOP.
"""

from __future__ import annotations

import numpy as np

from workbench.scaling.laws.law import Check
from workbench.scaling.laws.quantity import Quantity

PF_DAY = 8.64e19  # FLOP
RATE = Quantity("learning_rate", "η", "peak rate of AdamW in standard parameterisation")
BATCH = Quantity("batch_tokens", "B", "tokens in a step")
NO_EMBEDDINGS = ", without embeddings"


def params(low: float | None, high: float | None, kind: str = "without embeddings") -> Quantity:
    """Parameters as an input.

    Args:
        low: the least that was measured; None: not stated.
        high: the largest; None: not stated.
        kind: which are counted.
    """
    return Quantity("params", "N", f"parameters, {kind}", low, high)


def tokens(low: float | None, high: float | None) -> Quantity:
    """Tokens of training as an input.

    Args:
        low: the least that was measured; None: not stated.
        high: the largest; None: not stated.
    """
    return Quantity("tokens", "D", "tokens of training", low, high)


def compute(low: float | None, high: float | None, kind: str = "") -> Quantity:
    """FLOP of training as an input.

    Args:
        low: the least that was measured; None: not stated.
        high: the largest; None: not stated.
        kind: what is left out, after a comma.
    """
    return Quantity("compute", "C", f"FLOP of training{kind}", low, high)


def ratio_at(flop: float, value: float, within: float, where: str, stated: bool = True) -> Check:
    """A check of the tokens a parameter at the optimum of a compute.

    Args:
        flop: the compute.
        value: tokens a parameter.
        within: as in `Check`.
        where: as in `Check`.
        stated: as in `Check`.
    """
    return Check(
        lambda law: law.optimum(flop).tokens_per_parameter,
        value, within, f"{where}: tokens a parameter at {flop:.3g} FLOP", stated,
    )  # fmt: skip


def exponent(value: float, within: float, where: str) -> Check:
    """A check of the power of compute with which the best number of parameters grows.

    Args:
        value: the power.
        within: as in `Check`.
        where: as in `Check`.
    """
    return Check(
        lambda law: np.log10(law.optimum(1e22)["params"] / law.optimum(1e21)["params"]),
        value, within, f"{where}: exponent of params in compute",
    )  # fmt: skip


def recomputed(value: float, within: float = 1e-4, **inputs: float) -> Check:
    """A check of a value that this project worked out from the printed constants.

    Args:
        value: of the law.
        within: as in `Check`.
        **inputs: where the law has it.
    """
    where = ", ".join(f"{name} {number:.4g}" for name, number in inputs.items())
    return Check(inputs, value, within, f"at {where}", stated=False)
