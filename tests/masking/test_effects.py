"""The map of all heads on a text, and the heads that one token needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.models import EVERY_ARCHITECTURE, make_model
from support.planted import planted_model, planted_probes

import workbench as wb
from workbench.masking import effects as effects_module
from workbench.masking.fast_path import key_of
from workbench.masking.reference import plain_losses
from workbench.masking.residual_cache import RESUMED
from workbench.models.attached_hooks import attach_hooks

TEXT = "Which head does this need?"


@pytest.mark.parametrize("mode", ["uniform", "zero", "mean"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "mistral-sliding", "phi3"])
def test_the_exact_map_is_that_of_masking_each_head_alone(name, mode, monkeypatch):
    monkeypatch.setattr(effects_module, "TOKENS", 70)  # several passes a layer
    model = make_model(name, bos=name == "llama")
    effects = wb.head_effects(model, TEXT, mode=mode)
    ids = [*model.bos_ids, *model.encode(TEXT)]
    base = plain_losses(model, ids)
    np.testing.assert_allclose(effects.base, base, atol=2e-5, rtol=1e-5)
    for layer in range(model.num_layers):
        for head in range(model.num_heads):
            head_set = wb.HeadSet.of([(layer, head)], model)
            rise = plain_losses(model, ids, head_set, mode) - base
            np.testing.assert_allclose(effects.per_token[layer, head], rise, atol=4e-5, rtol=1e-4)
            assert effects.effect[layer, head] == pytest.approx(rise.mean(), abs=4e-5)


@pytest.mark.parametrize("bos", [False, True])
def test_the_reverse_question_is_the_maps_column(bos):
    model = make_model(bos=bos)
    whole = wb.head_effects(model, TEXT)
    for token in (1, 7, len(model.encode(TEXT)) - 1):
        single = wb.head_effects(model, TEXT, token=token)
        column = whole.per_token[:, :, token if bos else token - 1]
        np.testing.assert_allclose(single.effect, column, atol=4e-5)
        assert (single.per_token, single.token) == (None, token)


def test_a_copied_token_needs_the_head_that_has_no_stand_in():
    """Two planted heads copy: either alone can go. The one that finds the place cannot."""
    model = planted_model()
    (probe,) = planted_probes(model, n=1)
    model.__dict__["encode"] = lambda text: list(probe.ids)  # not every byte of it is text
    effect = wb.head_effects(model, "the lookup", token=len(probe.ids) - 1).effect
    assert effect[0, 2] > 1
    effect[0, 2] = 0
    assert np.abs(effect).max() < 1e-3


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_the_gradient_is_the_slope_towards_the_masked_output(name):
    """Small steps towards uniform and away from it move the loss by the estimate a step."""
    model = make_model(name)
    ids = model.encode(TEXT)[:9]
    text = model.tokenizer.decode(ids)
    estimate = wb.head_effects(model, text, method="gradient")
    base = plain_losses(model, ids)
    np.testing.assert_allclose(estimate.base, base, atol=2e-5, rtol=1e-5)
    step = 5e-3
    for layer, head in ((0, 1), (1, 3), (2, 2)):
        hf = model.hf.double()
        with towards_uniform(model, layer, head, step):
            up = model_loss(hf, ids)
        with towards_uniform(model, layer, head, -step):
            down = model_loss(hf, ids)
        model.hf.float()
        slope = (up - down) / (2 * step)
        assert estimate.effect[layer, head] == pytest.approx(slope, rel=2e-2, abs=2e-4)


def towards_uniform(model, layer, head, step):
    from workbench.models import attention_hook

    def move(seen):
        changed = seen.output.clone()
        override = attention_hook.Override((head,), "uniform")
        attention_hook.override_output(override, changed, None, seen.value, seen.visible)
        if seen.layer == layer:
            seen.output.add_(changed - seen.output, alpha=step)

    return attach_hooks(model.sites, observer=move)


def model_loss(hf, ids):
    with torch.no_grad():
        return float(hf(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss)


def test_the_gradient_needs_no_trainable_weights_and_leaves_no_gradients(tiny):
    expected = wb.head_effects(tiny, TEXT, method="gradient").effect
    frozen = make_model()
    frozen.hf.requires_grad_(False)
    effect = wb.head_effects(frozen, TEXT, method="gradient").effect
    np.testing.assert_allclose(effect, expected, atol=1e-6)
    assert all(p.grad is None for p in tiny.hf.parameters())


def test_layers_arrive_from_the_last_downwards_and_a_map_can_be_stopped(tiny):
    heard = []

    def listen(layer, effects):
        heard.append((layer, effects))
        if layer == 1:
            raise StopIteration

    stopped = wb.head_effects(tiny, TEXT, on_layer=listen)
    assert [layer for layer, _ in heard] == [2, 1]
    np.testing.assert_array_equal(heard[0][1], stopped.effect[2])
    assert np.isnan(stopped.effect[0]).all()
    assert np.isfinite(stopped.effect[1:]).all()
    whole = wb.head_effects(tiny, TEXT)
    np.testing.assert_array_equal(stopped.effect[1:], whole.effect[1:])


def test_a_listener_may_stop_an_estimate_too(tiny):
    heard = []

    def listen(layer, _):
        heard.append(layer)
        raise StopIteration

    estimate = wb.head_effects(tiny, TEXT, method="gradient", on_layer=listen)
    assert heard == [2]
    assert np.isfinite(estimate.effect).all()


def test_a_model_that_cannot_resume_gives_the_same_map(tiny):
    model = make_model()
    model.cache.kept(key_of(model, RESUMED), lambda: None)
    np.testing.assert_allclose(
        wb.head_effects(model, TEXT).effect, wb.head_effects(tiny, TEXT).effect, atol=4e-5
    )


def test_the_scores_draw_as_a_head_map_and_say_what_they_are(tiny):
    exact = wb.head_effects(tiny, TEXT)
    estimate = wb.head_effects(tiny, TEXT, token=3, method="gradient")
    assert exact.scores.by == "loss rise in nats, mean over the text"
    assert estimate.scores.by == "estimated loss rise (gradient) in nats, token 3"
    assert exact.table().equals(exact.scores.frame)
    np.testing.assert_array_equal(exact.table()["score"], exact.effect.ravel())
    assert wb.figures.head_map(exact.scores).layout.title.text.startswith("Loss rise in nats")


def test_bad_input_is_refused(tiny):
    with pytest.raises(ValueError, match="no token that is predicted"):
        wb.head_effects(tiny, "x")
    with pytest.raises(ValueError, match=r"has 300 tokens, the model reads 128: pass max_tokens="):
        wb.head_effects(tiny, "y" * 300)
    with pytest.raises(ValueError, match="token must lie between 1 and 25"):
        wb.head_effects(tiny, TEXT, token=0)
    with pytest.raises(ValueError, match="max_tokens must be at least 2, got -3"):
        wb.head_effects(tiny, TEXT, max_tokens=-3)
    with pytest.raises(ValueError, match="method must be"):
        wb.head_effects(tiny, TEXT, method="fast")
    assert wb.head_effects(tiny, "y" * 300, max_tokens=5).per_token.shape == (3, 4, 4)
