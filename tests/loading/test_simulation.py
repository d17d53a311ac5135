"""Quantised weights, simulated: the known errors, the right weights, stated wherever they score."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from support.models import COMMON, make_hf, make_tokenizer
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.loading.certificate import Certificate
from workbench.loading.simulation import nf4_levels, quantised
from workbench.manifest.verification.report import VerificationError


def plain(weight, simulate):
    """Value by value, in blocks of 64, with a search through all levels."""
    levels = nf4_levels().double().tolist()
    if simulate == "int8":
        levels = [k / 127 for k in range(-127, 128)]
    flat = weight.double().flatten().tolist()
    found = []
    for start in range(0, len(flat), 64):
        block = flat[start : start + 64]
        scale = max(map(abs, block))
        found += [min(levels, key=lambda level: abs(level * scale - x)) * scale for x in block]
    return torch.tensor(found, dtype=torch.float64).view(weight.shape)


def test_the_levels_are_those_of_the_paper():
    """Appendix E of arXiv 2305.14314, to four digits."""
    assert nf4_levels().numpy().round(4).tolist() == pytest.approx([
        -1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0, 0.0796, 0.1609, 0.2461,
        0.3379, 0.4407, 0.5626, 0.723, 1.0,
    ], abs=1.1e-4)  # fmt: skip


@pytest.mark.parametrize(("simulate", "error"), [("nf4", 0.092), ("int8", 0.0060)])
def test_the_error_on_gaussian_blocks(simulate, error):
    weight = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    rms = (quantised(weight, simulate) - weight).square().mean().sqrt().item()
    assert rms == pytest.approx(error, rel=0.02)


def test_the_error_of_int8_is_that_of_its_steps_but_for_the_largest_value():
    """.0060 is the error of the steps alone; one value of 64 is a level and has none: .0059."""

    def at_most(m):  # probability that no value of a block is beyond m
        return (2 * stats.norm.cdf(m) - 1) ** 64

    mean_square, _ = integrate.quad(lambda m: 2 * m * (1 - at_most(m)), 0, 12)
    steps = np.sqrt(mean_square / 12) / 127
    weight = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    rms = (quantised(weight, "int8") - weight).square().mean().sqrt().item()
    assert round(steps, 4) == 0.0060
    assert rms == pytest.approx(steps * np.sqrt(63 / 64), rel=0.003)
    assert rms < 0.995 * steps


@pytest.mark.parametrize("simulate", ["nf4", "int8"])
def test_each_value_becomes_the_nearest_level(simulate):
    weight = torch.randn(7, 30, generator=torch.Generator().manual_seed(1))
    weight[0] = 0
    found = quantised(weight, simulate)
    torch.testing.assert_close(found, plain(weight, simulate).float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(quantised(found, simulate), found)  # and stays there


@pytest.fixture(scope="module", params=COMMON)
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("quantised") / request.param
    make_hf(request.param).save_pretrained(path)
    make_tokenizer().save_pretrained(path)
    return path


def test_matrices_of_layers_are_rounded_and_nothing_else(folder):
    full, rounded = wb.load_model(folder), wb.load_model(folder, simulate="nf4")
    other = dict(rounded.hf.named_parameters())
    changed = {n for n, p in full.hf.named_parameters() if not torch.equal(p, other[n])}
    matrices = [name for name, p in other.items() if p.dim() > 1]
    assert changed == {name for name in matrices if ".layers." in name or ".h." in name}
    for name in changed:
        expected = plain(full.hf.get_parameter(name), "nf4").float()
        torch.testing.assert_close(other[name], expected, rtol=1e-5, atol=1e-6)
    ids = torch.tensor([full.encode("the same text")])
    with torch.no_grad():
        assert not torch.equal(full(input_ids=ids).logits, rounded(input_ids=ids).logits)


def corpus():
    return [{"id": f"d{i}", "text": f"document {i} of several"} for i in range(6)]


def test_it_is_stated_and_verified(tmp_path):
    make_hf("llama").save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    full = wb.load_model(tmp_path / "model")
    rounded = wb.load_model(tmp_path / "model", simulate="int8")
    assert rounded.loaded_by.endswith("simulate='int8')")
    assert "rounded as int8" in repr(rounded)
    assert "rounded as int8" in wb.certify(rounded).heading
    stored = json.loads(json.dumps(wb.certify(rounded).to_json()))
    assert Certificate.from_json(stored) == wb.certify(rounded)
    assert "simulate" not in wb.certify(full).to_json()
    heads = wb.HeadSet.of([(0, 1), (1, 3)], full)
    run = tmp_path / "run"
    table = wb.score_corpus(rounded, heads, corpus(), run)
    wb.write_manifest(wb.select(table, fraction=0.5), run)
    stated = json.loads((run / "manifest.json").read_text())["aiw:run"]
    assert stated["model"]["simulate"] == stated["certificate"]["simulate"] == "int8"
    assert wb.verify_manifest(run, rounded, corpus(), level="scores").ok
    with pytest.raises(VerificationError, match="loaded with simulate=None"):
        wb.verify_manifest(run, full, corpus())
    with pytest.raises(ValueError, match=r"model.simulate: None then|other settings"):
        wb.score_corpus(full, heads, corpus(), run)


@pytest.mark.slow
def test_workers_score_with_the_rounded_weights(tmp_path):
    make_hf("llama").save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    rounded = wb.load_model(tmp_path / "model", simulate="nf4")
    heads = wb.HeadSet.of([(0, 1)], rounded)
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, corpus())))
    here, there = (
        wb.score_corpus(rounded, heads, tmp_path / "a.jsonl", tmp_path / str(n), workers=n)
        for n in (None, 1)
    )
    np.testing.assert_allclose(here.frame["score"], there.frame["score"], rtol=1e-5)


def test_the_command_and_what_is_refused(tmp_path):
    make_hf("llama").save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    words = ["certify", "--model", str(tmp_path / "model"), "--simulate", "nf4", "--json"]
    done = CliRunner().invoke(app, words)
    assert json.loads(done.stdout)["model"]["simulate"] == "nf4"
    with pytest.raises(ValueError, match="one of nf4, int8"):
        wb.load_model(tmp_path / "model", simulate="fp4")
