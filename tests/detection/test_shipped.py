"""The probes and scores that come with the package: those of the default model, and of no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.models import make_model

import workbench as wb
from workbench.detection.shipped import shipped_probes_of


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


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_same_weights_in_another_dtype_are_the_same_model(dtype):
    assert len(wb.default_scores(wb.load_model(dtype=dtype))) == 270


def test_another_model_is_refused_in_words():
    with pytest.raises(ValueError, match=r"has other weights: measure its heads"):
        wb.default_scores(make_model())
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
