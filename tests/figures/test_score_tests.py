"""Figures of score tests: they draw what they are given, and hostile names stay text."""

from __future__ import annotations

import pandas as pd
import pytest

import workbench as wb
from workbench import figures


def rows(*values, columns=("score", "<b>raw</b>")):
    return pd.DataFrame({
        "column": columns[: len(values)], "value": values,
        "low": [value - 0.1 for value in values], "high": [value + 0.05 for value in values],
    })  # fmt: skip


def test_a_panel_a_world_with_intervals_and_chance():
    worlds = {"<i>chains</i>": rows(0.6, 0.7), "planted": rows(0.9)}
    figure = figures.score_test_dots(worlds, {"planted": 0.1})
    first, second = figure.data
    assert list(first.x) == [0.6, 0.7]
    assert list(first.y) == ["score", "&lt;b&gt;raw&lt;/b&gt;"]
    assert list(first.error_x.array) == pytest.approx([0.05, 0.05])
    assert list(first.error_x.arrayminus) == pytest.approx([0.1, 0.1])
    assert list(second.y) == ["score"]
    assert [line.x0 for line in figure.layout.shapes] == [0.5, 0.1]
    assert [title.text for title in figure.layout.annotations] == [
        "&lt;i&gt;chains&lt;/i&gt;", "planted",
    ]  # fmt: skip
    assert list(figure.layout.yaxis.categoryarray) == ["&lt;b&gt;raw&lt;/b&gt;", "score"]
    assert figure.layout.xaxis.range == (-0.02, 1.02)
    with pytest.raises(ValueError, match="one world at least"):
        figures.score_test_dots({})


def test_a_value_outside_of_0_to_1_is_on_the_axis_with_its_interval():
    figure = figures.score_test_dots({"gain": rows(-0.3, 1.2)})
    assert figure.layout.xaxis.range == pytest.approx((-0.42, 1.27))


def test_the_response_in_standard_deviations():
    before = pd.DataFrame({"doc_id": list("abcd"), "<u>x</u>": [1.0, 2, 3, 4], "y": [4.0, 1, 0, 2]})
    after = pd.concat([
        before.assign(kind="<b>up</b>", y=0.0) + {"doc_id": "", "<u>x</u>": 1, "y": 0, "kind": ""},
        before.assign(kind="same"),
    ])  # fmt: skip
    response = wb.paired_response(before, after, ["<u>x</u>", "y"])
    figure = figures.response_dots(response)
    first, second = figure.data
    frame = response.frame.set_index(["column", "kind"])
    assert first.name == "&lt;u&gt;x&lt;/u&gt;"
    assert first.x[0] == pytest.approx(
        frame.loc[("<u>x</u>", "<b>up</b>"), "standardised"], abs=1e-4
    )
    assert first.error_x.array[0] == 0  # every pair moves by 1
    row = frame.loc[("y", "<b>up</b>")]
    assert second.x[0] + second.error_x.array[0] == pytest.approx(
        row["high"] / row["spread"], abs=1e-3
    )
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;up&lt;/b&gt;", "same"]
    for markup in ("<b>", "<u>", "\\u003cb\\u003e", "\\u003cu\\u003e"):
        assert markup not in figure.to_json().replace("<extra>", "")
