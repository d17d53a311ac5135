"""The stored losses of 38 chains: which they are, and that they can be had again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from experiments.reasoning_chains import CONTROLS, STORED, chains, mirrored

MOST = 0.02  # nats by which another processor may differ


def test_the_stored_rows_are_those_of_38_named_chains_and_hold_no_text():
    rows = pd.read_csv(STORED)
    assert list(rows) == [
        "task", "needs_context", "item", "name", "masked", "draw", "loss", "exact",
    ]  # fmt: skip
    bbh, mmlu = chains()
    assert (len(bbh.items), len(mmlu.items)) == (23, 15)
    expected = [(task.name, item.name) for task in (bbh, mmlu) for item in task.items]
    sets = rows.groupby(["task", "name"], sort=False)["masked"].agg(list)
    assert list(sets.index) == expected
    assert set(map(tuple, sets)) == {("nothing", "detected", *["random"] * CONTROLS)}
    assert np.isfinite(rows["loss"]).all()


@pytest.mark.slow
def test_the_stored_losses_can_be_had_again():
    """The two shortest chains of each task, answered again."""
    again = []
    for task in chains():
        shortest = sorted(task.items, key=lambda item: len(item.prompt + item.answer))[:2]
        again.append(wb.Task(task.name, tuple(shortest), task.needs_context))
    key = ["task", "name", "masked", "draw"]
    found = mirrored(again).set_index(key)["loss"]
    stored = pd.read_csv(STORED).set_index(key)["loss"]
    assert len(found) == 4 * (2 + CONTROLS)
    assert (found - stored[found.index]).abs().max() < MOST
