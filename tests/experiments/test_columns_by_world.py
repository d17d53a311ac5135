"""The picture of the columns in their worlds: all of them, from the rows that are stored."""

from __future__ import annotations

import pandas as pd
import pytest

from experiments.columns_by_world import HERE, MOST_BYTES, NAMES, PICTURE, panels, picture


def test_every_column_stands_in_every_world_with_its_interval():
    worlds = panels()
    assert len(worlds) == 6
    for rows in worlds.values():
        assert set(rows["column"]) <= set(NAMES.values())
        assert (rows["low"] <= rows["value"]).all()
        assert (rows["value"] <= rows["high"]).all()
        assert rows["column"].tolist() == list(NAMES.values())


def test_the_figure_shows_what_is_stored():
    tests = pd.read_csv(HERE / "score_tests.csv")
    chosen = tests[tests["measure"].eq("share of the chosen") & tests["against"].eq("lookup")]
    rows = chosen[chosen["world"] == "literal, beside nothing"].set_index("column")
    figure = picture()
    panel = figure.data[1]
    assert dict(zip(panel.y, panel.x, strict=True))["fetched"] == pytest.approx(
        rows.loc["fetched", "value"]
    )
    assert [line.x0 for line in figure.layout.shapes] == [0.5, 0.1, 0.1, 0.1, 0.1, 0.0]


def test_the_picture_is_small():
    content = PICTURE.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) <= MOST_BYTES
