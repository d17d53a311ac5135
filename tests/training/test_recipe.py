"""The width rule: three groups of parameters, with the identities of the source exactly."""

from __future__ import annotations

import math

import pytest
from training.test_pretraining import RECIPE, TOKENIZER, train

import workbench as wb


def test_rates_and_decays_follow_the_width_exactly():
    base = wb.Recipe(wb.Decoder(2, 64, 4, 2), learning_rate=3e-3, weight_decay=0.1)
    for times in (1, 4, 16):
        recipe = base.at_width(64 * times)
        decoder = recipe.decoder
        assert (decoder.heads, decoder.kv_heads) == (4 * times, 2 * times)
        assert decoder.width // decoder.heads == 16
        hf = decoder.build(TOKENIZER)
        matrices, embeddings, vectors = recipe.groups(hf)
        assert (matrices["lr"], matrices["weight_decay"]) == (3e-3 / times, 0.1 * times**0.5)
        for group in (embeddings, vectors):
            assert (group["lr"], group["weight_decay"]) == (3e-3, 0.0)
        # sqrt(rate / decay) width^.75 stays: the scale of the singular values.
        scale = math.sqrt(matrices["lr"] / matrices["weight_decay"]) * decoder.width**0.75
        assert scale == pytest.approx(math.sqrt(3e-3 / 0.1) * 64**0.75, rel=1e-12)
        # Every parameter is in one group.
        grouped = [id(p) for group in (matrices, embeddings, vectors) for p in group["params"]]
        assert sorted(grouped) == sorted(id(p) for p in hf.parameters())
        assert {p.dim() for p in vectors["params"]} == {1}
        assert [tuple(p.shape) for p in embeddings["params"]] == [(len(TOKENIZER), 64 * times)]
    assert base.at_width(256).at_width(64) == base.at_width(64)
    assert base.at_width(256).at_width(1024).base_width == 64


def test_a_recipe_for_a_width_is_trained_and_its_matrices_get_their_own_rate():
    wide = RECIPE.at_width(64)
    trained = train(recipe=wide)
    assert trained.model.hf.config.hidden_size == 64
    assert trained.history["learning_rate"].max() == RECIPE.learning_rate


def test_a_width_without_whole_heads_is_refused():
    with pytest.raises(ValueError, match="no whole number of heads"):
        wb.Recipe(wb.Decoder(2, 64, 4, 2)).at_width(72)
    with pytest.raises(ValueError, match="base_width is 1 or more"):
        wb.Recipe(base_width=0)
