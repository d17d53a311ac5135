"""LOCOS: parts that sum to what the kernel gave, a slow oracle written apart, a planted truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support.models import EVERY_ARCHITECTURE, make_hf, make_model
from support.planted import COPYING, planted_model, planted_probes

import workbench as wb
from workbench.detection.locos import output_projections, split_output
from workbench.detection.probes import Probe, Probes
from workbench.detection.retrieval import answer_rows
from workbench.models.attached_hooks import attach_hooks


def random_probes(model, n=3):
    rng = np.random.default_rng(0)
    items = []
    for _ in range(n):
        ids = (64 + rng.integers(0, 6, size=40)).tolist()
        items.append(Probe(tuple(ids), (30, 40), (24, 30), 4))
    return Probes(tuple(items), 64, 0, model.identity["tokenizer_sha256"])


@pytest.mark.parametrize("name", EVERY_ARCHITECTURE)
def test_the_parts_sum_to_the_output_and_the_projection_to_the_residual(name):
    """Soft caps, sliding windows, grouped and fused projections, Conv1D: nothing is lost."""
    model = make_model(name)
    probe = random_probes(model)[0]
    ids, rows, _ = answer_rows(model, probe)
    matrices = output_projections(model)
    seen_layers, written = [], {}

    def keep(layer):
        return lambda module, inputs, output: written.__setitem__(layer, output[0][0, rows])

    def look(seen):
        parts = split_output(seen, rows, *probe.value)
        whole = (parts.needle + parts.elsewhere).flatten(start_dim=1)
        torch.testing.assert_close(
            whole, seen.output[0, rows].flatten(start_dim=1), atol=1e-5, rtol=1e-4
        )
        seen_layers.append((seen.layer, whole @ matrices[seen.layer].T))

    hooks = [site.module.register_forward_hook(keep(site.layer)) for site in model.sites]
    with torch.inference_mode(), attach_hooks(model.sites, observer=look):
        model.hidden(ids)
    for hook in hooks:
        hook.remove()
    assert len(seen_layers) == 3
    for layer, ours in seen_layers:  # equal up to the projection's bias, which no head writes
        rest = written[layer] - ours
        torch.testing.assert_close(rest, rest[:1].expand_as(rest), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("llama", ("model.layers", "self_attn.v_proj", "self_attn.o_proj")),
        ("gemma2", ("model.layers", "self_attn.v_proj", "self_attn.o_proj")),
        ("gpt2", ("transformer.h", "attn.c_attn", "attn.c_proj")),
    ],
)
def test_scores_equal_the_definition_on_whole_attention_matrices(name, parts):
    """Eager weights, values from the projection's own output, and loops over every position."""
    model, plain = make_model(name), make_hf(name, "eager")
    probes = random_probes(model)
    values, (stack, source, project) = {}, parts
    layers = plain.get_submodule(stack)

    def keep(layer):
        return lambda module, inputs, output: values.__setitem__(layer, output[0].double().numpy())

    for number in range(3):
        layers[number].get_submodule(source).register_forward_hook(keep(number))
    unembed = plain.get_output_embeddings().weight.detach().double().numpy()
    expected = np.zeros((3, 4))
    for probe in probes:
        with torch.no_grad():
            maps = plain(input_ids=torch.tensor([probe.ids]), output_attentions=True).attentions
        for layer in range(3):
            matrix = layers[layer].get_submodule(project).weight.detach().double().numpy()
            matrix = matrix if name == "gpt2" else matrix.T  # (heads * size, width)
            value = values[layer][:, -48:] if name == "gpt2" else values[layer]
            group = 48 // value.shape[1]
            for head in range(4):
                at = head // group * 12
                for t in range(30, 40):
                    inside = outside = 0.0
                    for j in range(t):
                        written = value[j, at : at + 12] @ matrix[head * 12 : head * 12 + 12]
                        push = float(written @ unembed[probe.ids[t]])
                        push *= float(maps[layer][0, head, t - 1, j])
                        if 24 <= j < 30:
                            inside += push
                        else:
                            outside += push
                    expected[layer, head] += (inside - outside * 6 / (t - 6)) / 10 / len(probes)
    scores = wb.locos_scores(model, probes)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(scores.frame["score"].to_numpy(), expected.reshape(-1), atol=1e-4)


def test_locos_finds_exactly_the_planted_copying_heads():
    model = planted_model()
    scores = wb.locos_scores(model, planted_probes(model))
    assert tuple(wb.HeadSet.top(scores, 2 / 8)) == COPYING
    table = scores.frame.set_index(["layer", "head"])
    # Each writes the answer's code (64 signs) from the needle, and nothing from elsewhere.
    assert all(abs(table.loc[head, "needle"] - 64) < 0.1 for head in COPYING)
    assert table["elsewhere"].abs().max() < 0.1
    assert table.drop(list(COPYING))["score"].abs().max() < 0.1
    assert scores.by == "LOCOS score"
    assert scores.per_probe.shape == (12, 8)


def test_a_bos_in_front_moves_the_needle_with_it():
    plain, with_bos = make_model("llama"), make_model("llama", bos=True)
    probes = random_probes(plain)
    spelled = [
        Probe((0, *probe.ids), (31, 41), (25, 31), 4) for probe in probes
    ]  # the same ids with BOS written out
    by_hand = Probes(tuple(spelled), 64, 0, plain.identity["tokenizer_sha256"])
    by_model = Probes(probes.items, 64, 0, with_bos.identity["tokenizer_sha256"])
    np.testing.assert_allclose(
        wb.locos_scores(plain, by_hand).frame["score"],
        wb.locos_scores(with_bos, by_model).frame["score"],
    )


@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral-sliding"])
def test_half_precision_gives_nearly_the_same_scores(name):
    exact = make_model(name)
    half = wb.from_transformers(make_hf(name).to(torch.bfloat16), exact.tokenizer)
    probes = random_probes(exact)
    exactly, nearly = (wb.locos_scores(model, probes).frame["score"] for model in (exact, half))
    assert np.corrcoef(exactly, nearly)[0, 1] > 0.95


def test_a_layer_that_attends_differently_from_its_queries_and_keys_is_refused():
    """Weights that do not give the kernel's output must not pass for its weights."""
    model = make_model("llama")
    probe = random_probes(model)[0]
    ids, rows, _ = answer_rows(model, probe)

    def look(seen):
        split_output(
            dataclasses.replace(seen, output=0 * seen.output, value=0 * seen.value), rows, 24, 30
        )
        other = dataclasses.replace(seen, options={**seen.options, "scaling": 3.0})
        with pytest.raises(wb.CannotSplit, match="cannot be reproduced"):
            split_output(other, rows, 24, 30)

    with torch.inference_mode(), attach_hooks(model.sites, observer=look):
        model.hidden(ids)


class _Gated(torch.nn.Linear):
    """An output projection that does more than multiply with its weight."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) * input.sigmoid().mean()


def test_a_projection_that_is_not_plain_is_refused():
    model = make_model("llama")
    inner = model.hf.model.layers[1].self_attn
    gated = _Gated(48, 48, bias=False)
    gated.load_state_dict(inner.o_proj.state_dict())
    inner.o_proj = gated
    with pytest.raises(wb.CannotSplit, match="no plain output projection in layer 1"):
        wb.locos_scores(model, random_probes(model))


def test_a_masked_head_is_not_split():
    """The uniform output of a masked head is not what its queries and keys would give."""
    model = make_model("llama")
    heads = wb.HeadSet.of([(1, 1)], model)
    with wb.masked(model, heads), pytest.raises(ValueError, match="masked already"):
        wb.locos_scores(model, random_probes(model))
    foreign = Probes(random_probes(model).items, 64, 0, "0" * 64)
    with pytest.raises(ValueError, match="another tokenizer"):
        wb.locos_scores(model, foreign)
