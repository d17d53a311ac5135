"""A checkpoint is whole or it is refused by name; a GGUF file and its copy in the cache too."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
import transformers as tr
from safetensors.torch import load_file, save_file
from support.gguf_files import write_gguf
from support.models import ARCHITECTURES, TINY, make_hf, make_tokenizer

import workbench as wb
from workbench.loading import default_model
from workbench.loading.weights import whole_model
from workbench.models.identity import weights_sha256
from workbench.scoring.drivers.shared_model import open_stored, store

O_PROJ = "model.layers.1.self_attn.o_proj.weight"


@pytest.fixture
def folder(tmp_path):
    return stored(tmp_path / "a-model", make_hf("llama"))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def gguf_file(tmp_path):
    return write_gguf(tmp_path / "small.gguf", make_hf("llama"), make_tokenizer())


def stored(folder, hf):
    hf.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def rewrite(folder, change, **config):
    """Change the tensors of a stored model, and words of its config."""
    path = folder / "model.safetensors"
    tensors = change(load_file(path))
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata={"format": "pt"})
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stated | config))


def refused(folder):
    with pytest.raises(ValueError, match="is not whole") as caught:
        wb.load_model(folder, certify=False)
    return str(caught.value)


def without(*parts):
    return lambda tensors: {k: v for k, v in tensors.items() if not any(p in k for p in parts)}


# ---- what is missing ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [O_PROJ, "lm_head.weight", "model.layers.0.mlp.up_proj.weight",
                                  "model.norm.weight", "model.embed_tokens.weight"])  # fmt: skip
def test_a_missing_tensor_is_refused_by_name(folder, name):
    rewrite(folder, without(name))
    assert f"1 of its 30 weights are in no file and would be random numbers: {name}." in refused(
        folder
    )


def test_names_of_a_compiled_model_are_refused_and_shown(folder):
    rewrite(folder, lambda tensors: {f"_orig_mod.{k}": v for k, v in tensors.items()})
    message = refused(folder)
    assert "30 of its 30 weights are in no file" in message
    assert "what the files hold instead: _orig_mod.lm_head.weight" in message
    assert "and 25 more" in message
    assert len(message) < 1500


def test_a_tensor_of_another_shape_is_refused_with_both(folder):
    rewrite(folder, lambda tensors: tensors | {"lm_head.weight": torch.zeros(100, 48)})
    assert "lm_head.weight has (100, 48), the model (320, 48)" in refused(folder)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_whole_checkpoint_of_every_architecture_loads_and_says_so(name, tmp_path):
    read = whole_model(stored(tmp_path / "m", make_hf(name)), dtype=torch.float32)
    assert weights_sha256(read) == weights_sha256(make_hf(name))


def test_the_certificate_says_whether_the_files_were_seen(folder):
    loaded = wb.load_model(folder)
    handed_over = wb.from_transformers(make_hf("llama"), make_tokenizer())
    (checked, handed) = (wb.certify(model).checks[0] for model in (loaded, handed_over))
    assert (checked.name, checked.found) == ("every weight was read", "0 weights")
    assert handed.passed
    assert handed.found == "not known: the model was handed over, and its files were not seen"


# ---- tied weights -------------------------------------------------------------------------------


def tied_hf():
    torch.manual_seed(0)
    return tr.AutoModelForCausalLM.from_config(tr.LlamaConfig(**TINY, tie_word_embeddings=True))


def test_a_tied_head_is_not_missing_but_both_ends_of_the_tie_are(tmp_path):
    folder = stored(tmp_path / "tied", tied_hf())
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert wb.load_model(folder, certify=False).from_nowhere == ()
    rewrite(folder, without("embed_tokens"))
    assert "model.embed_tokens.weight" in refused(folder)


def test_a_head_of_its_own_under_a_config_that_ties_goes_to_other_processes_as_it_is(tmp_path):
    """Two different tensors are in the file: they are not tied, and a worker must not tie them."""
    folder = stored(tmp_path / "tied", tied_hf())
    own = torch.randn(320, 48)
    rewrite(folder, lambda tensors: tensors | {"lm_head.weight": own})
    model = wb.load_model(folder, certify=False)
    assert torch.equal(model.hf.lm_head.weight, own)
    store(model, tmp_path / "laid-down")
    again = open_stored(tmp_path / "laid-down")
    assert again.identity["weights_sha256"] == model.identity["weights_sha256"]
    assert again.from_nowhere == ()


# ---- quantised by halves ------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["weight_scale_inv", "weight_scale", "SCB", "bias", "g_idx"])
def test_a_layer_without_its_scale_or_bias_is_refused(folder, more):
    name = f"model.layers.0.self_attn.q_proj.{more}"
    rewrite(folder, lambda tensors: tensors | {name: torch.ones(1)})
    assert f"layers would be computed without their {name}" in refused(folder)


def test_packed_weights_of_which_the_config_says_nothing_are_refused(folder):
    stem = O_PROJ.removesuffix("weight")

    def packed(tensors):
        weight = tensors.pop(O_PROJ)
        return tensors | {f"{stem}qweight": weight.int(), f"{stem}scales": torch.ones(1)}

    rewrite(folder, packed)
    message = refused(folder)
    assert f"random numbers: {O_PROJ}" in message
    assert f"without their {stem}qweight, {stem}scales" in message


def test_an_unknown_quantisation_is_refused_by_its_name(folder):
    rewrite(folder, dict, quantization_config={"quant_method": "of-tomorrow", "bits": 3})
    assert "quantised in a way that transformers does not know: 'of-tomorrow'" in refused(folder)


@pytest.mark.parametrize("scales", ["all", "half"])
def test_float8_weights_load_right_or_not_at_all(folder, scales):
    expected = {}

    def eighth(tensors):
        new = dict(tensors)
        for name, weight in tensors.items():
            if name.endswith("proj.weight"):
                scale = weight.abs().max() / 448
                new[name] = (weight / scale).to(torch.float8_e4m3fn)
                expected[name] = new[name].float() * scale
                if scales == "all" or "layers.0" in name:
                    new[f"{name}_scale_inv"] = scale.reshape(1, 1).float()
        return new

    quantised = {"quant_method": "fp8", "activation_scheme": "dynamic",
                 "weight_block_size": [128, 128]}  # fmt: skip
    rewrite(folder, eighth, quantization_config=quantised)
    if scales == "half":
        name = "model.layers.1.self_attn.q_proj.weight"
        assert f"quantised without a scale to read them by: {name}" in refused(folder)
        return
    state = wb.load_model(folder).hf.state_dict()
    assert len(expected) == 21
    for name, weight in expected.items():
        torch.testing.assert_close(state[name], weight)


def test_a_package_that_a_quantisation_needs_is_named(folder):
    rewrite(folder, dict, quantization_config={"quant_method": "aqlm"})
    with pytest.raises(ValueError, match=r"could not load .*aqlm"):
        wb.load_model(folder, certify=False)


# ---- what is not used ---------------------------------------------------------------------------


def test_tensors_without_a_place_are_told_and_do_no_harm(folder):
    extra = {"v_head.summary.weight": torch.ones(1), "model.layers.0.self_attn.k_scale":
             torch.ones(1)}  # fmt: skip
    rewrite(folder, lambda tensors: tensors | extra)
    with pytest.warns(UserWarning, match=r"2 tensors of the checkpoint .*v_head.summary.weight"):
        model = wb.load_model(folder, certify=False)
    assert model.identity["weights_sha256"] == weights_sha256(make_hf("llama"))


# ---- GGUF ---------------------------------------------------------------------------------------


def test_a_gguf_file_has_the_weights_it_was_written_from(gguf_file, cache):
    model = wb.load_model(gguf_file)
    assert model.from_nowhere == ()
    assert model.identity["weights_sha256"] == weights_sha256(make_hf("llama"))
    assert wb.certify(model).ok


@pytest.mark.parametrize("part", ["blk.1.", "ffn_up", "token_embd", "output_norm"])
def test_half_a_gguf_file_is_refused_by_name_and_no_copy_is_kept(tmp_path, cache, part):
    path = write_gguf(tmp_path / "half.gguf", make_hf("llama"), make_tokenizer(), [part])
    with pytest.raises(ValueError, match=r"could not load 'half.gguf'.*in no file"):
        wb.load_model(path)
    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_a_part_of_a_split_gguf_is_told_as_such(tmp_path, cache):
    path = write_gguf(tmp_path / "m-00001-of-00003.gguf", make_hf("llama"), make_tokenizer())
    with pytest.raises(ValueError, match="one of 3 parts of a model: join them first"):
        wb.load_model(path)


def test_a_copy_of_an_older_version_is_made_anew(gguf_file, cache):
    """It carries no word of being whole: here one layer of it is not what the file holds."""
    wb.load_model(gguf_file, certify=False)
    (copy,) = cache.glob("gguf-*/")
    (copy / default_model.WHOLE).unlink()
    rewrite(copy, lambda tensors: tensors | {O_PROJ: torch.randn(48, 48)})
    model = wb.load_model(gguf_file, certify=False)
    assert model.identity["weights_sha256"] == weights_sha256(make_hf("llama"))
    assert model.from_nowhere == ()
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [copy.name]


def unwritable(cache):
    """What a read-only file system does, for every user: the lock file cannot be opened."""
    (copy,) = cache.glob("gguf-*/")
    lock = cache / f"{copy.name}.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    return copy


def test_a_cache_that_cannot_be_written_serves_what_is_in_it(gguf_file, cache):
    first = wb.load_model(gguf_file, certify=False)
    copy = unwritable(cache)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert wb.load_model(gguf_file, certify=False).identity == first.identity
    (copy / default_model.WHOLE).unlink()
    with pytest.warns(UserWarning, match=r"older version .*cannot be made anew.*WORKBENCH_CACHE"):
        older = wb.load_model(gguf_file, certify=False)
    assert older.from_nowhere is None
    assert "not known" in wb.certify(older).checks[0].found


def test_a_cache_that_cannot_be_made_is_named_with_what_to_do(gguf_file, tmp_path, monkeypatch):
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "a-file" / "cache"))
    with pytest.raises(ValueError, match=r"cannot be kept in .*WORKBENCH_CACHE"):
        wb.load_model(gguf_file)
    with pytest.raises(RuntimeError, match=r"cannot be kept in .*WORKBENCH_CACHE"):
        wb.load_model()


def test_the_default_model_of_an_older_version_is_told_by_its_weights(default, cache):
    """No network is needed to see that every weight is the one that it should be."""
    copy = cache / default_model.NAME
    copy.mkdir(parents=True)
    there = default.hf.config.name_or_path
    for path in default_model.Path(there).iterdir():
        if path.name != default_model.WHOLE:
            (copy / path.name).symlink_to(path)
    assert not default_model.known_whole(copy)
    assert default_model.ensure() == copy
    assert default_model.known_whole(copy)


# ---- kinds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"), ("t5", "T5ForConditionalGeneration"),
     ("whisper_of_tomorrow", "WhisperOfTomorrow")],
)  # fmt: skip
def test_a_kind_that_is_no_causal_language_model_is_one_short_message(folder, kind, name):
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "architectures": [name]}))
    with pytest.raises(ValueError, match=kind) as caught:
        wb.load_model(folder)
    assert len(str(caught.value)) < 1200


def test_a_model_with_a_vision_tower_reads_text_as_its_text_part_does(tmp_path):
    text = tr.Gemma3TextConfig(**TINY, sliding_window=7, query_pre_attn_scalar=12)
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip
    config = tr.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    torch.manual_seed(0)
    hf = tr.Gemma3ForConditionalGeneration(config).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = wb.load_model(stored(tmp_path / "seeing", hf))
    assert wb.certify(model).ok
    ids = torch.tensor([model.encode("hello world, hello")])
    with torch.inference_mode():
        logits = hf(input_ids=ids).logits[0, :-1]
    expected = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    losses = wb.token_losses(model, ["hello world, hello"])[0][0]
    assert losses == pytest.approx(expected.numpy(), abs=1e-4)
