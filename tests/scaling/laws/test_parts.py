"""What the entries share: quantities that say what is counted, checks that say what they are."""

from __future__ import annotations

import pytest

import workbench as wb
from workbench.scaling.laws import parts

FAMILY = wb.LAWS["besiroglu"]


def test_quantities_say_what_is_counted():
    assert parts.params(1e6, 1e9).unit == "parameters, without embeddings"
    assert parts.params(1e6, 1e9, "all").unit == "parameters, all"
    assert (parts.tokens(1e9, None).low, parts.tokens(1e9, None).high) == (1e9, None)
    assert parts.compute(None, None, parts.NO_EMBEDDINGS).unit == (
        "FLOP of training, without embeddings"
    )
    assert parts.PF_DAY == 1e15 * 24 * 3600


def test_a_recomputed_number_is_not_said_to_be_printed():
    check = parts.recomputed(2.5, params=1e9, tokens=2e10)
    assert check.where == "at params 1e+09, tokens 2e+10"
    assert not check.stated
    assert check.found(FAMILY) == FAMILY.evaluate(params=1e9, tokens=2e10)


def test_checks_of_an_optimum_find_it():
    """Hoffmann et al., equation 4: params grow with the power b / (a + b) of compute."""
    ratio = parts.ratio_at(1e21, 20, 0.1, "somewhere")
    assert ratio.stated
    assert ratio.where == "somewhere: tokens a parameter at 1e+21 FLOP"
    assert ratio.found(FAMILY) == FAMILY.optimum(1e21).tokens_per_parameter
    power = parts.exponent(0.5, 0.01, "somewhere").found(FAMILY)
    assert power == pytest.approx(0.3658 / (0.3478 + 0.3658), rel=1e-5)
