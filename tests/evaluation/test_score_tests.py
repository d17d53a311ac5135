"""Tests of columns: held against scikit-learn, brute force and values known by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import workbench as wb
from workbench.evaluation.score_tests import AUC, CHOSEN, EVERY, MATCHED

RNG = np.random.default_rng(0)


def table(n=60, **columns):
    kinds = np.repeat(["chain", "code", "prose"], n // 3)
    frame = pd.DataFrame({"kind": kinds, "loss_base": RNG.normal(2, 0.5, n)})
    return frame.assign(repeated=RNG.random(n), tokens=RNG.integers(50, 90, n), **columns)


def value(tests, column, measure=AUC, against=EVERY):
    rows = tests.rows(measure, against).set_index("column")
    return rows.loc[column]


def test_the_area_is_that_of_scikit_learn_ties_and_all():
    frame = table(score=RNG.integers(0, 6, 60))
    tests = wb.judge_scores(frame, ["chain"], ["score", "-score", "loss_base"], match=())
    truth = frame["kind"] == "chain"
    for column, sign in (("score", 1), ("-score", -1), ("loss_base", 1)):
        values = sign * frame[column.removeprefix("-")]
        assert value(tests, column)["value"] == pytest.approx(roc_auc_score(truth, values))
        part = frame["kind"] != "code"
        assert value(tests, column, against="prose")["value"] == pytest.approx(
            roc_auc_score(truth[part], values[part])
        )
    scores = frame["score"].to_numpy()
    ties = np.mean(scores[truth][:, None] == scores[~truth])
    assert value(tests, "score")["tied"] == pytest.approx(ties)
    assert value(tests, "loss_base")["tied"] == 0


def test_missing_values_are_counted_and_take_no_part():
    frame = table(score=RNG.normal(size=60))
    frame.loc[[0, 1, 30], "score"] = [np.nan, np.inf, np.nan]
    row = value(wb.judge_scores(frame, ["chain"], ["score"], match=()), "score")
    there = frame[np.isfinite(frame["score"])]
    assert row["value"] == pytest.approx(roc_auc_score(there["kind"] == "chain", there["score"]))
    assert (row["wanted"], row["others"], row["missing"]) == (18, 39, 3)


def test_the_interval_holds_the_true_area_as_often_as_it_says():
    held = 0
    for draw in range(150):
        rng = np.random.default_rng(draw)
        frame = pd.DataFrame(
            {"kind": ["a"] * 30 + ["b"] * 40,
             "x": rng.normal(size=70) + np.repeat([1.0, 0.0], [30, 40])}
        )  # fmt: skip
        row = value(wb.judge_scores(frame, ["a"], ["x"], match=(), draws=300), "x")
        held += row["low"] <= 0.7602 <= row["high"]  # Phi(1 / sqrt 2)
    assert 0.88 < held / 150 < 0.99


def test_pairs_are_the_closest_that_there_are():
    frame = pd.DataFrame({
        "kind": ["a"] * 4 + ["b"] * 5, "loss_base": [1.0, 2.0, 3.0, 9.0, 1.1, 2.2, 2.9, 3.2, 1.4],
        "x": [5, 1, 7, 0, 4, 2, 7, 9, 9],
    })  # fmt: skip
    tests = wb.judge_scores(frame, ["a"], ["x"], match=["loss_base"], caliper=0.2)
    losses = frame["loss_base"].to_numpy()
    best = min(
        permutations(range(4, 9), 3),
        key=lambda others: sum(abs(losses[i] - losses[j]) for i, j in enumerate(others)),
    )
    assert best == (4, 5, 6)
    row = value(tests, "x", MATCHED)
    assert (row["wanted"], row["others"]) == (3, 3)  # the fourth is like no other document
    assert row["value"] == pytest.approx(roc_auc_score([1] * 3 + [0] * 3, [5, 1, 7, 4, 2, 7]))
    assert row["tied"] == pytest.approx(1 / 9)
    (balance,) = tests.matching.to_dict("records")
    assert balance["pairs"] == 3
    assert abs(balance["after"]) < 0.05 < abs(balance["before"])


def test_matching_takes_away_what_only_the_confound_explains():
    rng = np.random.default_rng(3)
    n = 400
    loss = np.concatenate([rng.normal(1.5, 0.5, n), rng.normal(2.0, 0.5, n)])
    frame = pd.DataFrame({"kind": ["a"] * n + ["b"] * n, "loss_base": loss,
                          "shadow": -loss + rng.normal(0, 0.1, 2 * n)})  # fmt: skip
    frame["real"] = rng.normal(size=2 * n) + np.repeat([1.0, 0.0], n)
    tests = wb.judge_scores(frame, ["a"], ["shadow", "real"], match=["loss_base"], caliper=0.1)
    assert value(tests, "shadow")["value"] > 0.7
    shadow = value(tests, "shadow", MATCHED)
    assert shadow["low"] < 0.5 < shadow["high"] + 0.05
    assert value(tests, "real", MATCHED)["low"] > 0.65


def test_the_difference_from_a_baseline_is_paired():
    rng = np.random.default_rng(4)
    kinds = np.repeat(["a", "b"], 80)
    common = rng.normal(size=160) + np.repeat([0.5, 0.0], 80)
    frame = pd.DataFrame({"kind": kinds, "x": common, "y": common + rng.normal(0, 0.2, 160)})
    tests = wb.judge_scores(frame, ["a"], ["x", "y"], match=(), baselines=["x"])
    row = value(tests, "y", "AUC less that of x")
    areas = {name: value(tests, name) for name in "xy"}
    assert row["value"] == pytest.approx(areas["y"]["value"] - areas["x"]["value"])
    assert row["high"] - row["low"] < (areas["x"]["high"] - areas["x"]["low"]) / 2
    assert set(tests.rows("AUC less that of x")["column"]) == {"y"}


def test_the_shares_of_what_a_cut_takes():
    frame = pd.DataFrame({"kind": ["a"] * 5 + ["b"] * 3 + ["c"] * 12, "x": range(20, 0, -1)})
    frame["flat_at_the_top"] = [1] * 10 + [0] * 10
    frame["missing"] = frame["x"].where(frame["kind"] != "a")
    tests = wb.judge_scores(frame, ["a"], list(frame)[1:], match=(), fraction=0.3, draws=400)
    shares = [value(tests, "x", CHOSEN, kind)["value"] for kind in "abc"]
    assert shares == pytest.approx([5 / 6, 1 / 6, 0])
    row = value(tests, "x", CHOSEN, "a")
    assert 0.3 < row["low"] < 5 / 6 <= row["high"] <= 1
    assert row["tied"] == 0
    assert value(tests, "flat_at_the_top", CHOSEN, "a")["tied"] == 1
    assert value(tests, "flat_at_the_top", CHOSEN, "a")["high"] <= 1
    gaps = {(gap.column, gap.measure): gap.reason for gap in tests.left_out.itertuples()}
    assert gaps["missing", CHOSEN].startswith("0 wanted and 15 other documents have a value")


def test_shares_of_ties_are_those_of_a_random_order():
    frame = pd.DataFrame({"kind": ["a"] * 40 + ["b"] * 60, "x": [1.0] * 99 + [0.0]})
    shares = [
        value(wb.judge_scores(frame, ["a"], ["x"], match=(), fraction=0.2, draws=2, seed=seed),
              "x", CHOSEN, "a")["value"]
        for seed in range(60)
    ]  # fmt: skip
    assert np.std(shares) > 0.05
    assert np.mean(shares) == pytest.approx(0.4, abs=0.05)


def test_what_cannot_be_formed_has_a_reason_and_no_number():
    frame = table(constant=1.0, empty=np.nan, good=RNG.normal(size=60))
    frame["loss_base"] = np.repeat([0.0, 50.0, 100.0], 20)
    tests = wb.judge_scores(frame, ["chain"], ["constant", "empty", "good"], caliper=0.1)
    assert not tests.frame[["value", "low", "high"]].isna().any(axis=None)
    reasons = {(gap.column, gap.measure, gap.against): gap.reason
               for gap in tests.left_out.itertuples()}  # fmt: skip
    assert reasons["constant", AUC, "code"] == "the value is the same for all documents"
    assert reasons["empty", AUC, EVERY].startswith("0 wanted and 0 other documents")
    assert reasons["good", MATCHED, EVERY].startswith("0 wanted and 0 other documents")
    for text in (repr(tests), tests._repr_html_()):
        assert "the same for all documents" in text
        assert "nan" not in text.lower()
    with pytest.raises(ValueError, match="no row is 'matched AUC' against 'all others'; there are"):
        tests.rows(MATCHED)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wanted": ["dream"]}, "two documents of a wanted kind and two others, got 0 of dream"),
        ({"wanted": ["chain", "code", "prose"]}, "and 0 others"),
        ({"wanted": "chain"}, r"put \[\] around"),
        ({"columns": ["nowhere"]}, "no column 'nowhere'; it has kind"),
        ({"columns": ["kind"]}, "does not hold numbers"),
        ({"columns": []}, "lists of names"),
        ({"kind": "sort"}, "no column 'sort' with the kinds"),
        ({"match": ["weight"]}, "no column 'weight'"),
        ({"fraction": 1.0}, "fraction between 0 and 1"),
    ],
)
def test_bad_input_is_refused_in_words(change, words):
    arguments = {"wanted": ["chain"], "columns": ["loss_base"]} | change
    with pytest.raises(ValueError, match=words):
        wb.judge_scores(table(), **arguments)


def test_a_single_document_is_no_test():
    with pytest.raises(ValueError, match="got 1 of chain and 0 others"):
        wb.judge_scores(table().head(1), ["chain"], ["loss_base"])
