"""Questions by true, shuffled and absent keys: what they hold, and answers against `generate`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detection.test_retrieval import PROSE, parsed, text_model
from support.models import make_model
from support.planted import planted_probes

import workbench as wb
from workbench.detection.lookup_questions import (
    HEADS,
    KEYS,
    MEASURES,
    Question,
    _answered,
    lookup_answers,
    questions_about,
)
from workbench.detection.probe_controls import shortened
from workbench.detection.probes import Probe
from workbench.masking.masks import masked


@pytest.fixture(scope="module", params=[False, True], ids=["no-bos", "bos"])
def model(request):
    return text_model(request.param)


@pytest.fixture(scope="module")
def probes(model):
    return wb.make_probes(model, n=2, max_tokens=900, seed=3, texts=PROSE)


def test_questions_differ_in_the_asked_key_alone(model, probes):
    for number, probe in enumerate(probes):
        asked = questions_about(model, probes, number, 3, np.random.default_rng(0))
        values, shots, (_, own_answer) = parsed(model, probe)
        free = {key: value for key, value in values.items() if (key, value) not in shots}
        assert [(q.number, q.keys) for q in asked] == [(i, k) for i in range(3) for k in KEYS]
        assert asked[0].row == probe
        answers = []
        for question in asked:
            same_values, same_shots, (key, answer) = parsed(model, question.row)
            assert (same_values, same_shots) == (values, shots)
            assert model.tokenizer.decode(question.row.ids[slice(*question.row.answer)]) == answer
            assert answer in free.values()
            if question.keys == "true":
                assert free[key] == answer
                answers.append(answer)
            elif question.keys == "shuffled":
                assert free[key] != answer == answers[-1]
                assert free[key][0] != answer[0] or len({v[0] for v in free.values()}) == 1
            else:
                assert key not in model.tokenizer.decode(probe.ids)
                assert answer == answers[-1]
        assert answers[0] == own_answer
        assert len(set(answers)) == 3


def test_no_more_values_are_asked_for_than_there_are(model, probes):
    short = shortened(model, probes, 720)
    for number, probe in enumerate(short):
        asked = questions_about(model, short, number, 50, np.random.default_rng(0))
        assert len(asked) == 3 * (probe.pairs - 3)
    least = shortened(model, probes, 620)
    with pytest.raises(ValueError, match="from 5 pairs on"):
        questions_about(model, least, 0, 2, np.random.default_rng(0))


def test_answers_equal_a_slow_loop(model, probes):
    """Every row by a pass of its own, every greedy answer by `generate`, the mask in place."""
    heads = wb.HeadSet.of([(1, 0), (2, 3)], model)
    table = lookup_answers(model, probes, heads, questions=1, seed=5)
    assert list(table.columns) == ["probe", "question", "keys", "heads", *MEASURES]
    assert len(table) == 2 * 3 * 3
    rng = np.random.default_rng(5)
    for number in range(2):
        others = wb.HeadSet.random(model, exclude=heads, seed=int(rng.integers(2**32)))
        assert len(others) == 2
        assert not others & heads
        for question in questions_about(model, probes, number, 1, rng):
            row = question.row
            ids = torch.tensor([[*model.bos_ids, *row.ids]])
            start = len(model.bos_ids) + row.answer[0]
            for name, head_set in zip(HEADS, (None, heads, others), strict=True):
                with masked(model, head_set), torch.inference_mode():
                    logits = model.hf(input_ids=ids).logits[0]
                loss = float(-logits.log_softmax(dim=-1)[start - 1, ids[0, start]])
                got = table[
                    (table["probe"] == number)
                    & (table["keys"] == question.keys)
                    & (table["heads"] == name)
                ].iloc[0]
                assert got["first_loss"] == pytest.approx(loss, abs=1e-3)
                assert tuple(got[list(MEASURES[1:])]) == greedy(model, ids[0], start, head_set)


def greedy(model, ids, start, head_set):
    """First token right, all right, share right before the first wrong one; by `generate`."""
    with masked(model, head_set):
        out = model.generate(
            ids[None, :start], attention_mask=torch.ones(1, start, dtype=torch.long),
            do_sample=False, min_new_tokens=len(ids) - start, max_new_tokens=len(ids) - start,
            eos_token_id=None, pad_token_id=2,
        )  # fmt: skip
    right = (out[0, start:] == ids[start:]).tolist()
    leading = ([*right, False]).index(False)
    return float(right[0]), float(all(right)), pytest.approx(leading / len(right))


@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_greedy_answers_are_those_of_generate_where_they_go_wrong_late_and_where_not(name):
    """Answers that the model gives under one head set, spoilt at a known token or not at all."""
    model = make_model(name)
    sets = [None, *(wb.HeadSet.of(pair, model) for pair in ([(1, 0)], [(0, 1), (2, 2)]))]
    rng = np.random.default_rng(1)
    text = rng.integers(3, 320, 30).tolist()
    questions, expected = [], []
    for column, head_set in enumerate(sets):
        prompt = [*text, *rng.integers(3, 320, 5).tolist()]
        with masked(model, head_set):
            out = model.generate(
                torch.tensor([prompt]), attention_mask=torch.ones(1, 35, dtype=torch.long),
                do_sample=False, min_new_tokens=6, max_new_tokens=6, eos_token_id=None,
                pad_token_id=2,
            )[0].tolist()  # fmt: skip
        for wrong in range(7):
            ids = list(out)
            if wrong < 6:
                ids[35 + wrong] = 3 + (ids[35 + wrong] + 1) % 300
            questions.append(
                Question(len(questions), "true", Probe(tuple(ids), (35, 41), (0, 6), 5))
            )
            expected.append((column, wrong))
    seen = set()
    for question, column, (_, *rest) in _answered(model, questions, sets, "uniform"):
        ids = torch.tensor(question.row.ids)
        assert tuple(rest) == greedy(model, ids, 35, sets[column])
        own, wrong = expected[question.number]
        if own == column:
            assert rest == [float(wrong > 0), float(wrong == 6), pytest.approx(wrong / 6)]
            seen.add((own, wrong))
    assert len(seen) == 21


def test_bad_input_is_refused(model, probes, tiny):
    heads = wb.HeadSet.of([(1, 0)], model)
    with pytest.raises(ValueError, match="questions must be at least 1"):
        lookup_answers(model, probes, heads, questions=0)
    with pytest.raises(ValueError, match="draw fewer"):
        lookup_answers(model, probes, wb.HeadSet.random(model, size=9))
    if model.bos_ids:
        with pytest.raises(ValueError, match="another tokenizer"):
            lookup_answers(tiny, probes, heads)
    with pytest.raises(ValueError, match="cannot be read back"):
        lookup_answers(tiny, planted_probes(tiny), heads)
