"""The cost of a reference set in a plan: the passes and tokens that scoring then takes."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pytest
from support.models import make_model
from typer.testing import CliRunner

import workbench as wb
from workbench.cli.main import app
from workbench.masking import masks
from workbench.masking.packed import packed_passes

MODEL = make_model()
HEADS = wb.HeadSet.parse("L1H1 L2H0", MODEL)
MINE = wb.reference_set("plan-mine", [f"text {i} " + "ab" * (i + 1) for i in range(5)])


def corpus(n=24):
    rng = np.random.default_rng(0)
    return [{"id": f"d{i}", "text": chr(97 + i) * int(rng.integers(1, 90))} for i in range(n)]


@contextmanager
def passes_of(model):
    """The tokens of each forward pass of the decoder inside the block, as torch sees them."""
    seen = []
    handle = model.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("mode", [MINE.resample, MINE.mean, "uniform"])
@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("controls", [0, 2])
def test_passes_and_tokens_are_those_of_the_scoring(mode, bos, controls):
    """All documents are sampled, so nothing is estimated; a new model has nothing at hand."""
    model = make_model(bos=bos)
    heads = wb.HeadSet.parse("L1H1 L2H0", model)
    options = {"mode": mode, "domain": None, "window": 32, "max_tokens": 70}
    options["controls"] = controls
    plan = wb.plan_scoring(model, heads, corpus(), sample=100, **options)
    fresh = make_model(bos=bos)
    wb.certify(fresh)
    assert packed_passes(fresh) is not None  # both are checked once, before the count
    with passes_of(fresh) as seen:
        wb.score_corpus(fresh, heads, corpus(), **options)
    assert plan.passes == len(seen)
    row = plan.domains.iloc[0]
    of = plan.reference
    tokens = row.tokens + row.windows * len(model.bos_ids) + (of.tokens if of else 0)
    alone = 0 if bos else sum(len(model.encode(d["text"])) % 32 == 1 for d in corpus())
    assert tokens - alone <= sum(seen) <= tokens  # a window of one token may not be read at all
    if mode == MINE.resample:
        assert plan.passes == row.windows + of.passes
        assert 1 < of.passes <= of.texts == 5
    elif mode == MINE.mean:
        assert plan.passes < row.windows  # packed
        assert of.passes == 5
        assert of.tokens == sum(len(model.bos_ids) + len(model.encode(text)) for text in MINE.texts)
    else:
        assert of is None


def test_an_estimate_is_near_the_count_of_all():
    """From six of 100 documents; which text each window draws is not known then."""
    rows = [{"id": f"d{i}", "text": f"{i} is a number"} for i in range(100)]
    some = wb.plan_scoring(MODEL, HEADS, rows, mode=MINE.resample, domain=None)
    every = wb.plan_scoring(MODEL, HEADS, rows, mode=MINE.resample, domain=None, sample=100)
    assert every.passes == 105
    assert some.passes == pytest.approx(every.passes, rel=0.02)


def test_outputs_that_cannot_be_kept_are_computed_again(monkeypatch):
    """Room for two of five texts: three of five draws find theirs gone."""
    rows = [{"id": f"d{i}", "text": f"{i} is a number"} for i in range(120)]
    sizes = [masks.output_bytes(MODEL, len(r)) for r in masks.reference_rows(MODEL, MINE)]
    monkeypatch.setattr(masks, "DONORS", int(2.2 * np.mean(sizes)))
    plan = wb.plan_scoring(MODEL, HEADS, rows, mode=MINE.resample, domain=None)
    fresh = make_model()
    wb.certify(fresh)
    packed_passes(fresh)
    with passes_of(fresh) as seen:
        wb.score_corpus(fresh, HEADS, rows, mode=MINE.resample, domain=None)
    assert len(seen) > 160
    assert plan.passes == pytest.approx(len(seen), rel=0.1)


def test_the_set_counts_in_the_time_and_is_named():
    plan = wb.plan_scoring(MODEL, HEADS, corpus(), mode=MINE.mean, domain=None)
    assert plan.reference.seconds > 0
    hours = (plan.domains["seconds"].sum() + plan.reference.seconds) / 3600
    assert plan.hours[0] == pytest.approx(hours)
    assert "reference set 'plan-mine'" in repr(plan)
    assert "reference" not in repr(wb.plan_scoring(MODEL, HEADS, corpus(), domain=None))


def test_the_command_takes_a_reference(tmp_path):
    MODEL.hf.save_pretrained(tmp_path / "model")
    MODEL.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus())))
    others = [{"text": f"another text {i}"} for i in range(4)]
    (tmp_path / "others.jsonl").write_text("\n".join(map(json.dumps, others)))
    words = [
        "plan", str(tmp_path / "corpus.jsonl"), "--model", str(tmp_path / "model"), "--heads",
        "L1H1", "--reference", str(tmp_path / "others.jsonl"), "--sample", "100", "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(app, [*words, "--mode", "resample"])
    assert result.exit_code == 0, result.output
    stated = json.loads(result.stdout)
    assert stated["reference"]["name"] == "others"
    windows = sum(domain["windows"] for domain in stated["domains"])
    assert stated["passes"] == windows + stated["reference"]["passes"]
    wrong = json.loads(CliRunner().invoke(app, words).stdout)["error"]
    assert "mode 'uniform' takes no reference set" in wrong
