"""Head sets: naming, choosing, combining, storing."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import Head, HeadSet

LAYERS, WIDTH = 4, 5
pairs = st.tuples(st.integers(0, LAYERS - 1), st.integers(0, WIDTH - 1))
sets = st.lists(pairs).map(lambda members: HeadSet(tuple(members), LAYERS, WIDTH))


class Shape:
    num_layers, num_heads = LAYERS, WIDTH


def frame(values):
    layer, head = np.divmod(np.arange(LAYERS * WIDTH), WIDTH)
    return pd.DataFrame({"layer": layer, "head": head, "score": values})


def test_the_text_form_is_read_back():
    heads = HeadSet.parse("L3H1 l0h4, L2H2", Shape())
    assert str(heads) == "L0H4 L2H2 L3H1"
    assert heads.members == (Head(0, 4), Head(2, 2), Head(3, 1))
    assert len(HeadSet.parse("", Shape())) == 0


@pytest.mark.parametrize("text", ["L1", "H1L1", "L1H1H1", "L-1H0", "1,2", "L1H1;L2H2", "L٣H٣"])
def test_text_that_is_no_head_is_refused(text):
    with pytest.raises(ValueError, match="is not a head"):
        HeadSet.parse(text, Shape())


@pytest.mark.parametrize("text", ["L4H0", "L0H5", "L99999H0"])
def test_heads_outside_the_model_are_refused(text):
    with pytest.raises(ValueError, match="layers go from 0 to 3"):
        HeadSet.parse(text, Shape())


@given(sets, sets)
def test_algebra_is_that_of_sets(a, b):
    plain_a, plain_b = set(a), set(b)
    assert set(a | b) == plain_a | plain_b
    assert set(a & b) == plain_a & plain_b
    assert set(a - b) == plain_a - plain_b
    assert set(a ^ b) == plain_a ^ plain_b
    assert len(a) + len(~a) == LAYERS * WIDTH
    assert not a & ~a
    assert a.jaccard(a) == 1.0


@given(sets)
def test_json_and_text_round_trips(heads):
    assert HeadSet.from_json(heads.to_json()) == heads
    assert HeadSet.parse(str(heads), Shape()) == heads


@pytest.mark.parametrize("stored", ["{}", "[]", "3", "x", '"L0H0"', '{"heads": 1, "layers": 2}'])
def test_broken_json_is_refused(stored):
    with pytest.raises(ValueError, match="not a stored head set"):
        HeadSet.from_json(stored)


def test_what_is_no_head_set_does_not_mix():
    heads = HeadSet(((0, 1),), 2, 2)
    with pytest.raises(TypeError, match=r"expected a head set, got 14: HeadSet\.parse"):
        heads.jaccard(14)
    with pytest.raises(TypeError, match=r"expected a head set, got \['L0H1'\]"):
        heads | ["L0H1"]


def test_sets_of_different_models_do_not_mix():
    with pytest.raises(ValueError, match="different models"):
        HeadSet((), 4, 5) | HeadSet((), 4, 6)


def test_top_takes_the_highest_and_rounds_up():
    scores = frame(np.arange(1, 21) / 20)
    assert str(HeadSet.top(scores, 0.05)) == "L3H4"
    assert str(HeadSet.top(scores, 0.051)) == "L3H3 L3H4"
    assert len(HeadSet.top(scores, 0.15)) == 3
    origin = HeadSet.top(scores, 0.15).origin
    assert (origin["score_at_cut"], origin["score_after_cut"]) == (0.9, 0.85)


def test_top_does_not_depend_on_the_order_of_the_rows():
    scores = frame(np.random.default_rng(0).random(20))
    assert HeadSet.top(scores.sample(frac=1, random_state=1), 0.3) == HeadSet.top(scores, 0.3)


def test_ties_and_zeros_at_the_cut_are_an_error_not_a_ranking():
    with pytest.raises(ValueError, match="score 0"):
        HeadSet.top(frame([0.0] * 20))
    with pytest.raises(ValueError, match="only 1 of 20"):
        HeadSet.top(frame([0.5] + [0.0] * 19), 0.1)
    with pytest.raises(ValueError, match="3 heads tie"):
        HeadSet.top(frame([0.9, 0.5, 0.5, 0.5] + [0.0] * 16), 0.1)
    assert str(HeadSet.top(frame([0.9, 0.5, 0.5] + [0.0] * 17), 0.1, allow_ties=True)) == (
        "L0H0 L0H1"
    )


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5])
def test_fractions_outside_0_to_1_are_refused(fraction):
    with pytest.raises(ValueError, match="between 0 and 1"):
        HeadSet.top(frame(np.arange(20) + 1.0), fraction)


def test_a_fraction_that_takes_every_head_is_refused():
    with pytest.raises(ValueError, match="takes all 20 heads"):
        HeadSet.top(frame(np.arange(20) + 1.0), 0.99)


def test_incomplete_score_frames_are_refused():
    scores = frame(np.arange(20) + 1.0)
    with pytest.raises(ValueError, match="one row for each"):
        HeadSet.top(scores.iloc[1:])
    with pytest.raises(ValueError, match="score"):
        HeadSet.top(scores.drop(columns="score"))
    odd = scores["score"].where(~scores.index.isin([3, 7]))
    first = Head(*scores.loc[3, ["layer", "head"]].astype(int))
    with pytest.raises(ValueError, match=rf"2 of 20 scores are not finite \(first: {first}\)"):
        HeadSet.top(scores.assign(score=odd))
    with pytest.raises(ValueError, match="no rows"):
        HeadSet.top(scores.iloc[:0])


@given(sets, st.integers(0, 1000))
def test_random_controls_never_draw_an_excluded_head(exclude, seed):
    size = min(len(exclude), LAYERS * WIDTH - len(exclude))
    control = HeadSet.random(Shape(), exclude=exclude, seed=seed, size=size)
    assert len(control) == size
    assert not control & exclude


def test_random_controls_differ_by_seed_and_refuse_the_impossible():
    detected = HeadSet.parse("L0H0 L1H1 L2H2", Shape())
    scores = frame(np.arange(20) + 1.0)
    draws = {str(HeadSet.random(scores, exclude=detected, seed=seed)) for seed in range(20)}
    assert len(draws) > 15
    with pytest.raises(ValueError, match="only 17 are not excluded"):
        HeadSet.random(scores, exclude=detected, size=18)
    with pytest.raises(ValueError, match="how many"):
        HeadSet.random(scores)


def test_order_and_draws_do_not_depend_on_the_hash_seed():
    script = (
        "from workbench import HeadSet\n"
        "class S: num_layers, num_heads = 30, 9\n"
        "a = HeadSet.parse('L17H3 L2H8 L18H6', S())\n"
        "print(a | HeadSet.random(S(), exclude=a, seed=3, size=9), (~a).members[:40], a ^ ~a)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("pair", [(0.7, 1.2), (1.0, 2), ("1", 2), (None, 0)])
def test_what_is_no_whole_number_is_no_head(pair):
    with pytest.raises(TypeError, match="whole numbers"):
        HeadSet((pair,), 3, 4)
    assert HeadSet(((np.int64(1), True),), 3, 4) == HeadSet(((1, 1),), 3, 4)
