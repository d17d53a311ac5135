"""Memory from a configuration alone: the weights exactly, a row from above, nothing loaded."""

from __future__ import annotations

import json

import pytest
import torch
from support.models import COMMON, make_hf, make_tokenizer

import workbench as wb
from workbench.loading import memory
from workbench.masking.row_size import token_bytes


@pytest.fixture(params=COMMON)
def folder(request, tmp_path):
    make_hf(request.param).save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_weights_are_counted_exactly_and_nothing_is_loaded(folder, monkeypatch):
    model = wb.load_model(folder, certify=False, device="cpu")
    size = sum(parameter.nbytes for parameter in model.hf.parameters())
    for file in folder.glob("*.safetensors"):
        file.unlink()  # the numbers are not there, and not missed
    found = wb.memory_needed(folder, device="cpu")
    assert (found.weights, found.dtype, found.device) == (size, "float32", "cpu")
    assert found.parameters == size // 4
    half = wb.memory_needed(folder, dtype="bf16", device="cpu")
    assert (half.weights, half.dtype) == (size // 2, "bfloat16")
    assert half.row < found.row
    assert found.peak == found.weights + found.row
    assert found.fits is None
    assert str(found).startswith("memory of cpu: ")


def test_a_longer_window_takes_more(tmp_path):
    make_hf("llama").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 1 << 20}))
    short, long = (wb.memory_needed(tmp_path, device="cpu", window=n) for n in (512, 1 << 16))
    assert (short.row_tokens, long.row_tokens) == (1024, 1 << 16)
    assert long.row > 10 * short.row
    assert wb.memory_needed(tmp_path, device="cpu", context=4096).row_tokens == 4096


def test_a_card_says_what_is_free(tmp_path, monkeypatch):
    make_hf("llama").save_pretrained(tmp_path)
    free = {"bytes": 1 << 34}
    monkeypatch.setattr(memory, "pick_device", lambda device: device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free["bytes"], 1 << 36))
    found = wb.memory_needed(tmp_path, device="cuda:1", dtype="float16")
    assert (found.free, found.fits, found.row_tokens) == (1 << 34, True, 32 * 1024)
    assert "of 17.2 GB that are free" in str(found)
    free["bytes"] = 1 << 16
    found = wb.memory_needed(tmp_path, device="cuda:1", dtype="float16")
    assert found.fits is False
    assert "it does not fit" in str(found)
    assert found.row_tokens == 1024


def test_controls_take_a_part_of_the_row_on_a_card_and_more_memory_on_a_cpu(tmp_path, monkeypatch):
    make_hf("llama").save_pretrained(tmp_path)
    monkeypatch.setattr(memory, "pick_device", lambda device: device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 34, 1 << 36))
    card = {n: memory_on(tmp_path, "cuda:0", n) for n in (0, 1, 5, 10)}
    assert {n: found.row_tokens for n, found in card.items()} == {
        0: 32768, 1: 32768 * 2 // 3, 5: 32768 * 2 // 7, 10: 32768 * 2 // 12,
    }  # fmt: skip
    # So many tokens less under so many sets more: what is needed stays.
    assert all(0.99 < found.row / card[0].row <= 1 for found in card.values())
    here, five = (memory_on(tmp_path, "cpu", n) for n in (0, 5))
    assert here.row_tokens == five.row_tokens
    token = token_bytes(make_hf("llama").config, torch.float16)
    assert five.row - here.row == 5 * token // 2 * here.row_tokens
    with pytest.raises(ValueError, match="controls is a whole number from 0, got -1"):
        memory_on(tmp_path, "cpu", -1)


def memory_on(folder, device, controls):
    return wb.memory_needed(folder, device=device, dtype="float16", controls=controls)


def test_what_cannot_be_told_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        wb.memory_needed(tmp_path / "nothing")
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(ValueError, match=r"config\.json of a causal language model"):
        wb.memory_needed(tmp_path)
    with pytest.raises(ValueError, match="dtype must be"):
        wb.memory_needed(tmp_path, dtype="int8")
