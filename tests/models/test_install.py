"""A transformers model is wrapped, in whatever form it comes, and restored as it was."""

from __future__ import annotations

import copy

import numpy as np
import peft
import pytest
import torch
import transformers as tr
from support.models import make_hf, make_model, make_tokenizer

import workbench as wb

TEXT = "hello world, hello"
HEADS = ((0, 1), (1, 2))


def heads_of(model):
    return wb.HeadSet.of(HEADS, model)


def state(hf):
    """What the workbench changes on a model: attention by configuration, and modules' modes."""
    modes = {name: module.training for name, module in hf.named_modules()}
    return hf.config._attn_implementation, modes, set(hf.__dict__)


def in_training(kernel="sdpa"):
    hf = make_hf("llama", kernel).train()
    hf.model.layers[1].eval()  # a part that its owner froze
    return hf


# ---- the way back -------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_restore_gives_the_model_back_as_it_came(kernel):
    hf = in_training(kernel)
    before = state(hf)
    model = wb.from_transformers(hf, make_tokenizer())
    assert not any(module.training for module in hf.modules())
    assert model.restore() is hf
    assert state(hf) == before
    with pytest.raises(wb.CannotMask, match="from_transformers"):
        wb.token_losses(model, [TEXT], [heads_of(model)])
    model.restore()  # nothing is left to do
    assert state(hf) == before


def test_a_with_block_restores_however_it_is_left():
    hf = in_training()
    before = state(hf)
    with wb.from_transformers(hf, make_tokenizer()) as model:
        first = wb.token_losses(model, [TEXT], [None, heads_of(model)])
    assert state(hf) == before
    with pytest.raises(KeyError), wb.from_transformers(hf, make_tokenizer()):
        raise KeyError
    assert state(hf) == before
    again = wb.from_transformers(hf, make_tokenizer())  # and it can come again
    np.testing.assert_array_equal(wb.token_losses(again, [TEXT], [None, heads_of(again)]), first)


def test_a_model_that_came_twice_goes_back_to_where_it_was_at_first():
    hf = in_training()
    before = state(hf)
    wb.from_transformers(hf, make_tokenizer())
    wb.from_transformers(hf, make_tokenizer()).restore()
    assert state(hf) == before


@pytest.mark.parametrize("slip", [{"context": 1}, {"context": 10**6}, {"tokenizer": "too large"}])
def test_a_model_that_is_refused_is_as_it_was(slip):
    hf, tokenizer = in_training(), make_tokenizer()
    before = state(hf)
    if slip.pop("tokenizer", None):
        tokenizer.add_tokens([f"<more{i}>" for i in range(9)])
    with pytest.raises(ValueError, match=r"context|tokenizer"):
        wb.from_transformers(hf, tokenizer, **slip)
    assert state(hf) == before


def test_parts_with_a_configuration_of_their_own_get_their_own_kernels_back():
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
             "num_attention_heads": 4}  # fmt: skip
    config = tr.Gemma3Config(
        text_config=tr.Gemma3TextConfig(
            **small, vocab_size=320, head_dim=8, num_key_value_heads=2, max_position_embeddings=128
        ).to_dict(),
        vision_config=tr.SiglipVisionConfig(**small, image_size=28, patch_size=14).to_dict(),
        mm_tokens_per_image=4,
    )
    hf = tr.Gemma3ForConditionalGeneration(config)
    hf.set_attn_implementation({"": "sdpa", "text_config": "sdpa", "vision_config": "eager"})
    kernels = [part._attn_implementation for part in (config, config.text_config,
                                                    config.vision_config)]  # fmt: skip
    assert kernels == ["sdpa", "sdpa", "eager"]
    wb.from_transformers(hf, make_tokenizer()).restore()
    assert [part._attn_implementation for part in (config, config.text_config,
                                                 config.vision_config)] == kernels  # fmt: skip


def test_a_masked_model_is_not_restored_under_the_mask():
    model = make_model()
    with wb.masked(model, heads_of(model)), pytest.raises(ValueError, match="leave the"):
        model.restore()


# ---- wrappings ----------------------------------------------------------------------------------


def lora(hf):
    config = peft.LoraConfig(
        r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    torch.manual_seed(1)
    return peft.get_peft_model(hf, config)


def test_a_peft_model_is_the_merged_model():
    wrapped = lora(make_hf("llama"))
    merged = wb.from_transformers(copy.deepcopy(wrapped).merge_and_unload(), make_tokenizer())
    model = wb.from_transformers(wrapped, make_tokenizer())
    assert wb.certify(model).ok, wb.certify(model)
    for use in (
        lambda m: wb.token_losses(m, [TEXT], [None, heads_of(m)]),
        lambda m: wb.head_means(m, [TEXT]),
        lambda m: wb.embed([TEXT], m),
        lambda m: wb.head_effects(m, TEXT).effect,
        lambda m: wb.Session(m, TEXT, heads=heads_of(m)).changes().after,
    ):
        np.testing.assert_allclose(use(model), use(merged), rtol=1e-4, atol=1e-5)


def test_adapters_that_are_switched_off_are_another_model():
    hf = make_hf("llama")
    stock = wb.from_transformers(copy.deepcopy(hf), make_tokenizer())
    wrapped = lora(hf)
    model = wb.from_transformers(wrapped, make_tokenizer())
    session = wb.Session(model, TEXT, heads=heads_of(model))
    adapted, identity = session.changes().after, model.identity["weights_sha256"]
    with wrapped.disable_adapter():
        assert model.identity["weights_sha256"] != identity
        plain = wb.Session(model, TEXT, heads=heads_of(model)).changes().after
        expected = wb.token_losses(stock, [TEXT], [heads_of(stock)])[0][0]
        np.testing.assert_allclose(plain[1:], expected, rtol=1e-5)
    assert model.identity["weights_sha256"] == identity
    again = wb.Session(model, TEXT, heads=heads_of(model)).changes().after
    np.testing.assert_array_equal(again, adapted)


def test_learned_prompts_are_refused():
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    wrapped = peft.get_peft_model(make_hf("llama"), config)
    with pytest.raises(TypeError, match="prompt learning"):
        wb.from_transformers(wrapped, make_tokenizer())


@pytest.mark.parametrize("thing", ["a/path", None, torch.nn.Linear(2, 2)])
def test_what_is_no_transformers_model_is_refused(thing):
    with pytest.raises(TypeError, match="transformers model"):
        wb.from_transformers(thing, make_tokenizer())


# ---- numbers that are not numbers ---------------------------------------------------------------


def test_a_token_without_a_number_spoils_its_own_text_alone():
    model = make_model()
    texts = ["a stone bridge", "river ~ lamp", "seven windows", "~", "green paper"]
    sets = [None, heads_of(model)]
    clean = wb.token_losses(model, texts, sets)
    with torch.no_grad():
        model.hf.get_input_embeddings().weight[model.encode("~")[0]] = float("nan")
    spoilt = wb.token_losses(model, texts, sets)
    for text, before, after in zip(texts, clean, spoilt, strict=True):
        for losses, new_losses in zip(before, after, strict=True):
            if "~" in text:
                assert not np.isfinite(new_losses).all() or not len(new_losses)
            else:
                np.testing.assert_allclose(new_losses, losses, rtol=1e-5)
