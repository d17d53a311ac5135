"""Modes that take a head's output from other texts: the oracle's numbers, named and verified."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support import oracle
from support.models import COMMON, make_hf, make_model
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.masking import references
from workbench.masking.references import ReferenceSet, donor, is_known, reference_of
from workbench.models.attention_override import CannotMask

OTHERS = ["Bread is baked of flour and water.", "0123456789", "a river, a bank, a boat; rain"]
TEXTS = ["The heads that look back are few, and we find them.", "short text", OTHERS[1] + " and on"]
PAIRS = [(0, 1), (1, 3), (2, 2)]


@pytest.fixture(scope="module")
def three():
    return wb.reference_set("three", OTHERS, seed=3, max_tokens=20)


@pytest.mark.parametrize("name", COMMON)
def test_resample_and_mean_equal_the_oracle(name, three):
    model, plain = make_model(name), make_hf(name, "eager")
    heads = wb.HeadSet.of(PAIRS, model)
    rows = [model.encode(text)[:20] for text in OTHERS]
    given = [oracle.head_outputs(plain, row) for row in rows]
    means = {
        key: torch.cat([outputs[key] for outputs in given]).mean(dim=0)[None].repeat(2, 1)
        for key in PAIRS
    }
    # All texts at once, so that whatever is packed must not mix them up.
    resampled = wb.token_losses(model, TEXTS, heads=[None, heads], mode=three.resample)
    averaged = wb.token_losses(model, TEXTS, heads=[heads], mode=three.mean)
    for text, (base, shown), (mean,) in zip(TEXTS, resampled, averaged, strict=True):
        ids = model.encode(text)
        other = donor(three, ids, rows)
        assert not text.startswith(OTHERS[other])
        np.testing.assert_allclose(base, oracle.losses(plain, ids), rtol=2e-4, atol=2e-4)
        with oracle.replaced_heads(plain, {key: given[other][key] for key in PAIRS}):
            expected = oracle.losses(plain, ids)
        np.testing.assert_allclose(shown, expected, rtol=2e-4, atol=2e-4)
        with oracle.replaced_heads(plain, means):
            expected = oracle.losses(plain, ids)
        np.testing.assert_allclose(mean, expected, rtol=2e-4, atol=2e-4)
        assert np.abs(shown - mean).max() > 1e-3  # the modes differ


@pytest.mark.parametrize("method", ["exact", "gradient"])
def test_every_way_to_mask_gives_the_same_text_the_same_other_one(three, method):
    model, text = make_model(), TEXTS[0]
    single = wb.HeadSet.of([(1, 3)], model)
    ((base, shown),) = wb.token_losses(model, [text], heads=[None, single], mode=three.resample)
    cache = wb.ResidualCache(model)
    np.testing.assert_allclose(cache.losses(text, single, three.resample), shown, atol=1e-4)
    effects = wb.head_effects(model, text, mode=three.resample, method=method)
    tolerance = 1e-4 if method == "exact" else 0.1
    assert effects.effect[1, 3] == pytest.approx((shown - base).mean(), abs=tolerance)
    with wb.masked(model, single, three.resample), pytest.raises(CannotMask, match="one pass"):
        model.hf.generate(torch.tensor([model.encode(text)]), max_new_tokens=2, do_sample=False)


def test_the_other_text_depends_on_text_and_seed_alone_and_is_never_the_same():
    rows = [[i, *range(10, 20)] for i in range(8)]
    texts = [[i, j, 5, 6] for i in range(8) for j in range(20)] + rows
    sets = [ReferenceSet("x", ("",), seed, 20) for seed in (0, 1)]
    chosen = [[donor(of, ids, rows) for ids in texts] for of in sets]
    assert chosen[0] == [donor(sets[0], ids, rows) for ids in texts]
    assert set(chosen[0]) == set(range(8))  # every text has its turn
    assert 0.05 < np.mean(np.equal(*chosen)) < 0.25  # as often as by chance
    assert all(rows[number] != ids for of in chosen for ids, number in zip(texts, of, strict=True))
    with pytest.raises(ValueError, match="no other text"):
        donor(sets[0], rows[0], rows[:1])


def corpus():
    return [{"id": f"d{i}", "text": f"number {i}, {TEXTS[i % 3]}"} for i in range(5)]


@pytest.mark.parametrize("kind", ["mean", "resample"])
def test_scores_are_recorded_with_the_set_and_verified(kind, three, tmp_path, monkeypatch):
    model = make_model()
    heads = wb.HeadSet.of(PAIRS, model)
    table = wb.score_corpus(model, heads, corpus(), tmp_path, mode=getattr(three, kind))
    assert table.run["mode"] == f"{kind}:three"
    assert table.run["reference"] == three.to_json()
    (_, shown), *_ = wb.token_losses(
        model, [corpus()[0]["text"]], heads=[None, heads], mode=getattr(three, kind)
    )
    assert table.frame["loss_ref"][0] == pytest.approx(shown.mean(), rel=1e-5)
    wb.write_manifest(wb.select(table, fraction=0.4), tmp_path)
    checks = wb.verify_manifest(tmp_path, model, corpus(), level="scores").checks
    assert checks.set_index("check")["ok"]["sample scored again"]
    with pytest.raises(ValueError, match="other settings"):
        wb.score_corpus(model, heads, corpus(), tmp_path, mode="zero")
    # Whoever does not know the texts cannot check the scores, and is told so.
    monkeypatch.delitem(references._known, "three")
    checks = wb.verify_manifest(tmp_path, model, corpus()).checks.set_index("check")
    assert checks["ok"].isna()["sample scored again"]
    assert "make it with reference_set" in checks["detail"]["sample scored again"]
    references.register(three)
    run = json.loads((tmp_path / "run.json").read_text())
    assert is_known(run["reference"])
    assert not is_known(run["reference"] | {"sha256": "0"})
    assert not is_known(run["reference"] | {"name": "four"})


@pytest.mark.slow
def test_workers_are_given_the_texts(three, tmp_path):
    model = make_model()
    heads = wb.HeadSet.of(PAIRS, model)
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus())))
    here = wb.score_corpus(model, heads, tmp_path / "corpus.jsonl", mode=three.resample)
    there = wb.score_corpus(
        model, heads, tmp_path / "corpus.jsonl", tmp_path / "run", mode=three.resample, workers=1
    )
    np.testing.assert_allclose(here.frame["score"], there.frame["score"], rtol=1e-5)


def test_the_command_names_the_set_after_its_file(tmp_path):
    hf = make_model()
    hf.hf.save_pretrained(tmp_path / "model")
    hf.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus())))
    (tmp_path / "notes.jsonl").write_text("\n".join(json.dumps({"text": x}) for x in OTHERS))
    corpus_file, model, out = tmp_path / "corpus.jsonl", tmp_path / "model", tmp_path / "run"
    words = ["score", corpus_file, "--model", model, "--heads", "L0H1", "--out", out]
    words += ["--mode", "resample", "--reference", tmp_path / "notes.jsonl"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "run" / "run.json").read_text())["reference"]["name"] == "notes"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wb.reference_set("no name", OTHERS), "needs a name"),
        (lambda: wb.reference_set("environment", OTHERS), "needs a name"),
        (lambda: wb.reference_set("one", OTHERS[:1] * 5), "two different texts"),
        (lambda: wb.reference_set("two", OTHERS, max_tokens=1), "at least 2"),
        (lambda: wb.reference_set("three", OTHERS, seed=4, max_tokens=20), "another name"),
        (lambda: reference_of("mean:nobody"), "no reference set 'nobody'"),
        (lambda: reference_of("uniform:three"), "takes no reference set"),
    ],
)
def test_what_cannot_be_is_named(make, message, three):
    with pytest.raises(ValueError, match=message):
        make()
