"""Memory, knowledge and pruning: each law against its formula written out."""

from __future__ import annotations

from math import log, log2

import numpy as np
import pytest
from support.laws import in_the_book, read_ranges, stated_ranges

import workbench as wb
from workbench.scaling.laws.memory_and_capacity import MEMORY_AND_CAPACITY

RANGES_READ_IN = {"a share": {"pruning schedule": {"progress": (0, 1), "final": (0, 1)}}}


def test_every_measured_range_was_read_somewhere():
    assert in_the_book(MEMORY_AND_CAPACITY)
    assert stated_ranges(MEMORY_AND_CAPACITY) == read_ranges(RANGES_READ_IN)


@pytest.mark.parametrize(
    ("stage", "bytes_a_parameter"),
    [(0, 16), (1, 4 + 12 / 8), (2, 2 + 14 / 8), (3, 16 / 8)],
)
def test_each_stage_of_zero_splits_one_more_part(stage, bytes_a_parameter):
    memory = wb.LAWS["zero memory"].evaluate(params=3e9, devices=8, stage=stage)
    assert memory == pytest.approx(3e9 * bytes_a_parameter, rel=1e-12)


def test_a_model_that_knows_all_holds_all_bits_and_one_that_guesses_none():
    law = wb.LAWS["capacity"]
    attributes = 2 * (12 * 28 * 200) * 200 * 300 * 100 * 263
    bits = log2(1.6e8) + log2(attributes)
    assert log2(attributes) == pytest.approx(47.592, abs=1e-3)
    known = law.evaluate(people=1e5, name_loss=0, attribute_loss=0, params=1e6)
    assert known == pytest.approx(1e5 * bits / 1e6, rel=1e-12)
    nothing = law.evaluate(
        people=1e5, name_loss=log(1.6e8), attribute_loss=log(attributes), params=1e6
    )
    assert nothing == pytest.approx(0, abs=1e-9)


def test_pruning_slows_down_towards_its_end():
    """The eight steps from 0 to .2."""
    shares = wb.LAWS["pruning schedule"].evaluate(progress=np.arange(9) / 8, final=0.2)
    expected = [0, 0.066, 0.1156, 0.1512, 0.175, 0.1895, 0.1969, 0.1996, 0.2]
    np.testing.assert_allclose(shares, expected, atol=6e-5)
