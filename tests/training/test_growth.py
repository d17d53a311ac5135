"""Growth: every layer is the old one bit for bit, and the grown model can be trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.models import COMMON, make_model
from training.test_pretraining import RECIPE, TOKENIZER, train

import workbench as wb
from workbench.loading.simulation import simulate_quantisation
from workbench.models.install import decoder_layers


@pytest.mark.parametrize("name", COMMON)
@pytest.mark.parametrize("times", [1, 2, 4])
def test_layer_i_is_layer_i_modulo_l_bit_for_bit(name, times):
    model = make_model(name)
    before = {key: value.clone() for key, value in model.hf.state_dict().items()}
    large = wb.grown(model, times)
    assert large.num_layers == times * model.num_layers
    old, new = (list(decoder_layers(m.hf, m.sites)) for m in (model, large))
    for i, block in enumerate(new):
        state = old[i % len(old)].state_dict()
        assert state.keys() == block.state_dict().keys()
        assert all(torch.equal(block.state_dict()[key], state[key]) for key in state)
    outer = [key for key in before if not any(part.isdigit() for part in key.split("."))]
    assert outer
    for key in outer:  # embeddings, the last norm, the head
        assert torch.equal(large.hf.state_dict()[key], before[key])
    assert all(torch.equal(model.hf.state_dict()[key], before[key]) for key in before)
    if times == 1:
        (mine,), (theirs,) = (wb.token_losses(m, ["the same text"]) for m in (model, large))
        np.testing.assert_array_equal(mine, theirs)
    with torch.no_grad():  # nothing is shared between them
        next(large.hf.parameters()).add_(1)
    assert all(torch.equal(model.hf.state_dict()[key], before[key]) for key in before)


def test_rounded_weights_are_still_said_to_be_rounded():
    model = make_model("llama")
    simulate_quantisation(model.hf, "int8")
    model.simulate = "int8"
    large = wb.grown(model, 2)
    assert (large.simulate, large.identity["simulate"]) == ("int8", "int8")
    assert "rounded as int8" in wb.certify(large).heading
    assert "simulate" not in wb.grown(make_model("llama"), 2).identity


def test_a_grown_model_is_trained_on_and_masked():
    small = train().model
    large = wb.grown(small, 2)
    recipe = wb.Recipe(wb.Decoder(4, 32, 2, 1, context=32), steps=4, batch=4)
    more = train(recipe=recipe, start=large)
    assert more.model.num_layers == 4
    assert not torch.equal(more.model.hf.lm_head.weight, large.hf.lm_head.weight)
    heads = wb.HeadSet.of([(3, 1)], more.model)
    ((base, masked),) = wb.token_losses(more.model, ["12 and 1 make 13"], heads=[None, heads])
    assert (base != masked).any()
    # It begins where the grown one is, not at random weights.
    grown, fresh = (
        train(recipe=recipe, start=start, evaluate_every=1).held_out["loss"].iloc[0]
        for start in (large, None)
    )
    assert grown < fresh - 0.1


def test_the_book_says_when_to_grow():
    law = wb.LAWS["g_stack"]
    tokens = law(params=410e6, compute=1e20)
    assert 1e9 < tokens < 1e11


def test_bad_input_is_named():
    model = make_model()
    with pytest.raises(ValueError, match="whole number from 1"):
        wb.grown(model, 0)
    with pytest.raises(ValueError, match="another shape than the recipe's decoder"):
        wb.pretrain(
            [wb.Document("a", "one two three " * 20, "a", "a", 0)], RECIPE, tokenizer=TOKENIZER,
            start=model,
        )  # fmt: skip
