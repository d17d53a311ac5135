"""Histograms count each document once, and their bins filter the same documents."""

from __future__ import annotations

import numpy as np
import pytest
from support.score_tables import random_table

from workbench.session.corpus.histogram import BINS
from workbench.session.corpus.scored_corpus import ScoredCorpus


@pytest.mark.parametrize("name", ["score", "mine", "tokens", "compression_ratio", "margin"])
def test_a_histogram_counts_each_document_once_and_its_bins_filter_the_same(corpus, name):
    values = corpus.column(name)
    kept = np.arange(0, 500, 3)
    histogram = corpus.histogram(name, kept)
    expected, _ = np.histogram(values[np.isfinite(values)], histogram.edges)
    assert histogram.counts.tolist() == expected.tolist()
    assert histogram.counts.sum() == np.isfinite(values).sum()
    assert histogram.kept.sum() == np.isfinite(values[kept]).sum()
    assert len(histogram.counts) == BINS
    steps = np.diff(np.log(histogram.edges) if name == "tokens" else histogram.edges)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    for first, last in [(0, 0), (3, 9), (10, BINS - 1), (0, BINS - 1)]:
        found = corpus.sort_and_filter(ranges={name: histogram.span(first, last)})
        assert len(found) == histogram.counts[first : last + 1].sum()


def test_a_column_of_one_value_has_a_histogram():
    corpus = ScoredCorpus(random_table(40, seed=1).assign(same=2.0))
    histogram = corpus.histogram("same")
    assert histogram.counts.sum() == histogram.counts[0] == 40
    assert len(corpus.sort_and_filter(ranges={"same": histogram.span(0, 0)})) == 40
