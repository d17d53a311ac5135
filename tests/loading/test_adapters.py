"""LoRA adapters: merged into their base when they are loaded, or refused with the reason."""

from __future__ import annotations

import json
import sys

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.models import make_hf, make_tokenizer

import workbench as wb
from workbench.models.identity import weights_sha256


@pytest.fixture
def base(tmp_path):
    make_hf("llama").save_pretrained(tmp_path / "base")
    make_tokenizer(bos=True).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def adapted(base, **settings):
    """A base model with an adapter that changes it, as training leaves it."""
    torch.manual_seed(1)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "o_proj"]} | settings
    config = peft.LoraConfig(task_type="CAUSAL_LM", **settings)
    hf = make_hf("llama")
    hf.name_or_path = hf.config._name_or_path = str(base)
    wrapped = peft.get_peft_model(hf, config)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    return wrapped.eval()


@pytest.fixture
def adapter(base, tmp_path):
    adapted(base).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def change_config(folder, **words):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | words))


@pytest.mark.parametrize(
    "settings",
    [{}, {"use_dora": True}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}],
    ids=["plain", "dora", "rslora", "a-head-of-its-own"],
)
def test_the_adapter_is_merged_into_its_base(base, tmp_path, settings):
    wrapped = adapted(base, **settings)
    wrapped.save_pretrained(tmp_path / "mine")
    model = wb.load_model(tmp_path / "mine")
    assert wb.certify(model).ok
    assert model.from_nowhere == ()
    assert model.bos_ids == [0]  # of the base's tokenizer
    ids = torch.arange(70, 90)[None]
    with torch.inference_mode():
        expected = wrapped(input_ids=ids).logits
        torch.testing.assert_close(model(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-4)
        plain = wb.load_model(base, certify=False)(input_ids=ids).logits
    assert (plain - model(input_ids=ids).logits).abs().max() > 0.1
    assert {name for name, _ in model.hf.named_parameters()} == {
        name for name, _ in make_hf("llama").named_parameters()
    }


def test_who_it_is_covers_base_and_adapter(base, adapter):
    model = wb.load_model(adapter, dtype="float32")
    identity = model.identity
    assert identity["source"] == "adapter"
    assert identity["weights_sha256"] not in (None, weights_sha256(make_hf("llama")))
    assert model.loaded_by == f"wb.load_model({str(adapter)!r}, dtype='float32')"
    assert wb.load_model(adapter, certify=False).identity == identity
    tensors = load_file(base / "model.safetensors")
    tensors["lm_head.weight"] += 1
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    assert wb.load_model(adapter, certify=False).identity != identity


def test_a_tokenizer_beside_the_adapter_goes_before_that_of_the_base(adapter):
    make_tokenizer().save_pretrained(adapter)
    assert wb.load_model(adapter, certify=False).bos_ids == []


def test_a_base_beside_the_adapter_is_found_by_its_relative_path(adapter):
    change_config(adapter, base_model_name_or_path="../base")
    assert wb.load_model(adapter, certify=False).num_layers == 3


def test_without_peft_the_extra_is_named(adapter, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match=r"LoRA adapter of the base model.*workbench\[lora\]"):
        wb.load_model(adapter)


@pytest.mark.parametrize("name", ["nobody/no-such-base", "/no/where"])
def test_a_base_that_cannot_be_had_is_named(adapter, name):
    change_config(adapter, base_model_name_or_path=name)
    with pytest.raises(ValueError, match=f"base model '{name}', which could not be loaded"):
        wb.load_model(adapter)


def test_a_config_without_a_base_says_so(adapter):
    change_config(adapter, base_model_name_or_path=None)
    with pytest.raises(ValueError, match="names no base model"):
        wb.load_model(adapter)


def test_a_base_that_is_not_whole_is_refused(base, adapter):
    tensors = load_file(base / "model.safetensors")
    del tensors["model.layers.1.self_attn.o_proj.weight"]
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"not whole.*layers.1.self_attn.o_proj.weight"):
        wb.load_model(adapter)


@pytest.mark.parametrize("change", ["less", "more", "another shape"])
def test_an_adapter_that_does_not_fit_is_refused_by_name(adapter, change):
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in sorted(tensors) if "layers.1" in name)
    if change == "less":
        del tensors[name]
    elif change == "more":
        tensors[name.replace("layers.1", "layers.7")] = tensors[name].clone()
    else:
        tensors[name] = torch.zeros(3, 3)
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"(?s)does not fit it: .*layers\.[17]\.self_attn"):
        wb.load_model(adapter)


def test_a_pickled_adapter_is_not_read(adapter, tmp_path):
    tensors = load_file(adapter / "adapter_model.safetensors")
    (adapter / "adapter_model.safetensors").unlink()
    torch.save(tensors, adapter / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"without adapter_model.safetensors; pickled adapters"):
        wb.load_model(adapter)


def test_a_prompt_is_no_change_of_weights(base, tmp_path):
    hf = make_hf("llama")
    hf.name_or_path = str(base)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    peft.get_peft_model(hf, config).save_pretrained(tmp_path / "prompt")
    with pytest.raises(ValueError, match=r"of a kind \(.*PROMPT_TUNING\) that no weights can hold"):
        wb.load_model(tmp_path / "prompt")


def test_an_adapter_beside_whole_weights_is_left_alone_aloud(base, adapter):
    for path in adapter.iterdir():
        path.rename(base / path.name)
    with pytest.warns(UserWarning, match="LoRA adapter beside them: the adapter is not applied"):
        model = wb.load_model(base, certify=False)
    assert model.identity["weights_sha256"] == weights_sha256(make_hf("llama"))
