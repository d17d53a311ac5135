"""Models with layers or rows that are not all attention: hybrids, chunks of attention, sinks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import transformers as tr
from support import oracle
from support.models import HYBRIDS, TINY, make_tokenizer

import workbench as wb
from workbench.analysis.embeddings import embed
from workbench.detection.probes import Probe, Probes
from workbench.masking.reference import plain_losses
from workbench.models import attention_hook

TEXTS = ["Something stands before it.", "The heads that look back are few.", "And after."]
WITHOUT_SIZE = {name: setting for name, setting in TINY.items() if name != "head_dim"}
FOUR = WITHOUT_SIZE | {"num_hidden_layers": 4}
MAMBA = {"mamba_n_groups": 1, "mamba_d_state": 8, "mamba_chunk_size": 8, "mamba_n_heads": 4}
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
MODELS = {
    "qwen3-next": lambda: tr.Qwen3NextConfig(
        **TINY | {"num_hidden_layers": 4}, linear_num_key_heads=2, linear_num_value_heads=2,
        linear_key_head_dim=8, linear_value_head_dim=8, num_experts=2, num_experts_per_tok=1,
        layer_types=["linear_attention", "full_attention", "full_attention", "linear_attention"],
        moe_intermediate_size=16, shared_expert_intermediate_size=16,
    ),
    "lfm2": HYBRIDS["lfm2"],
    "granite-hybrid": lambda: tr.GraniteMoeHybridConfig(
        **FOUR, **MAMBA, layer_types=["mamba", "attention", "attention", "mamba"],
        num_local_experts=0, shared_intermediate_size=32, mamba_d_head=24,
    ),
    "jamba": lambda: tr.JambaConfig(
        **FOUR, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2,
        expert_layer_offset=1, num_experts=2, num_experts_per_tok=1, mamba_d_state=8,
    ),
    "recurrent-gemma": lambda: tr.RecurrentGemmaConfig(
        **WITHOUT_SIZE, lru_width=48, attention_window_size=8,
    ),
    "falcon-h1": lambda: tr.FalconH1Config(  # attention and Mamba side by side in each layer
        **TINY, **MAMBA, mamba_d_ssm=32, mamba_d_head=8, mamba_expand=1
    ),
    "llama4": lambda: tr.Llama4TextConfig(
        **TINY, **EXPERTS, intermediate_size_mlp=48, attention_chunk_size=32
    ),
    "gpt-oss": lambda: tr.GptOssConfig(**TINY, **EXPERTS, sliding_window=8),
}  # fmt: skip
WITHOUT_HEADS = {
    "qwen3-next": (0, 3), "lfm2": (0, 3), "granite-hybrid": (0, 3), "jamba": (0, 2),
    "recurrent-gemma": (0, 1),
}  # fmt: skip
ALONE = {*WITHOUT_HEADS, "falcon-h1"}  # a state goes on from token to token


def stock(name, kernel=None):
    kind = {"attn_implementation": kernel} if kernel else {}
    torch.manual_seed(0)
    hf = tr.AutoModelForCausalLM.from_config(MODELS[name](), dtype=torch.float32, **kind).eval()
    with torch.no_grad():
        for label, parameter in hf.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.25)
            elif label.endswith("sinks"):
                parameter.normal_(mean=5)
    return hf


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    loaded = wb.from_transformers(stock(request.param), make_tokenizer())
    loaded.name = request.param
    return loaded


def heads_of(model):
    return wb.HeadSet.of([(site.layer, i) for site in model.sites for i in (1, 3)], model)


def test_losses_equal_the_oracle_whatever_stands_beside_the_text(model):
    plain = stock(model.name, "eager")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no fallback from the fast path
        columns = wb.token_losses(model, TEXTS, [None, heads_of(model)])
    for text, (base, masked) in zip(TEXTS, columns, strict=True):
        ids = model.encode(text)
        np.testing.assert_allclose(base, oracle.losses(plain, ids), rtol=1e-4, atol=1e-5)
        with oracle.uniform_heads(plain, list(heads_of(model))):
            expected = oracle.losses(plain, ids)
        np.testing.assert_allclose(masked, expected, rtol=1e-4, atol=1e-5)
        assert np.abs(masked - base).max() > 0.01


def test_the_certificate_holds_by_the_fast_path(model):
    certificate = wb.certify(model)
    assert certificate.ok, certificate
    assert certificate.fast_path


def test_layers_without_attention_have_no_heads(model):
    headless = WITHOUT_HEADS.get(model.name, ())
    assert model.headless == headless
    assert model.num_layers == model.hf.config.num_hidden_layers
    assert model.head_count == (model.num_layers - len(headless)) * 4
    every = ~wb.HeadSet.of([], model)
    assert len(every) == model.head_count
    for layer in headless:
        with pytest.raises(ValueError, match=f"layer {layer} has no attention heads"):
            wb.HeadSet.of([(layer, 0)], model)
    assert wb.HeadSet.from_json(every.to_json()) == every
    other = wb.HeadSet(((1, 1),), model.num_layers, 4, headless=(2,) if headless != (2,) else ())
    if headless:
        with pytest.raises(ValueError, match="none in layers"), wb.masked(model, other):
            pass


def test_a_row_of_texts_does_not_carry_a_state_on(model):
    from workbench.masking.packed import packed_passes

    engine = packed_passes(model)
    assert (engine.row_tokens == 1) == (model.name in ALONE)


def test_scores_have_rows_for_the_heads_that_exist(model):
    ids = tuple(range(70, 94))
    probe = Probe((*ids, *ids[5:9]), (24, 28), (5, 9), 1)
    probes = Probes((probe,) * 2, 128, 0, model.identity["tokenizer_sha256"])
    effects = wb.head_effects(model, TEXTS[2])
    estimate = wb.head_effects(model, TEXTS[2], method="gradient")
    assert np.isnan(effects.effect).all(axis=1).tolist() == [
        layer in model.headless for layer in range(model.num_layers)
    ]
    detected = wb.retrieval_scores(model, probes, bootstrap=1)
    for scores in (detected, effects.scores, estimate.scores):
        assert len(scores) == model.head_count
        assert not set(scores.frame["layer"]) & set(model.headless)
        assert np.isfinite(scores.frame["score"]).all()
        top = wb.HeadSet.top(scores, 0.25, allow_ties=True)
        assert len(top) == -(-model.head_count // 4)
        with wb.masked(model, top):
            pass
        control = wb.HeadSet.random(scores, exclude=top)
        assert len(control) == len(top)
        assert not control & top
    base, masked = wb.token_losses(
        model, TEXTS[2:], [None, wb.HeadSet.of([(model.sites[0].layer, 2)], model)]
    )[0]
    at = effects.effect[model.sites[0].layer, 2]
    assert at == pytest.approx((masked - base).mean(), abs=1e-4)


def test_what_reads_states_and_heads_works(model):
    means = wb.head_means(model, TEXTS)
    assert means.shape == (model.num_layers, 4, model.sites[0].head_size)
    assert (means.abs().sum(dim=(1, 2)) == 0).tolist() == [
        layer in model.headless for layer in range(model.num_layers)
    ]
    rows = embed(TEXTS, model)
    with torch.no_grad():
        for row, text in zip(rows, TEXTS, strict=True):
            ids = torch.tensor([model.encode(text)])
            states = model.hf(input_ids=ids, output_hidden_states=True).hidden_states[-1]
            np.testing.assert_allclose(row, states[0].mean(0), rtol=1e-3, atol=1e-4)


def test_a_session_toggles_heads_that_exist(model):
    session = wb.Session(model, TEXTS[1], heads=heads_of(model))
    expected = plain_losses(model, model.encode(TEXTS[1]), heads_of(model))
    np.testing.assert_allclose(session.changes().after[1:], expected, rtol=1e-4, atol=1e-4)
    session.toggle_head(0)
    assert {head.layer for head in session.heads} == {site.layer for site in model.sites}


def test_an_incomplete_score_frame_is_not_taken_for_a_hybrid():
    model = wb.from_transformers(stock("jamba"), make_tokenizer())
    frame = wb.head_effects(model, TEXTS[2]).table()
    with pytest.raises(ValueError, match="headless"):
        wb.HeadSet.top(frame)
    named = wb.HeadScores(frame, headless=[2, 0])
    assert wb.HeadSet.top(named, 0.25, allow_ties=True).headless == model.headless


@pytest.mark.parametrize("mode", ["zero", "uniform"])
def test_a_sink_keeps_its_part_of_the_row_under_uniform_attention(mode):
    model = wb.from_transformers(stock("gpt-oss"), make_tokenizer())
    seen = []
    ids = torch.tensor([model.encode(TEXTS[1])])
    heads = wb.HeadSet.of([(0, 2)], model)
    with torch.no_grad(), wb.masked(model, heads, mode), attention_watched(model, seen):
        pattern = model(input_ids=ids, output_attentions=True).attentions[0][0, 2]
    share = seen[0].share[0, 2]
    assert ((share > 0) & (share < 1)).all()
    assert (share < 0.9).any()
    value = seen[0].value[0, 1]
    for row in range(ids.shape[1]):
        visible = slice(max(0, row - 7), row + 1)
        expected = value[visible].mean(dim=0) * share[row] if mode == "uniform" else 0 * value[0]
        torch.testing.assert_close(seen[0].output[0, row, 2], expected)
    torch.testing.assert_close(pattern.sum(dim=-1), share if mode == "uniform" else 0 * share)


def attention_watched(model, seen):
    from workbench.models.attached_hooks import attach_hooks

    return attach_hooks(model.sites[:1], observer=seen.append)


def test_a_kernel_that_does_not_tell_what_sinks_take_is_refused():
    """The stock fast kernels take sinks without giving the attention pattern."""
    model = wb.from_transformers(stock("gpt-oss"), make_tokenizer())
    whole = torch.zeros(1, 4, 3, 12)
    call = attention_hook._call(
        model.sites[0].module, whole, whole[:, :2], None, None, {"s_aux": torch.zeros(4)}
    )
    assert "attn_implementation='eager'" in call.problem
