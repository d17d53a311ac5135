"""Passes that start from a stored residual stream: the losses of a whole pass, in less of it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from support.models import EVERY_ARCHITECTURE, make_model

import workbench as wb
from workbench.masking import residual_cache as residuals
from workbench.masking.reference import plain_losses
from workbench.masking.residual_cache import can_resume, run_from

TEXT = "Toggle one head, then another."


def close(model, cache, text, heads, mode="uniform"):
    ids = [*model.bos_ids, *model.encode(text)]
    expected = plain_losses(model, ids, heads, mode)
    np.testing.assert_allclose(cache.losses(text, heads, mode), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", ["uniform", "zero", "mean"])
@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_a_walk_over_head_sets_gives_the_plain_losses(name, mode):
    model = make_model(name, bos=name in ("llama", "gpt2"))
    cache = wb.ResidualCache(model)
    for words in ("", "L2H1", "L1H0 L2H1", "L1H0", "", "L0H3 L2H2", "L0H3 L2H2 L2H3"):
        close(model, cache, TEXT, wb.HeadSet.parse(words, model), mode)
    assert can_resume(model)


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_every_layer_can_be_the_first_of_a_pass(name):
    model = make_model(name)
    ids = model.encode(TEXT)
    whole, entering = run_from(model, ids, keep=range(model.num_layers))
    for layer in range(model.num_layers):
        resumed, _ = run_from(model, ids, (layer, entering[layer]))
        assert torch.equal(resumed, whole)
    assert torch.equal(model.hidden(torch.tensor([ids])), whole)


def test_only_layers_from_the_lowest_change_on_are_computed(tiny):
    cache = wb.ResidualCache(tiny)
    costs = []
    for words in ("", "L2H0", "L1H1 L2H0", "L1H1", "", "L1H1 L2H3", "L2H0"):
        before = cache.computed_layers
        cache.losses(TEXT, wb.HeadSet.parse(words, tiny))
        costs.append(cache.computed_layers - before)
    # all three layers; the last; from layer 1; the last again; nothing: seen before; the last; seen
    assert costs == [3, 1, 2, 1, 0, 1, 0]


def test_another_mode_changes_heads_that_stay_masked(tiny):
    cache = wb.ResidualCache(tiny)
    heads = wb.HeadSet.parse("L1H0 L2H1", tiny)
    for mode in ("uniform", "zero", "uniform", "mean"):
        close(tiny, cache, TEXT, heads, mode)


@pytest.mark.parametrize("memory", [0, 20_000, 60_000])
def test_a_small_memory_is_kept_to_and_changes_no_number(tiny, memory):
    cache = wb.ResidualCache(tiny, memory=memory)
    texts = [TEXT, TEXT[::-1], TEXT * 2]
    for words in ("", "L2H0", "L1H2", "L2H0 L1H2"):
        for text in texts:
            close(tiny, cache, text, wb.HeadSet.parse(words, tiny))
            newest = list(cache._streams.values())[-1]
            alone = sum(t.numel() * 4 for t in newest.tensors())
            assert cache.used <= max(memory, alone)


def test_what_two_streams_share_is_counted_and_stored_once(tiny):
    cache = wb.ResidualCache(tiny)
    cache.losses(TEXT)
    first = cache.used
    cache.losses(TEXT, wb.HeadSet.parse("L2H0", tiny))
    per_tensor = len(tiny.encode(TEXT)) * 48 * 4
    assert first == 4 * per_tensor  # in front of three layers, and after the last
    assert cache.used == first + per_tensor  # only what comes after the last layer is new
    cache.clear()
    assert cache.used == 0


def test_other_weights_are_never_answered_from_the_cache():
    model = make_model()
    cache = wb.ResidualCache(model)
    before = cache.losses(TEXT)
    digest = model.identity["weights_sha256"]
    with torch.no_grad():
        model.hf.model.layers[1].mlp.down_proj.weight += 0.1
    assert not np.allclose(cache.losses(TEXT), before, atol=1e-3)
    close(model, cache, TEXT, None)
    assert model.identity["weights_sha256"] != digest


def test_a_text_longer_than_the_context_is_cut_into_windows(tiny):
    cache = wb.ResidualCache(tiny)
    text = "abc " * 60
    heads = wb.HeadSet.parse("L1H2", tiny)
    ((expected,),) = wb.token_losses(tiny, [text], [heads])
    np.testing.assert_allclose(cache.losses(text, heads), expected, atol=2e-5)
    assert cache.losses("").shape == cache.losses("x").shape == (0,)


def test_a_model_that_cannot_resume_goes_the_plain_way_and_says_so(monkeypatch):
    model = make_model()
    real = residuals.run_from

    def shifted(model, ids, start=None, *rest, **options):
        final, kept = real(model, ids, start, *rest, **options)
        return (final + 1e-3 if start else final), kept

    monkeypatch.setattr(residuals, "run_from", shifted)
    cache = wb.ResidualCache(model)
    heads = wb.HeadSet.parse("L1H2", model)
    with pytest.warns(UserWarning, match="every head set is computed from the first layer"):
        cache.losses(TEXT, heads)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        close(model, cache, TEXT, heads)


def test_an_error_inside_a_pass_leaves_the_stock_model(tiny):
    ids = tiny.encode(TEXT)
    whole, entering = run_from(tiny, ids, keep=[1])

    def fail(*_):
        raise KeyboardInterrupt

    hook = tiny.hf.model.layers[2].register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        run_from(tiny, ids, (1, entering[1]))
    hook.remove()
    assert torch.equal(tiny.hidden(torch.tensor([ids])), whole)
    assert not any(layer._forward_pre_hooks for layer in tiny.hf.model.layers)
    assert not any("forward" in layer.__dict__ for layer in tiny.hf.model.layers)


def test_a_layer_with_a_forward_of_its_own_keeps_it():
    model = make_model()
    layer = model.hf.model.layers[0]
    own = layer.forward
    layer.forward = own  # as accelerate does for a model that is spread over devices
    ids = model.encode(TEXT)
    _, entering = run_from(model, ids, keep=[1])
    run_from(model, ids, (1, entering[1]))
    assert layer.__dict__["forward"] is own


def test_bad_input_is_refused(tiny):
    cache = wb.ResidualCache(tiny)
    with pytest.raises(ValueError, match="memory is a number of bytes, got -1"):
        wb.ResidualCache(tiny, memory=-1)
    with pytest.raises(TypeError, match="HeadSet"):
        cache.losses(TEXT, "L1H1")
    with pytest.raises(ValueError, match="mode must be one of"):
        cache.losses(TEXT, None, "none")
    with (
        wb.masked(tiny, wb.HeadSet.parse("L0H0", tiny)),
        pytest.raises(ValueError, match="masked already"),
    ):
        cache.losses(TEXT)
