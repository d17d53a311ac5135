"""A quantity: how far a value lies outside what was measured, and which values make no sense."""

from __future__ import annotations

import numpy as np
import pytest

import workbench as wb

RATIO = wb.Quantity("ratio", "r", "width / base width", 0.5, 8, least=0.1)
STAGE = wb.Quantity("stage", "s", "stage", choices=(0, 1, 2, 3))


def test_each_end_of_the_range_is_said():
    assert RATIO.outside([0.5, 8]) == []
    assert RATIO.outside([0.25, 16]) == [
        "ratio 0.25 is 2 times below 0.5, the least measured",
        "ratio 16 is 2 times above 8, the largest measured",
    ]
    assert STAGE.outside(3) == []


def test_values_that_make_sense_come_back_as_floats():
    assert RATIO.checked("0.5") == 0.5
    np.testing.assert_array_equal(STAGE.checked([3, 0]), [3.0, 0.0])
    with np.errstate(invalid="ignore"):
        assert np.isnan((RATIO.checked(2) - 3) ** 0.5)  # which in Python would be complex


@pytest.mark.parametrize(
    ("quantity", "value", "message"),
    [
        (RATIO, 0.05, "ratio must be a finite number of 0.1 or more, got 0.05: write 125M as"),
        (RATIO, [1, np.inf], r"ratio must be a finite number of 0.1 or more, got \[1, inf\]"),
        (RATIO, [], "ratio must be a finite number"),
        (RATIO, "wide", "ratio must be a finite number of 0.1 or more, got 'wide'"),
        (STAGE, 1.5, "stage must be one of 0, 1, 2, 3, got 1.5"),
        (STAGE, [0, 4], r"stage must be one of 0, 1, 2, 3, got \[0, 4\]"),
        (STAGE, "two", "stage must be one of 0, 1, 2, 3, got 'two'"),
    ],
)
def test_what_makes_no_sense_is_refused(quantity, value, message):
    with pytest.raises(ValueError, match=message):
        quantity.checked(value)
