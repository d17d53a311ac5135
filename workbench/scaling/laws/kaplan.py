"""The loss of Kaplan et al. (arXiv 2001.08361), and what its appendix B works out of it.

The law is implicit: the critical batch depends on the loss that it enters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.scaling.laws.law import Law

STEPS = 20  # of Newton's method at most: in log loss a few suffice, wherever one asks
CLOSE = 1e-9  # a last step of so much, relatively, leaves an error of its square
LOSS = 3.0  # nats a token, at which runs are compared below: the ratios hold at every loss


def kaplan_loss(c: Any, x: Any) -> Any:
    """Loss from parameters, steps and batch, by Newton's steps in log loss.

    Putting the loss in again and again swings to and fro where the batch is far below critical.

    Args:
        c: the constants N0, aN, S0, aS, B0, aB, by attribute.
        x: params, steps and batch_tokens, by attribute.

    Returns:
        Nats a token, in the shape of the inputs.
    """
    loss = 3.0
    for _ in range(STEPS):
        waste = c.B0 / loss ** (1 / c.aB) / x.batch_tokens
        of_steps = (c.S0 * (1 + waste) / x.steps) ** c.aS
        again = (c.N0 / x.params) ** c.aN + of_steps
        slope = c.aS / c.aB * of_steps / again * waste / (1 + waste)
        step = (again / loss) ** (1 / (1 + slope))
        loss = loss * step
        if np.all(np.abs(step - 1) < CLOSE):
            break
    return loss


def least_steps(law: Law, params: float, loss: float = LOSS) -> float:
    """Steps to a loss at a batch far above the critical one (S_min).

    Args:
        law: the loss, perhaps with other constants.
        params: without embeddings.
        loss: nats a token.

    Returns:
        Steps; at the critical batch it takes twice as many.

    Raises:
        ValueError: a model of that size never reaches the loss.
    """
    critical = law.constants["B0"] / loss ** (1 / law.constants["aB"])
    return law.invert("steps", loss, params=params, batch_tokens=critical) / 2


def efficient_params(law: Law, loss: float = LOSS, above: float | None = None) -> float:
    """The size of model that reaches a loss with the least compute (equation B.5).

    Args:
        law: the loss, perhaps with other constants.
        loss: nats a token.
        above: by which share the run ends above the loss of endless training; None: aN/aS, which
            takes the least compute.

    Returns:
        Parameters without embeddings.
    """
    c = law.constants
    end = loss / (1 + (c["aN"] / c["aS"] if above is None else above))
    return float(c["N0"] / end ** (1 / c["aN"]))


def steps_at(law: Law, times: float) -> float:
    """Steps of a model that is so many times the efficient size / those of the efficient one.

    Args:
        law: the loss, perhaps with other constants.
        times: of the efficient size.

    Returns:
        The ratio, at one loss (equation B.17).
    """
    size = efficient_params(law)
    return least_steps(law, times * size) / least_steps(law, size)


def compute_exponent(law: Law) -> float:
    """With which power of compute the loss falls if size, steps and batch are efficient (B.7).

    Args:
        law: the loss, perhaps with other constants.

    Returns:
        a in L = (C0/C)^a.
    """

    def compute(loss: float) -> float:
        size = efficient_params(law, loss)
        return size * least_steps(law, size, loss) / loss ** (1 / law.constants["aB"])

    return float(np.log(LOSS / 2.5) / np.log(compute(2.5) / compute(LOSS)))


def compute_of_stopping(law: Law) -> float:
    """Compute to a loss by the efficient size / by one that is trained to 2 % above its end (B.14).

    Args:
        law: the loss, perhaps with other constants.
    """
    early, late = efficient_params(law), efficient_params(law, above=0.02)
    return early * least_steps(law, early) / (late * least_steps(law, late))
