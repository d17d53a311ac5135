"""The two usual formulas against the same written out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import workbench as wb

X = SimpleNamespace(params=np.array([2e8, 3e9]), tokens=np.array([1e10, 5e10]))


def test_products_of_powers():
    form = wb.Powers("k", {"params": "a", "tokens": "b"})
    value = form(SimpleNamespace(k=1.5, a=-0.7, b=0.3), X)
    np.testing.assert_allclose(value, 1.5 * X.params**-0.7 * X.tokens**0.3)


@pytest.mark.parametrize("constant", ["E", None])
def test_sums_of_powers(constant):
    c = SimpleNamespace(E=1.7, A=0.4, a=0.3, B=0.2, b=0.25)
    first = 1.7 if constant else 0.0
    terms = {"params": ("A", "a"), "tokens": ("B", "b")}
    units = {"params": 1e9}
    np.testing.assert_allclose(
        wb.PowerTerms(terms, constant, units)(c, X),
        first + 0.4 / (X.params / 1e9) ** 0.3 + 0.2 / X.tokens**0.25,
    )
    np.testing.assert_allclose(
        wb.PowerTerms(terms, constant, units, scales=True)(c, X),
        first + (0.4 / (X.params / 1e9)) ** 0.3 + (0.2 / X.tokens) ** 0.25,
    )
