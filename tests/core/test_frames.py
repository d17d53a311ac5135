"""The frame of a table, whatever has one inside."""

from __future__ import annotations

import pandas as pd
import pytest

import workbench as wb
from workbench.core.frames import as_html, frame_of


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


def test_html_shows_text_as_text_and_nothing_invisible():
    table = pd.DataFrame({"<b>a</b>": ["<img src=x>", "x\u202ey", None], "n": [1, 2.5, None]})
    found = as_html("one & <i>two</i>\nline\x1b two", table)
    assert found.startswith("<p>one &amp; &lt;i&gt;two&lt;/i&gt;</p><p>line\\u001b two</p><table")
    assert "<b>" not in found
    assert "<img" not in found
    for text in ("&lt;b&gt;a&lt;/b&gt;", "&lt;img src=x&gt;", "x\\u202ey", "2.5", "NaN"):
        assert text in found
    assert as_html("alone") == "<p>alone</p>"
    named = as_html("", table[["n"]].set_axis(["a", "x\u202ey", "c"]), index=True)
    assert "<th>x\\u202ey</th>" in named


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": [None, None], "b": ["x", None], "c": [True, False], "d": [1, 2.5]}),
        pd.DataFrame([["x", 1], ["y", 2]], columns=["a", "a"]),
        pd.DataFrame({"a": pd.Series([1, "x", None, 0.5], dtype=object)}),
        pd.DataFrame({"a": ["long " * 30], "b": [(0, 1)]}),
        pd.DataFrame({"a": [], "b": []}),
    ],
)
def test_harmless_tables_look_as_pandas_shows_them(table):
    assert as_html("", table) == table.to_html(index=False)


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("rows", [1, 60, 61, 1000])
def test_long_tables_are_shortened_as_pandas_does(index, rows):
    table = pd.DataFrame({"n": range(rows)}, index=range(5, 5 + rows))
    plain = table.to_html(index=index, max_rows=60)
    assert as_html("", table, index=index) == plain
    with pd.option_context("display.max_rows", None):
        assert as_html("", table, index=index).count("<td>") == rows
