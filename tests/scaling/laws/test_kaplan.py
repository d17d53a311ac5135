"""Kaplan's loss stands with the batch that it enters; what appendix B works out of it is so."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

import workbench as wb
from workbench.scaling.laws.kaplan import compute_exponent, efficient_params, least_steps, steps_at

LAW = wb.LAWS["kaplan"]
C = LAW.constants


@pytest.mark.parametrize(
    ("params", "steps", "batch_tokens"), [(3e8, 5e4, 1e5), (1e9, 1e3, 1e3), (1e6, 1e7, 1e9)]
)
def test_the_loss_stands_with_the_batch_that_it_enters(params, steps, batch_tokens):
    loss = LAW.evaluate(params=params, steps=steps, batch_tokens=batch_tokens)
    critical = wb.LAWS["kaplan batch"].evaluate(loss=loss)
    least = steps / (1 + critical / batch_tokens)
    again = (C["N0"] / params) ** C["aN"] + (C["S0"] / least) ** C["aS"]
    assert again == pytest.approx(loss, rel=1e-9)


def test_least_steps_are_those_of_a_huge_batch():
    huge = LAW.evaluate(params=1e9, steps=least_steps(LAW, 1e9, 2.6), batch_tokens=1e14)
    assert huge == pytest.approx(2.6, rel=1e-6)


@pytest.mark.parametrize("loss", [2.5, 3.0, 4.0])
def test_the_efficient_size_takes_the_least_compute_of_all_that_are_tried(loss):
    """Equation B.5 against a plain search over sizes."""
    best = efficient_params(LAW, loss)
    found = optimize.minimize_scalar(
        lambda log: np.log(np.exp(log) * least_steps(LAW, np.exp(log), loss)),
        bounds=(np.log(best / 1.9), np.log(best * 9)), method="bounded", options={"xatol": 1e-7},
    )  # fmt: skip
    assert np.exp(found.x) == pytest.approx(best, rel=1e-3)


def test_steps_and_compute_are_those_of_the_closed_forms():
    for times in (0.6, 1.0, 2.2, 5.0):  # equation B.17
        closed = (1 + C["aS"] / C["aN"] * (1 - times ** -C["aN"])) ** (-1 / C["aS"])
        assert steps_at(LAW, times) == pytest.approx(closed, rel=1e-8)
    exponent = 1 / (1 / C["aS"] + 1 / C["aB"] + 1 / C["aN"])  # B.7
    assert compute_exponent(LAW) == pytest.approx(exponent, rel=1e-9)


def test_a_model_that_never_reaches_the_loss_is_said_to_be_so():
    with pytest.raises(ValueError, match="and nowhere 2"):
        least_steps(LAW, 1e6, 2.0)
