"""Heads along checkpoints: the scores of each model, and what is read off them."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from support.models import make_model
from support.planted import COPYING, planted_model, planted_probes

import workbench as wb
from workbench.figures.training import evolution_curve, evolution_maps
from workbench.training.head_evolution import Evolution, crossing
from workbench.training.lookup_corpus import WORDS


@pytest.fixture(scope="module")
def stages():
    """The planted model as it would grow: without copying heads, with weak ones, complete."""
    whole = planted_model()
    models = {}
    for step, share in ((0, 0.0), (50, 0.0), (100, 1.0), (150, 1.0)):
        hf = copy.deepcopy(whole.hf)
        second = hf.model.layers[1].self_attn
        with torch.no_grad():
            for _, head in COPYING:
                second.q_proj.weight[head * 128 : (head + 1) * 128] *= share
        models[step] = wb.from_transformers(hf, whole.tokenizer)
    return models


@pytest.fixture(scope="module")
def evolution(stages):
    return wb.evolution(stages, planted_probes, fraction=0.25)


def test_scores_are_those_of_every_model(stages, evolution):
    for step, model in stages.items():
        alone = wb.retrieval_scores(model, planted_probes(model))
        part = evolution.scores[evolution.scores["step"] == step]
        np.testing.assert_array_equal(part["score"], alone.frame["score"])
        answers = wb.lookup_losses(model, planted_probes(model))
        course = evolution.course.set_index("step").loc[step]
        assert course["answer_loss"] == pytest.approx(answers["loss"].mean())
        assert course["answer_accuracy"] == pytest.approx(answers["accuracy"].mean())


def test_copying_heads_appear_between_the_checkpoints_where_they_do(evolution):
    assert evolution.course["final_heads"].tolist() == pytest.approx([0, 0, 1, 1], abs=0.1)
    assert evolution.course["other_heads"].max() < 0.2
    assert 50 < evolution.appears < 100
    assert 50 < evolution.bends < 100
    assert evolution.course["answer_accuracy"].tolist()[-1] == 1
    stays = evolution.stays()
    assert stays["shared"].tolist()[2:] == [1, 1]
    assert stays["spearman"].iloc[-1] == 1


def test_figures_show_every_checkpoint(evolution):
    maps = evolution_maps(evolution)
    *steps, below = [annotation.text for annotation in maps.layout.annotations]
    assert steps == ["0", "50", "100", "150"]
    assert below == "query head"  # once: below each map the words would overlap
    assert not any(axis.title.text for axis in maps.select_xaxes())
    for axis in (*maps.select_xaxes(), *maps.select_yaxes()):
        assert (axis.showgrid, axis.zeroline) == (False, False)
    np.testing.assert_allclose(
        maps.data[2].z, evolution.scores.query("step == 100").pivot(
            index="layer", columns="head", values="score"), atol=1e-4,
    )  # fmt: skip
    curve = evolution_curve(evolution)
    assert list(curve.data[0].y) == evolution.course["answer_loss"].round(4).tolist()
    history = pd.DataFrame({"step": [1, 2], "loss": [3.0, 1.0]})
    assert list(evolution_curve(evolution, history).data[0].y) == [3.0, 1.0]


@pytest.mark.parametrize(("heads", "step"), [(1, 1), (4, 1), (5, 2), (9, 5), (32, 10), (64, 20)])
def test_about_four_numbers_stand_below_each_map(evolution, heads, step):
    layers, grid = 2, np.arange(2 * heads)
    scores = pd.DataFrame({"step": 0, "layer": grid // heads, "head": grid % heads, "score": 0.5})
    assert len(scores) == layers * heads
    wide = dataclasses.replace(evolution, scores=scores)
    assert [axis.dtick for axis in evolution_maps(wide).select_xaxes()] == [step]


def test_checkpoints_of_a_training(tmp_path):
    text = wb.lookup_text(60)
    tokenizer = wb.lookup_tokenizer()
    recipe = wb.Recipe(wb.Decoder(2, 16, 2, context=65), steps=4, batch=2)
    run = wb.pretrain(text, recipe, tokenizer=tokenizer, out=tmp_path, save_at=[0, 2])
    every = wb.evolution(run.checkpoints, lambda m: wb.lookup_probes(m, n=4))
    assert every.scores["step"].unique().tolist() == [0, 2, 4]
    assert every.scores.groupby("step").size().tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("steps", "values", "level", "at"),
    [
        ([0, 10, 20], [0, 0, 1], 0.5, 15),
        ([0, 10, 20], [4, 2, 0], 1, 15),
        ([0, 10, 20], [1, 0, 1], 0.5, 5),
        ([5, 10], [1, 2], 1, 5),
    ],
)
def test_crossing(steps, values, level, at):
    assert crossing(np.array(steps, float), np.array(values, float), level) == at


@pytest.mark.parametrize(
    ("scores", "at"), [([0.8, 0.3, 0.8], 0), ([0.8, 0.8, 0.8], 0), ([0.1, 0.3, 0.8], 12)]
)
def test_heads_that_are_there_from_the_beginning(scores, at):
    course = pd.DataFrame({"step": [0, 10, 20], "final_heads": scores})
    assert Evolution(pd.DataFrame(), course, 1).appears == pytest.approx(at)


def test_ties_are_no_ranking(stages, evolution):
    assert evolution.stays()["shared"].iloc[0] < 1  # before: no head copies
    nothing = evolution.scores.assign(
        score=evolution.scores["score"].where(evolution.scores["step"] > 0, 0.0)
    )
    assert Evolution(nothing, evolution.course, evolution.final).stays()["shared"].iloc[0] == 0
    with pytest.raises(ValueError, match="score above 0"):
        wb.evolution(stages, planted_probes, fraction=1.0)


def test_revisions_are_loaded_and_the_last_is_certified(stages, monkeypatch):
    calls = []

    def load(source, revision=None, certify=True):
        calls.append((source, revision, certify))
        return stages[int(revision[4:])]

    monkeypatch.setattr("workbench.training.head_evolution.load_model", load)
    named = {step: f"step{step}" for step in stages}
    wb.evolution(named, planted_probes, fraction=0.25, revision_of="owner/name")
    assert calls == [("owner/name", f"step{step}", step == 150) for step in stages]


def test_what_is_never_reached_is_nan():
    assert np.isnan(crossing(np.array([0.0, 1]), np.array([0.0, 1]), 2))
    flat = pd.DataFrame({"step": [0, 1], "final_heads": [0.0, 0.0]})
    assert np.isnan(Evolution(pd.DataFrame(), flat, 1).appears)


@pytest.mark.parametrize("pairs", [1, 3, 5])
def test_lookup_text_can_only_be_copied(pairs):
    for document in wb.lookup_text(20, pairs=pairs, words=64, seed=3):
        words = document.text.split()
        assert len(words) == 64
        assert set(words) <= set(WORDS)
        first = next(i for i in range(64) if words[i] in words[:i])  # the first name again
        assert len(set(words[:first])) == first
        assert set(words[first:]) <= set(words[:first])
        after: dict[str, set[str]] = {}  # inside a value, a word is followed by one word only
        for a, b in itertools.pairwise(words):
            after.setdefault(a, set()).add(b)
        assert sum(len(followers) > 1 for followers in after.values()) <= pairs


def test_lookup_probes_name_their_place():
    tokenizer = wb.lookup_tokenizer()
    model = wb.from_transformers(wb.Decoder(1, 16, 2, context=65).build(tokenizer), tokenizer)
    probes = wb.lookup_probes(model, n=30)
    assert len({len(probe.ids) for probe in probes}) > 3
    for probe in probes:
        (start, stop), (first, last) = probe.answer, probe.value
        assert probe.ids[start:stop] == probe.ids[first:last]
        assert probe.ids[start - 1] == probe.ids[first - 1]  # the name
        assert stop == len(probe.ids)
        assert len(set(probe.ids)) == start - 1


@pytest.mark.parametrize("wrong", [{"pairs": 0}, {"pairs": 9}, {"n": 0}, {"words": 14}])
def test_lookup_text_says_what_it_can_hold(wrong):
    with pytest.raises(ValueError, match="1 to 8 pairs"):
        wb.lookup_text(**{"n": 3} | wrong)


def test_wrong_checkpoints_say_so(stages):
    with pytest.raises(ValueError, match="two checkpoints"):
        wb.evolution({0: stages[0]})
    with pytest.raises(ValueError, match="one training"):
        wb.evolution({0: stages[0], 1: make_model()}, planted_probes)
    with pytest.raises(ValueError, match="one token"):
        wb.lookup_probes(make_model())
