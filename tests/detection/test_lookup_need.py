"""The verdict on lookup: what follows from answers whose truth is known, and real models."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from detection.test_retrieval import PROSE, text_model
from support.planted import planted_probes

import workbench as wb
from workbench.core.intervals import bootstrap_weights
from workbench.detection.lookup_questions import HEADS, KEYS, MEASURES


def answers(first, share=None, probes=12, questions=2, noise=0.0, seed=0):
    """Made-up answers: first and share give a mean for (keys, heads), 0 where they say nothing.

    A probe in ten is answered the other way per unit of noise, so that probes differ.
    """
    share = first if share is None else share
    rng = np.random.default_rng(seed)
    rows = []
    for probe in range(probes):
        for question in range(questions):
            for keys in KEYS:
                for heads in HEADS:
                    rate = first.get((keys, heads), 0.0)
                    right = float(rng.random() < rate)
                    part = np.clip(share.get((keys, heads), 0.0) + noise * rng.normal(), 0, 1)
                    rows.append(
                        (probe, question, keys, heads, 5 - 4 * right, right, right * (part > 0.9),
                         float(part))
                    )  # fmt: skip
    return pd.DataFrame(rows, columns=["probe", "question", "keys", "heads", *MEASURES])


ABLE = {("true", "base"): 0.95, ("true", "random"): 0.9}


def test_lookups_that_masking_takes_away_need_the_heads():
    test = wb.LookupTest(answers({**ABLE, ("true", "masked"): 0.05}))
    assert test.finding == "lookup"
    assert test.retrieves
    assert test.verdict.startswith("lookups need them: masking takes the first answer token's")
    assert test.headline == "lookups need them"
    base, masked, random = (
        test.table.set_index(["keys", "heads"]).loc[("true", name), "first_accuracy"]
        for name in HEADS
    )
    assert f"from {base:.2f} to {masked:.2f}" in test.verdict
    assert f"random heads to {random:.2f}" in test.verdict
    assert str(test.change("first_accuracy")) in test.verdict
    assert (test.probes, test.questions) == (12, 24)


def test_heads_that_go_on_but_are_not_needed_for_the_first_token_copy():
    copied = {("true", "base"): 0.9, ("true", "masked"): 0.2, ("true", "random"): 0.85}
    test = wb.LookupTest(answers({**ABLE, ("true", "masked"): 0.9}, copied, noise=0.05))
    assert test.finding == "copying"
    assert test.verdict.startswith("copying needs them, no evidence that lookups do")
    assert test.headline == "copying needs them"


def test_heads_that_do_no_more_harm_than_random_ones_are_called_so():
    same = {("true", "base"): 0.9, ("true", "masked"): 0.3, ("true", "random"): 0.3}
    test = wb.LookupTest(answers(same, probes=30))
    assert test.change("first_accuracy").falls  # general damage is no evidence
    assert test.finding == "neither"
    assert test.verdict.startswith("no evidence that lookups need them more than random heads")
    assert test.headline == "no evidence that lookups need them"
    harmless = wb.LookupTest(answers({**ABLE, ("true", "masked"): 0.95}, noise=0.05))
    assert harmless.finding == "neither"


def test_heads_that_break_every_answer_alike_are_no_lookup_heads():
    """The accuracy falls with the true key, but the key is worth as much as before."""
    frame = answers({**ABLE, ("true", "masked"): 0.05}, {})
    masked = frame["heads"] == "masked"
    frame.loc[masked, "first_loss"] = np.where(frame.loc[masked, "keys"] == "true", 8.0, 12.0)
    test = wb.LookupTest(frame)
    assert test.change("first_accuracy").falls
    assert test.change("first_accuracy", ("true", "random"), ("true", "masked")).falls
    assert test.key_worth("masked") == (4, 4, 4)
    assert not test.key_worth("masked", less="base").falls
    assert test.finding == "neither"


def test_the_worth_of_a_key_is_paired_by_probe():
    test = wb.LookupTest(answers({**ABLE, ("true", "masked"): 0.4, ("shuffled", "base"): 0.2}))
    assert test.key_worth("random") == test.change(
        "first_loss", ("true", "random"), ("shuffled", "random")
    )
    difference = test.key_worth("masked", less="base")
    assert difference.value == pytest.approx(
        test.key_worth("masked").value - test.key_worth().value
    )
    by_cell = test.answers.groupby(["probe", "keys", "heads"])["first_loss"].mean().unstack("keys")
    worth = (by_cell["shuffled"] - by_cell["true"]).unstack("heads")
    of_probes = (worth["masked"] - worth["base"]).to_numpy()
    drawn = bootstrap_weights(len(of_probes), test.draws, test.seed) @ of_probes
    assert difference[1:] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=1e-6)


@pytest.mark.parametrize(
    ("first", "finding", "words"),
    [
        ({}, "no retrieval", "cannot answer the probes by key"),
        # Some value of the object, whichever key is asked for.
        ({(key, "base"): 0.15 for key in KEYS}, "no retrieval", "cannot answer the probes by key"),
        ({(key, "base"): 0.9 for key in KEYS}, "guessed", "can be had without the key"),
        # An absent key does as well as the true one: a shuffled one only misleads.
        ({("true", "base"): 0.9, ("absent", "base"): 0.9}, "guessed", "without the key"),
    ],
)
def test_without_retrieval_nothing_is_said_of_the_heads(first, finding, words):
    test = wb.LookupTest(answers(first, probes=40))
    assert test.finding == finding
    assert not test.retrieves
    assert test.verdict.startswith("no retrieval")
    assert test.headline == ("no retrieval shown" if finding == "guessed" else "no retrieval")
    assert words in test.verdict
    assert "need them" not in test.verdict


def test_a_key_that_helps_is_not_enough_where_most_is_right_without_it():
    rates = {("true", "base"): 1.0, ("shuffled", "base"): 0.75, ("absent", "base"): 0.75}
    test = wb.LookupTest(answers(rates, probes=20))
    assert test.change("first_loss", ("shuffled", "base"), ("true", "base")).falls
    assert test.change("first_loss", ("absent", "base"), ("true", "base")).falls
    assert test.finding == "guessed"


def test_a_key_that_may_be_worth_nothing_takes_more_probes():
    rates = {("true", "base"): 0.4, ("shuffled", "base"): 0.1}
    frame = answers(rates, probes=5, questions=2, seed=3)
    frame["first_loss"] = np.random.default_rng(0).normal(3, 1, len(frame))
    test = wb.LookupTest(frame)
    assert not test.change("first_loss", ("shuffled", "base"), ("true", "base")).falls
    assert test.finding == "unsure"
    assert "use more or shorter probes" in test.verdict
    assert test.headline == "no retrieval shown"


def test_intervals_are_those_of_a_loop_over_probes():
    frame = answers({**ABLE, ("true", "masked"): 0.4, ("shuffled", "base"): 0.2}, noise=0.1)
    frame = frame.drop(frame[(frame["probe"] == 3) & (frame["question"] == 1)].index)
    test = wb.LookupTest(frame, draws=300, seed=4)
    assert test.questions == 23
    weights = bootstrap_weights(12, 300, 4)
    for measure in MEASURES:
        means = {}
        for (probe, keys, heads), part in frame.groupby(["probe", "keys", "heads"]):
            means[keys, heads, probe] = part[measure].mean()
        for row in test.table.itertuples():
            cell = np.array([means[row.keys, row.heads, i] for i in range(12)])
            drawn = [sum(w * x for w, x in zip(draw, cell, strict=True)) for draw in weights]
            assert getattr(row, measure) == pytest.approx(cell.mean())
            low, high = np.percentile(drawn, [2.5, 97.5])
            assert getattr(row, f"{measure}_low") == pytest.approx(low, abs=1e-6)
            assert getattr(row, f"{measure}_high") == pytest.approx(high, abs=1e-6)
        change = test.change(measure, ("shuffled", "base"), ("true", "random"))
        differences = np.array(
            [means["true", "random", i] - means["shuffled", "base", i] for i in range(12)]
        )
        assert change.value == pytest.approx(differences.mean())
        assert change[1:] == pytest.approx(
            np.percentile(weights @ differences, [2.5, 97.5]), abs=1e-6
        )


def test_probes_that_agree_have_an_interval_without_width():
    frame = answers({("true", "base"): 1.0, ("true", "masked"): 1.0}, {}, probes=7, questions=3)
    change = wb.LookupTest(frame).change("first_accuracy")
    assert change == (0, 0, 0)
    assert not change.falls
    assert not change.rises


def test_words_and_json_hold_the_same_figures():
    test = wb.LookupTest(answers({**ABLE, ("true", "masked"): 0.05}))
    stored = test.to_json()
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored
    assert stored["verdict"] == test.verdict
    assert len(stored["table"]) == 9
    assert repr(test).splitlines()[0] == f"Lookup test: {test.verdict}"
    assert all(reason in repr(test) for reason in test.reasons)
    assert "24 values of 12 probes" in test.reasons[0]


# ---- models -------------------------------------------------------------------------------------


def test_a_model_of_random_weights_does_not_retrieve():
    model = text_model()
    probes = wb.make_probes(model, n=4, max_tokens=900, seed=0, texts=PROSE)
    test = wb.lookup_test(model, probes, wb.HeadSet.of([(1, 2)], model), questions=2, draws=200)
    assert test.finding == "no retrieval"
    assert (test.probes, test.questions) == (4, 8)
    assert test.table["greedy_exact"].max() == 0


def test_too_little_to_go_by_is_refused():
    model = text_model()
    probes = planted_probes(model, n=3)
    heads = wb.HeadSet.of([(1, 2)], model)
    for some, draws, chosen in ((probes, 1000, heads), (probes, 50, heads)):
        with pytest.raises(ValueError, match="at least 100 draws, 4 probes and one head"):
            wb.lookup_test(model, some, chosen, draws=draws)
    with pytest.raises(ValueError, match="and one head, got 1000, 12 and 0"):
        wb.lookup_test(model, planted_probes(model), wb.HeadSet.of([], model))
