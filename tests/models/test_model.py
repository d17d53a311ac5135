"""A transformers model is taken as it is, or refused with what to do; then it is as it was."""

from __future__ import annotations

import pytest
import torch
import transformers as tr
from support.models import make_hf, make_tokenizer

import workbench as wb

PARTS = ["model.embed_tokens", "model.layers.0", "model.layers.1", "model.layers.2", "model.norm",
         "model.rotary_emb", "lm_head"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    make_hf("llama").save_pretrained(path)
    return path


def loaded(folder, device_map, tmp_path):
    return tr.AutoModelForCausalLM.from_pretrained(
        folder, device_map=device_map, offload_folder=tmp_path / "offloaded"
    )


@pytest.mark.parametrize("place", ["disk", "meta"])
def test_a_model_with_parts_on_disk_or_nowhere_is_refused(folder, place, tmp_path):
    if place == "meta":
        with torch.device("meta"):
            hf = make_hf("llama")
        hf.hf_device_map = {"": torch.device("meta")}
    else:
        hf = loaded(folder, {part: "cpu" for part in PARTS} | {PARTS[2]: "disk"}, tmp_path)
    before = hf.config._attn_implementation
    with pytest.raises(
        ValueError, match=rf"device_map .* on .*{place}; expected .* Load it without"
    ):
        wb.from_transformers(hf, make_tokenizer())
    assert hf.config._attn_implementation == before


def test_a_model_on_two_cards_is_refused():
    hf = make_hf("llama")
    hf.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1, "lm_head": torch.device("cuda:1")}
    with pytest.raises(ValueError, match="on cuda:0, cuda:1; expected"):
        wb.from_transformers(hf, make_tokenizer())


def test_a_device_map_of_one_device_is_none(folder, tmp_path):
    hf = loaded(folder, {"": "cpu"}, tmp_path)
    model = wb.from_transformers(hf, make_tokenizer())
    plain = wb.from_transformers(make_hf("llama"), make_tokenizer())
    (one,), (other,) = (wb.token_losses(m, ["the same text"], [None]) for m in (model, plain))
    assert one[0].tolist() == other[0].tolist()
    model.restore()
    hf.hf_device_map = {"model": 0, "lm_head": 0}
    wb.from_transformers(hf, make_tokenizer())
