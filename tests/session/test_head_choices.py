"""Which heads an action masks: a line of the grid, the highest, a control."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.session.head_choices import control_for, highest, toggled

SHAPE = SimpleNamespace(num_layers=3, num_heads=4)


def heads(*members):
    return wb.HeadSet.of(members, SHAPE)


def scores(values):
    layer, head = np.divmod(np.arange(12), 4)
    return wb.HeadScores(pd.DataFrame({"layer": layer, "head": head, "score": values}))


def test_a_line_is_masked_until_all_of_it_is():
    row, other = heads(*((1, head) for head in range(4))), heads((0, 2))
    part = heads((1, 0), (1, 3)) | other
    assert toggled(part, row) == row | other
    assert toggled(row | other, row) == other
    assert toggled(toggled(other, row), row) == other


def test_the_highest_are_counted():
    values = np.random.default_rng(0).permutation(12) + 1.0
    for count in range(12):
        found = highest(scores(values), count)
        best = np.argsort(-values)[:count]
        assert found == heads(*(divmod(int(place), 4) for place in best))
    for count in (-1, 12):
        with pytest.raises(ValueError, match=f"between 0 and 11, got {count}"):
            highest(scores(values), count)


def test_a_tie_at_the_cut_is_refused_or_goes_to_the_lower_head():
    tied = scores([3.0, 2.0, 2.0, *[1.0] * 9])
    with pytest.raises(ValueError, match="2 heads tie at the cut"):
        highest(tied, 2)
    assert highest(tied, 2, allow_ties=True) == heads((0, 0), (0, 1))


def test_a_control_is_as_many_other_heads():
    masked = heads((0, 0), (1, 1), (2, 2))
    controls = [control_for(masked, SHAPE, seed) for seed in range(20)]
    assert {len(control) for control in controls} == {3}
    assert not any(control & masked for control in controls)
    assert len({str(control) for control in controls}) > 10
    assert control_for(masked, SHAPE, 7) == controls[7]
    with pytest.raises(ValueError, match="nothing to draw a control for"):
        control_for(heads(), SHAPE, 0)
