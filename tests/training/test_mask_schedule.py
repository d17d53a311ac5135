"""Heads masked while training: the published schedule, no gradient, and a stop changes nothing."""

from __future__ import annotations

import pytest
import torch
from training.test_pretraining import HELD_OUT, TOKENIZER, train

import workbench as wb
from workbench.training import pretraining
from workbench.training.data import TokenRows

RECIPE = wb.Recipe(wb.Decoder(2, 32, 4, None, context=32), steps=8, batch=4, weight_decay=0.0)
HEADS = wb.HeadSet(((0, 1), (1, 0), (1, 3)), 2, 4)
SIZE = 8  # of a head


def rows_of(hf, layer, head):
    """The weights of a head alone: rows of its queries, keys and values, columns of its output."""
    attention = hf.model.layers[layer].self_attn
    own = slice(head * SIZE, (head + 1) * SIZE)
    return torch.cat([
        attention.q_proj.weight[own], attention.k_proj.weight[own], attention.v_proj.weight[own],
        attention.o_proj.weight[:, own].T,
    ]).detach()  # fmt: skip


def test_the_share_is_the_published_one():
    """Zero to a fifth in eight steps, as the paper's formula gives it (four digits by hand)."""
    heads = wb.HeadSet(tuple((i // 10, i % 10) for i in range(20)), 10, 10)
    schedule = wb.MaskSchedule(heads, begin=100, every=5, times=8)
    shares = [schedule.share(100 + 5 * i) for i in range(9)]
    expected = [0, 0.066, 0.1156, 0.1512, 0.175, 0.1895, 0.1969, 0.1996, 0.2]
    assert shares == pytest.approx(expected, abs=5e-5)
    assert schedule.share(1) == 0
    assert schedule.share(104) == 0
    assert schedule.share(10_000) == pytest.approx(0.2)
    counts = [len(schedule.heads_at(100 + 5 * i)) for i in range(9)]
    assert counts == [round(100 * share) for share in shares]
    for step in range(100, 140):  # whoever is masked stays so
        assert set(schedule.heads_at(step).members) <= set(schedule.heads_at(step + 1).members)


def test_masked_heads_get_no_gradient():
    schedule = wb.MaskSchedule(HEADS, every=1, times=1)  # all of them from the first step on
    trained = train(recipe=RECIPE, mask_schedule=schedule)
    begun = RECIPE.decoder.build(TOKENIZER, 0)
    for layer in range(2):
        for head in range(4):
            before, after = (rows_of(hf, layer, head) for hf in (begun, trained.model.hf))
            assert torch.equal(before, after) is ((layer, head) in HEADS.members)
    assert set(trained.history["masked"]) == {3}


def test_before_it_begins_nothing_is_changed():
    plain = train(recipe=RECIPE)
    late = train(recipe=RECIPE, mask_schedule=wb.MaskSchedule(HEADS, begin=8))
    for name, weight in plain.model.hf.named_parameters():
        assert torch.equal(weight, late.model.hf.get_parameter(name))


def test_held_out_losses_are_those_under_the_mask():
    schedule = wb.MaskSchedule(HEADS, every=1, times=1)
    trained = train(recipe=RECIPE, mask_schedule=schedule, held_out_rows=1)
    rows = TokenRows(HELD_OUT, TOKENIZER, 32).middles(1)[:1]
    text = torch.from_numpy(rows)
    with wb.masked(trained.model, HEADS, "zero"), torch.no_grad():
        logits = trained.model(input_ids=text).logits[0, :-1].float()
    expected = torch.nn.functional.cross_entropy(logits, text[0, 1:])
    last = trained.held_out["loss"].iloc[-1]
    assert last == pytest.approx(float(expected), rel=1e-5)


def test_a_stopped_run_goes_on_under_the_same_masks(tmp_path, monkeypatch):
    schedule = wb.MaskSchedule(HEADS, every=2, times=3, seed=1)
    whole = train(recipe=RECIPE, mask_schedule=schedule)
    stepped, count = pretraining._Loop.step, [0]

    def step(self, rows):
        count[0] += 1
        if count[0] == 6:
            raise KeyboardInterrupt
        return stepped(self, rows)

    monkeypatch.setattr(pretraining._Loop, "step", step)
    options = {"recipe": RECIPE, "out": tmp_path, "save_every": 2, "mask_schedule": schedule}
    with pytest.raises(KeyboardInterrupt):
        train(**options)
    ended = train(**options)
    for name, weight in whole.model.hf.named_parameters():
        assert torch.equal(weight, ended.model.hf.get_parameter(name))
    other = wb.MaskSchedule(HEADS, every=2, times=3, seed=2)
    with pytest.raises(ValueError, match="another training run: mask_schedule"):
        train(**options | {"mask_schedule": other})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: wb.MaskSchedule([(0, 1)]), TypeError, "takes a HeadSet"),
        (lambda: wb.MaskSchedule(HEADS, every=0), ValueError, "every and times 1 or more"),
        (
            lambda: train(mask_schedule=wb.MaskSchedule(wb.HeadSet(((0, 0),), 3, 4))),
            ValueError,
            "belong to a model of",
        ),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
