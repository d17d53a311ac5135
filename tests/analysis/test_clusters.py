"""Clusters of embedded documents, and how a selection covers them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from analysis.test_words import table_of

import workbench as wb
from workbench.analysis.clusters import class_tfidf, cluster_documents, cluster_table, coverage
from workbench.analysis.words import word_counts

GROUPS = {"apple pear": 5, "iron zinc": 4, "river lake": 3}


@pytest.fixture
def planted():
    """Twelve documents in three kinds of 5, 4 and 3, shuffled; embeddings a little off the kind."""
    kinds = [i for i, size in enumerate(GROUPS.values()) for _ in range(size)]
    rng = np.random.default_rng(0)
    rng.shuffle(kinds)
    words = list(GROUPS)
    documents = [
        wb.Document(f"d{i}", f"{words[kind]} common thing", "ab"[i % 2], "c.txt", i)
        for i, kind in enumerate(kinds)
    ]
    vectors = 100 + np.eye(3, 8)[kinds] + 0.05 * rng.normal(size=(12, 8))
    return documents, table_of(documents, random=rng.random(12)), vectors, np.array(kinds)


def picked(table, ids):
    return table.assign(selected=table["doc_id"].isin(ids))


def test_planted_kinds_are_found_and_counted_from_the_largest(planted):
    _, table, vectors, kinds = planted
    found = cluster_documents(table, vectors, 3).frame
    assert found["cluster"].tolist() == kinds.tolist()
    assert found["doc_id"].tolist() == table["doc_id"].tolist()
    for _, part in found.groupby("cluster"):
        rows = vectors[part.index] - vectors.mean(axis=0)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        distance = np.linalg.norm(rows - rows.mean(axis=0), axis=1)
        np.testing.assert_allclose(part["distance"], distance, atol=1e-9)


def test_the_map_is_that_of_the_covariance(planted):
    _, table, vectors, _ = planted
    clusters = cluster_documents(table, vectors, 3)
    found, rows = clusters.frame, vectors - vectors.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows -= rows.mean(axis=0)
    values, axes = np.linalg.eigh(rows.T @ rows)
    for column, axis in (("x", axes[:, -1]), ("y", axes[:, -2])):
        np.testing.assert_allclose(np.abs(found[column]), np.abs(rows @ axis), atol=1e-9)
        assert found[column].max() == np.abs(found[column]).max()
    assert clusters.explained == pytest.approx(values[-2:].sum() / values.sum())
    share = f"12 documents in 3 clusters; the plane shows {clusters.explained:.0%}"
    assert share in repr(clusters)
    assert share in clusters._repr_html_()


def test_each_cluster_says_what_it_is_about(planted):
    documents, table, vectors, kinds = planted
    clusters = cluster_documents(table, vectors, 3)
    mine = picked(table, [f"d{i}" for i in np.flatnonzero(kinds == 1)[:1]])
    found = cluster_table(clusters, table, documents, {"mine": mine}, terms=2, nearest=1)
    assert found["documents"].tolist() == [5, 4, 3]
    assert found["mine"].tolist() == [0, 0.25, 0]
    for row, words in zip(found.itertuples(), GROUPS, strict=True):
        assert set(row.terms.split(", ")) == set(words.split())
        part = clusters.frame[clusters.frame["cluster"] == row.cluster]
        assert row.nearest == part.loc[part["distance"].idxmin(), "doc_id"]


def test_class_based_tfidf_is_that_of_the_definition():
    texts, classes = ["aa bb aa", "bb cc", "cc cc dd"], np.array([0, 1, 1])
    counts, words = word_counts(texts)
    found = class_tfidf(counts, classes)
    bags = [Counter({"aa": 2, "bb": 1}), Counter({"bb": 1, "cc": 3, "dd": 1})]
    for number, bag in enumerate(bags):
        for column, word in enumerate(words):
            everywhere = bags[0][word] + bags[1][word]
            expected = bag[word] / bag.total() * math.log(1 + 4 / everywhere)
            assert found[number, column] == pytest.approx(expected)


def test_coverage_of_known_choices(planted):
    documents, table, vectors, kinds = planted
    clusters = cluster_documents(table, vectors, 3)
    one_kind = picked(table, [f"d{i}" for i in np.flatnonzero(kinds == 0)[:3]])
    each_kind = picked(table, [f"d{np.flatnonzero(kinds == kind)[0]}" for kind in range(3)])
    found = coverage(clusters, {"one": one_kind, "each": each_kind}, draws=400)
    rows = found.set_index(["selection", "measure"])
    assert rows.loc[("one", "clusters touched"), "value"] == pytest.approx(1 / 3)
    assert rows.loc[("one", "effective clusters"), "value"] == pytest.approx(1)
    assert rows.loc[("each", "clusters touched"), "value"] == 1
    assert rows.loc[("each", "effective clusters"), "value"] == pytest.approx(3)
    # Plain reference: as many documents of each domain, drawn one selection at a time.
    rng = np.random.default_rng(7)
    domains = np.array([document.domain for document in documents])
    sizes = Counter(domains[one_kind["selected"]])
    touched = []
    for _ in range(400):
        chosen = [
            i for d, n in sizes.items() for i in rng.permutation(np.flatnonzero(domains == d))[:n]
        ]
        touched.append(len(set(kinds[chosen])) / 3)
    assert rows.loc[("one", "clusters touched"), "random"] == pytest.approx(
        np.mean(touched), abs=0.06
    )


def test_what_cannot_be_clustered_is_refused(planted):
    _, table, vectors, _ = planted
    with pytest.raises(ValueError, match=r"\(12, width\); got \(11, 8\)"):
        cluster_documents(table, vectors[1:], 3)
    with pytest.raises(ValueError, match="between 2 and the 12 documents, got 13"):
        cluster_documents(table, vectors, 13)
    odd = vectors.copy()
    odd[[4, 9], 0] = np.inf, np.nan
    named = table["doc_id"].iloc[4]
    with pytest.raises(ValueError, match=rf"2 embeddings are not .* document '{named}'"):
        cluster_documents(table, odd, 3)
    clusters = cluster_documents(table, vectors, 3)
    with pytest.raises(ValueError, match="chooses none"):
        coverage(clusters, {"none": picked(table, [])})
    with pytest.raises(ValueError, match="column 'selected'"):
        coverage(clusters, {"plain": pd.DataFrame(table)})
