"""Which tokens tell chains from other text: the stored rows, and the classes of tokens."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.columns_by_world import HERE
from experiments.match_lengths import CLASSES, rises
from experiments.score_columns import OTHERS

pytestmark = pytest.mark.slow  # of an experiment, not of the package


def test_every_part_and_class_is_stored_with_its_interval():
    rows = pd.read_csv(HERE / "match_lengths.csv")
    overall = rows[(rows["measure"] == "AUC") & (rows["against"] == "all others")]
    found = set(zip(overall["part"], overall["column"], strict=True))
    assert found == {(part, name) for part in OTHERS for name in CLASSES}
    assert (rows["low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["high"]).all()
    for part, others in OTHERS.items():
        of_part = overall[overall["part"] == part]
        assert (of_part["others"] <= others).all()
        sums = of_part["wanted"] + of_part["others"] + of_part["missing"]
        assert sums.nunique() == 1  # a text without such a token is missing, not 0


def match_by_hand(ids, place):
    """Tokens of context that an earlier occurrence of the token shares, -1 without one."""
    best = -1
    for earlier in range(place):
        if ids[earlier] == ids[place]:
            length = 0
            while earlier - length > 0 and ids[earlier - length - 1] == ids[place - length - 1]:
                length += 1
            best = max(best, length)
    return best


@pytest.mark.parametrize("seed", range(4))
def test_a_class_is_what_a_plain_search_finds(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 4, 40)
    base, masked = rng.random((2, 39))
    found = rises(ids, base, masked)
    matched = np.array([match_by_hand(ids, place) for place in range(1, 40)])
    for name, (least, most) in CLASSES.items():
        own = (masked - base)[(matched >= least) & (matched <= most)]
        assert found[name] == (
            pytest.approx(own.mean()) if len(own) else pytest.approx(np.nan, nan_ok=True)
        )
