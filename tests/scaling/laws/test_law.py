"""One law: evaluated, inverted and optimised, and what it says outside its range."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import optimize

import workbench as wb

STEP, CHINCHILLA = wb.LAWS["step law"], wb.LAWS["besiroglu"]


def test_a_value_inside_the_range_comes_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert STEP(params=1e9, tokens=2e10) == pytest.approx(9.96e-4, rel=1e-3)
    assert STEP.outside(params=1e9, tokens=2e10) == []


def test_outside_the_range_it_answers_and_says_by_how_many_times():
    with pytest.warns(wb.OutsideDomain, match="step law: params 5e\\+05 is 118 times below 5.9e"):
        value = STEP(params=5e5, tokens=8e9)
    assert value == STEP.evaluate(params=5e5, tokens=8e9)
    below, above = STEP.outside(params=np.array([5.9e6, 1e9]), tokens=np.array([1e11, 1e12]))
    assert below == "params 5.9e+06 is 10 times below 5.9e+07, the least measured"
    assert above == "tokens 1e+12 is 10 times above 1e+11, the largest measured"
    (zero,) = wb.LAWS["moe leverage"].outside(activation=0, granularity=4, compute=1e19)
    assert zero == "activation 0 is below 0.008, the least measured"


def test_where_a_formula_has_no_value_a_call_says_so_and_a_curve_has_a_gap():
    """No loss of the family is as low as its floor."""
    density = wb.LAWS["density"]
    losses = np.array([2.8, 1.0, 0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gaps = density.evaluate(loss=losses, params=1e8, tokens=1e12)
    assert np.isfinite(gaps).tolist() == [True, False, False]
    at = r"density has no finite value at loss 1, params 1e\+08, tokens 1e\+12: rho = .* is nan"
    for loss in (1, "1", losses, losses[:, None]):
        with pytest.raises(ValueError, match=at):
            density(loss=loss, params=1e8, tokens=1e12)
    with pytest.raises(ValueError, match=r"step law has no finite value at params 0, .* is inf "):
        STEP(params=0, tokens=1e10)


def test_no_search_leaves_the_values_that_make_sense():
    memory = wb.LAWS["zero memory"]
    for ask in (memory, memory.evaluate):
        with pytest.raises(ValueError, match="devices must be a finite number of 1 or more, got 0"):
            ask(params=7e9, devices=0.5, stage=1)
        with pytest.raises(ValueError, match="stage must be one of 0, 1, 2, 3, got 4"):
            ask(params=7e9, devices=8, stage=4)
    found = memory.invert("devices", 7e9 * (4 + 12 / 40), params=7e9, stage=1)
    assert found == pytest.approx(40, rel=1e-9)
    with pytest.raises(ValueError, match="has few values of stage"):
        memory.invert("stage", 1e10, params=7e9, devices=8)


def test_the_optimum_is_that_of_the_closed_form():
    """Hoffmann et al., equation 4: N = G (C/6)^(b/(a+b)), G = (a A / b B)^(1/(a+b))."""
    c = CHINCHILLA.constants
    for compute in (1e19, 1e21, 1e24):
        g = (c["a"] * c["A"] / (c["b"] * c["B"])) ** (1 / (c["a"] + c["b"]))
        best = CHINCHILLA.optimum(compute=compute)
        closed = g * (compute / 6) ** (c["b"] / (c["a"] + c["b"]))
        assert best["params"] == pytest.approx(closed, rel=1e-6)
        assert 6 * best["params"] * best["tokens"] == pytest.approx(compute)
        assert best.value == CHINCHILLA.evaluate(params=best["params"], tokens=best["tokens"])
    best = CHINCHILLA.optimum(compute=1e21)
    assert best["params"] == pytest.approx(2.78e9, rel=1e-3)
    assert best["tokens"] == pytest.approx(6.00e10, rel=1e-3)


def test_what_is_tied_to_the_searched_input_moves_with_it():
    best = wb.LAWS["moe leverage"].best("granularity", largest=True, activation=0.031, compute=1e22)
    assert best["granularity"] == pytest.approx(2 ** (0.117 / (2 * 0.0167)), rel=1e-6)
    assert best.value == pytest.approx(7.247, abs=1e-3)
    # At a fixed ratio of tokens to params, the least compute for a loss.
    law = wb.LAWS["besiroglu"]
    size = law.invert("params", 2.5, tokens=1e11)
    assert law.evaluate(params=size, tokens=1e11) == pytest.approx(2.5, abs=1e-12)


def test_inverted_and_evaluated_is_where_one_began():
    assert wb.LAWS["henighan math"].invert("params", 0.35) == pytest.approx(1.82e11, rel=2e-3)
    tokens = STEP.invert("tokens", 1.2e-3, params=5e8)
    assert STEP.evaluate(params=5e8, tokens=tokens) == pytest.approx(1.2e-3, rel=1e-9)
    # A density of 1 is the loss of the family itself.
    loss = wb.LAWS["density"].invert("loss", 1.0, params=1e9, tokens=1e12)
    assert loss == pytest.approx(CHINCHILLA.evaluate(params=1e9, tokens=1e12), rel=1e-9)


def test_of_two_solutions_the_one_in_the_range_is_given():
    law = wb.LAWS["moe leverage"]
    found = law.invert("granularity", 7.2, activation=0.031, compute=1e22)
    plain = optimize.brentq(
        lambda g: law.evaluate(granularity=g, activation=0.031, compute=1e22) - 7.2, 2, 11.3
    )
    assert found == pytest.approx(plain, rel=1e-6)


def test_other_constants_make_another_law():
    half = CHINCHILLA.with_constants(E=1.0)
    assert half.evaluate(params=1e9, tokens=1e10) == pytest.approx(
        CHINCHILLA.evaluate(params=1e9, tokens=1e10) - 0.8172
    )
    assert CHINCHILLA.constants["E"] == 1.8172


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: STEP(params=1e9), r"step law needs params \(parameters, without embeddings\), "),
        (lambda: STEP(params=1e9, tokens=1e9, compute=1), "got params, tokens, compute"),
        (lambda: STEP(params="1B", tokens=1e9), "params must be a finite number .* '1B': write"),
        (lambda: STEP(params=-1, tokens=1e9), "params must be a finite number of 0 or more, got"),
        (lambda: STEP(params=[1e9, np.nan], tokens=1e9), "params must be a finite number"),
        (lambda: STEP(params=[], tokens=1e9), "params must be a finite number"),
        (lambda: CHINCHILLA.invert("params", 1.0, tokens=1e10), "and nowhere 1"),
        (lambda: CHINCHILLA.invert("compute", 3.0, params=1, tokens=1), "and no 'compute'"),
        (lambda: CHINCHILLA.best("params", tokens=1e10), "an end of the range of search"),
        (lambda: STEP.with_constants(c=1), r"constants k, a, b: \['c'\]"),
        (lambda: wb.LAWS["kaplan"].optimum(1e20), "needs a law of params and tokens"),
    ],
)
def test_what_cannot_be_asked(call, message):
    with pytest.raises(ValueError, match=message):
        call()
