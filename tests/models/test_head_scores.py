"""Scores of heads: what a frame must hold, how they rank, and how they show."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.models.head_scores import SHOWN, as_head_scores


def frame(values, width=4):
    layer, head = np.divmod(np.arange(len(values)), width)
    return pd.DataFrame({"layer": layer, "head": head, "score": values})


def test_scores_are_frozen_and_keep_what_they_were_given():
    rows = frame(np.arange(12) / 10)
    per_probe = [[i / 10 for i in range(12)]] * 3
    scores = wb.HeadScores(rows, "copying", per_probe, range(3), {"probes": 3})
    assert scores.frame is rows
    assert (scores.by, scores.kept, scores.origin) == ("copying", (0, 1, 2), {"probes": 3})
    assert scores.per_probe.shape == (3, 12)
    assert len(scores) == 12
    with pytest.raises(dataclasses.FrozenInstanceError):
        scores.by = "another"


def test_a_frame_becomes_scores_and_scores_stay_what_they_are():
    rows = frame(np.arange(12) / 10)
    scores = as_head_scores(rows)
    assert (scores.frame is rows, scores.by, scores.per_probe) == (True, "score", None)
    assert as_head_scores(scores) is scores
    for chosen in (rows, scores):
        assert str(wb.HeadSet.top(chosen, 0.25)) == "L2H1 L2H2 L2H3"
        assert len(wb.figures.head_map(chosen).data[0].y) == 3


def test_what_a_head_set_says_of_its_origin_comes_from_the_scores():
    rows = frame(np.arange(12) / 10)
    plain = wb.HeadSet.top(rows, 0.25).origin
    assert plain == {
        "chosen": "top 25 % of 12 heads by score", "fraction": 0.25,
        "score_at_cut": 0.9, "score_after_cut": 0.8,
    }  # fmt: skip
    named = wb.HeadScores(rows, "copying", origin={"probes": 3, "probe_seed": 0})
    origin = wb.HeadSet.top(named, 0.25).origin
    assert origin == plain | {
        "chosen": "top 25 % of 12 heads by copying", "probes": 3, "probe_seed": 0,
    }  # fmt: skip
    assert list(origin) == [*plain, "probes", "probe_seed"]  # manifests keep the order


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda rows: wb.HeadScores([0.5]), TypeError, "layer, head and score; got list"),
        (lambda rows: wb.HeadSet.top(None), TypeError, "got NoneType"),
        (lambda rows: wb.HeadScores(rows.drop(columns="head")), ValueError, r"\['head'\] missing"),
        (lambda rows: wb.HeadScores(rows.iloc[:0]), ValueError, "no rows"),
        (lambda rows: wb.HeadScores(rows, per_probe=np.ones((2, 11))), ValueError,
         r"12 scores.*shape \(2, 11\)"),
        (lambda rows: wb.HeadScores(rows, per_probe=np.ones(12)), ValueError, r"shape \(12,\)"),
        (lambda rows: wb.HeadScores(pd.concat([rows, rows])).geometry, ValueError, "got 24 rows"),
        (lambda rows: wb.HeadScores(rows, headless=[1]).geometry, ValueError, "none in layers 1"),
    ],
)  # fmt: skip
def test_what_are_no_scores_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(frame(np.arange(12) / 10))


def test_equal_scores_rank_by_layer_and_head_and_missing_ones_come_last():
    values = [0.5, np.nan, 0.5, 0.7, 0.5, 0.1, 0.5, 0.9]
    shuffled = frame(values).sample(frac=1, random_state=0)
    ranked = wb.HeadScores(shuffled).ranked()
    assert ranked.index.tolist() == [7, 3, 0, 2, 4, 6, 5, 1]


def test_the_text_form_names_the_highest_heads():
    scores = wb.HeadScores(frame([0.5, np.nan, 0.25, 1.0]), "copying", np.ones((7, 4)))
    assert repr(scores) == (
        "<HeadScores of 4 heads by copying, from 7 probes; highest: L0H3 1, L0H0 0.5, L0H2 0.25>"
    )
    assert repr(wb.HeadScores(frame([np.nan]))) == "<HeadScores of 1 heads by score; highest: none>"


def test_the_html_form_shows_the_highest_heads_and_no_markup_of_others():
    rows = frame(np.arange(12) / 10).assign(note="<b>bold</b>")
    html = wb.HeadScores(rows, "<i>copying</i>")._repr_html_()
    assert "12 heads by &lt;i&gt;copying&lt;/i&gt;" in html
    assert html.count("<tr") == SHOWN + 1
    assert "L2H3" in html
    assert "L0H3" not in html
    assert "<b>bold" not in html
    assert "<i>" not in html
