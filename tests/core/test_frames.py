"""The frame of a table, whatever has one inside."""

from __future__ import annotations

import pandas as pd
import pytest

import workbench as wb
from workbench.core.frames import frame_of


def test_a_frame_and_what_has_one_inside():
    frame = pd.DataFrame({"frame": [1, 2]})
    assert frame_of(frame) is frame
    assert frame_of(wb.ScoreTable(frame, {}, [])) is frame


@pytest.mark.parametrize(
    ("given", "kind"), [([{"score": 1.0}], "list"), (None, "NoneType"), ("run/", "str")]
)
def test_anything_else_is_named(given, kind):
    with pytest.raises(TypeError, match=f"score_corpus and load_scores.*got a {kind}"):
        frame_of(given)
