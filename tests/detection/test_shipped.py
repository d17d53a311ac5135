"""What comes with the package on the heads of the default model: its own, and of no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from support.models import make_model

import workbench as wb
from workbench.detection.shipped import shipped_probes_of, shipped_report_of


def test_they_are_those_of_the_default_model(default):
    probes, scores = wb.default_probes(default), wb.default_scores(default)
    assert scores.origin["probes_sha256"] == probes.digest
    one = wb.detection.Probes(
        probes.items[:1], probes.max_tokens, probes.seed, probes.tokenizer_sha256
    )
    again = wb.retrieval_scores(default, one, bootstrap=10)
    np.testing.assert_allclose(again.per_probe, scores.per_probe[:1], atol=1e-5)
    assert str(wb.HeadSet.top(scores, 0.05)) == (
        "L17H3 L17H4 L17H5 L18H6 L18H7 L20H5 L20H6 L21H8 L22H7 L23H1 L23H2 L23H7 L23H8 L24H0"
    )


@pytest.mark.slow
def test_all_of_them_measured_again(default):
    scores = wb.default_scores(default)
    again = wb.retrieval_scores(default, wb.default_probes(default))
    np.testing.assert_allclose(again.per_probe, scores.per_probe, atol=1e-5)
    columns = ["score", "low", "high"]
    np.testing.assert_allclose(again.frame[columns], scores.frame[columns], atol=1e-5)


def test_the_report_is_on_these_scores(default):
    """What follows from the scores alone; what needs the model is in the slow test below."""
    report = wb.default_report(default)
    again = wb.head_report(wb.default_scores(default))
    assert (report.heads, report.core, report.edge) == (again.heads, again.core, again.edge)
    own = ["layer", "head", "score", "chosen", "membership"]
    pd.testing.assert_frame_equal(report.table[own], again.table[own])
    pd.testing.assert_frame_equal(report.counts, again.counts)
    assert (report.halves, report.gap, report.zeros) == (again.halves, again.gap, again.zeros)
    assert set(report.missing) == {"probes of 250 tokens"}


@pytest.mark.slow
def test_the_report_measured_again(default):
    """All of it but half of the lookups, which take longest."""
    probes, stored = wb.default_probes(default), wb.default_report(default)
    report = wb.head_report(wb.default_scores(default), default, probes, lookup_limit=8)
    pd.testing.assert_frame_equal(report.table, stored.table, atol=1e-4)
    pd.testing.assert_frame_equal(report.lengths, stored.lengths, atol=1e-4)
    answers = stored.lookup.answers.query("probe < 8")
    pd.testing.assert_frame_equal(report.lookup.answers, answers, atol=1e-3)
    for part in ("chance", "shuffled", "locos"):
        assert getattr(report, part) == pytest.approx(getattr(stored, part), abs=1e-4)
    assert (report.missing, report.checked) == (stored.missing, 16)
    assert (stored.lookup.probes, stored.lookup.finding) == (16, "lookup")
    assert "lookups need them: masking takes" in stored.verdict
    assert len(stored.within_chance) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_same_weights_in_another_dtype_are_the_same_model(dtype):
    assert len(wb.default_scores(wb.load_model(dtype=dtype))) == 270


def test_another_model_is_refused_in_words():
    with pytest.raises(ValueError, match=r"has other weights: measure its heads"):
        wb.default_scores(make_model())
    with pytest.raises(ValueError, match=r"has other weights: measure its heads"):
        wb.default_report(make_model())
    with pytest.raises(ValueError, match="another tokenizer"):
        wb.default_probes(make_model())


@pytest.mark.slow
def test_changed_weights_are_another_model():
    model = wb.load_model()
    next(model.hf.parameters()).data[0, 0] += 1
    model = wb.from_transformers(model.hf, model.tokenizer)
    with pytest.raises(ValueError, match="has other weights"):
        wb.default_scores(model)


def test_probes_are_known_by_the_scores_that_come_from_them(default):
    scores = wb.default_scores(default)
    assert shipped_probes_of(scores, default).digest == wb.default_probes(default).digest
    assert shipped_probes_of(wb.HeadScores(scores.frame), default) is None  # from nowhere
    other = replace(scores, origin={"probes_sha256": "0" * 64})
    assert shipped_probes_of(other, default) is None
    assert shipped_probes_of(scores, make_model()) is None


def test_the_report_is_known_by_the_scores_that_it_is_on(default):
    scores = wb.default_scores(default)
    assert shipped_report_of(scores, default).to_json() == wb.default_report(default).to_json()
    assert shipped_report_of(replace(scores, per_probe=scores.per_probe / 2), default) is None
    assert shipped_report_of(wb.HeadScores(scores.frame), default) is None
    assert shipped_report_of(scores, make_model()) is None
    session = wb.Session(default, "one two three")
    session.use_scores(scores)
    assert session.report.verdict == wb.default_report(default).verdict
    session.use_scores(wb.HeadScores(scores.frame))
    assert session.report is None
