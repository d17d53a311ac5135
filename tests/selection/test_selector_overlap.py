"""The agreement of two forms of a selector is that of its parts, and 1 with itself."""

from __future__ import annotations

import pytest

import workbench as wb


@pytest.mark.slow
def test_the_rounded_default_finds_most_of_the_same_heads(default):
    """All 14 of 14 and 12 of 12 on eight probes and 48 documents; .7 leaves room."""
    rounded = wb.load_model(simulate="int8")
    corpus = wb.environment_corpus(max_documents=16)
    probes = wb.make_probes(default, n=2, max_tokens=512)
    found = wb.selector_agreement(default, rounded, probes, corpus, max_tokens=64)
    assert found.jaccard > 0.7
    assert found.head_spearman > 0.9
    heads = wb.HeadSet.top(wb.retrieval_scores(rounded, probes))
    assert found.other_heads == heads
    tables = [
        wb.score_corpus(model, own, corpus, max_tokens=64)
        for model, own in ((default, found.heads), (rounded, heads))
    ]
    assert found.selection.equals(wb.agreement(*tables, 0.2))
    assert "Jaccard" in repr(found)


@pytest.mark.slow
def test_a_selector_agrees_with_itself(default):
    corpus = wb.environment_corpus(max_documents=8)
    probes = wb.make_probes(default, n=2, max_tokens=512)
    found = wb.selector_agreement(default, default, probes, corpus, max_tokens=32)
    assert (found.jaccard, found.head_spearman) == (1.0, pytest.approx(1.0))
    assert (found.selection["overlap"] == 1).all()
