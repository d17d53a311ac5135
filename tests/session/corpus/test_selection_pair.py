"""Two selections: what both choose, what each chooses alone, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.session.corpus.selection_pair import PARTS, SelectionPair


def test_parts_of_two_selections():
    pair = SelectionPair(np.array([1, 2, 3]), np.array([3, 4]))
    assert [pair.part(name).tolist() for name in PARTS] == [[3], [1, 2], [4]]
    assert pair.describe() == "1 both, 2 only A, 1 only B; overlap 25%"
    with pytest.raises(ValueError, match=r"no part 'neither': expected one of both, only A"):
        pair.part("neither")


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_are_those_of_plain_sets(seed):
    rng = np.random.default_rng(seed)
    first, second = (rng.choice(50, size=rng.integers(1, 40), replace=False) for _ in "AB")
    pair, a, b = SelectionPair(first, second), set(first.tolist()), set(second.tolist())
    found = [pair.part(name).tolist() for name in PARTS]
    assert found == [sorted(a & b), sorted(a - b), sorted(b - a)]
    assert pair.describe().endswith(f"overlap {len(a & b) / len(a | b):.0%}")


def test_two_empty_selections_agree_on_nothing():
    empty = np.array([], dtype=int)
    assert SelectionPair(empty, empty).describe() == "0 both, 0 only A, 0 only B; overlap 0%"
