"""Filters of documents: what passes, in words, and a ranking of those that pass alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.score_tables import random_table

import workbench as wb
from workbench.session.corpus.filters import describe_filters
from workbench.session.corpus.scored_corpus import ScoredCorpus

LOW = [
    (4.8, 0.1),
    (4.8, 0.9),
    (1.0, 0.9),
    (1.0, 0.1),
]  # corners over tokens (of 10 to the) and score
SHAPE = {"across": "tokens", "up": "score", "corners": LOW}
BY_SHAPE = {"domain": "code", "ranges": {"loss_base": (1.5, 2.5)}, "lasso": SHAPE}


def passes(table):
    """BY_SHAPE, in plain words."""
    inside = table["score"].between(0.1, 0.9) & table["tokens"].between(10, 10**4.8)
    return inside & (table["domain"] == "code") & table["loss_base"].between(1.5, 2.5)


def test_a_shape_is_in_the_units_of_its_axes(corpus, table):
    assert corpus.is_wide("tokens")
    found = corpus.sort_and_filter("score", **BY_SHAPE)
    ids = {row["doc_id"] for row in corpus.rows(found)}
    assert ids == {*table["doc_id"][passes(table)]}
    assert 5 < len(ids) < (table["domain"] == "code").sum()
    with pytest.raises(ValueError, match="three corners"):
        corpus.sort_and_filter(lasso={**SHAPE, "corners": LOW[:2]})
    with pytest.raises(ValueError, match="no column of numbers 'note'"):
        corpus.sort_and_filter(lasso={**SHAPE, "up": "note"})


@pytest.mark.parametrize("name", ["score", "mine", "residual"])
def test_those_that_pass_are_ranked_as_a_table_of_them_is(corpus, table, name):
    among = {"ranges": {"loss_base": (1.5, 2.5)}, "contains": "d"}
    selection = corpus.cut(0.3, "tokens", name, among=among)
    kept = table[table["loss_base"].between(1.5, 2.5)]
    expected = wb.select(kept, 0.3, "tokens", by_score=name)
    pd.testing.assert_frame_equal(selection.table, expected.table)
    pd.testing.assert_frame_equal(selection.domains, expected.domains)
    assert selection.without_value == expected.without_value
    rows = corpus.rows(range(len(table)))
    ranked = {row["doc_id"] for row in rows if row["rank"] == row["rank"]}
    assert ranked == {*expected.table["doc_id"]}
    assert {row["doc_id"] for row in rows if row["selected"]} == {*expected.chosen["doc_id"]}
    assert corpus.among == among
    among["contains"] = "something else"  # what was given is nobody else's to change
    assert corpus.among["contains"] == "d"
    whole = corpus.cut(0.3, "tokens", name)
    pd.testing.assert_frame_equal(whole.table, wb.select(table, 0.3, "tokens", by_score=name).table)
    assert corpus.among is None


def test_filters_and_a_funnel_leave_out_together(corpus, table):
    rows = table[["source", "row", "doc_id", "domain", "text_sha256"]].assign(
        terms=3, probability=np.nan, stage="terms", excluded=table["row"] % 3 == 0, reason="3 terms"
    )
    funnel = wb.Funnel(rows, {"terms": 1})
    selection = corpus.cut(exclude=funnel, among={"domain": "code"})
    kept = table[(table["row"] % 3 != 0) & (table["domain"] == "code")]
    pd.testing.assert_frame_equal(selection.table, wb.select(kept).table)


def test_what_cannot_come_before_a_ranking_is_refused_and_changes_nothing(corpus):
    before = corpus.cut(0.4, among={"domain": "code"})
    for among, message in [
        ({"ranges": {"rank": (1, 5), "margin": (0, 1)}}, "rank and margin follow from the ranking"),
        ({"ranges": {"score": (8, 9)}}, "no document passes the filters"),
        ({"range": {"score": (0, 1)}}, "no filter range: expected some of domain, contains"),
        ({"domain": "x"}, "no domain 'x'"),
    ]:
        with pytest.raises(ValueError, match=message):
            corpus.cut(0.4, among=among)
    assert corpus.selection is before
    assert corpus.among == {"domain": "code"}


def test_filters_in_words():
    assert describe_filters({}) == []
    assert describe_filters(
        {"domain": "a\u202eb", "contains": "x\n", **{k: BY_SHAPE[k] for k in ("ranges", "lasso")}}
    ) == [
        r"domain a\u202eb", "'x↵' in the name", "loss_base 1.5 to 2.5",
        "inside a shape drawn over score and tokens",
    ]  # fmt: skip


def test_the_manifest_of_those_that_pass_verifies_and_counts_the_others(tiny, tmp_path):
    texts = [
        {"id": str(i), "text": f"text {i} of {i * i} words " * (1 + i % 5), "domain": "ab"[i % 2]}
        for i in range(48)
    ]
    heads = wb.HeadSet.of([(0, 1), (1, 2)], tiny)
    corpus = ScoredCorpus.score(tiny, heads, texts, tmp_path / "run", max_tokens=30)
    middle = float(np.median(corpus.column("loss_base")))
    among = {"ranges": {"loss_base": (0.0, middle)}}
    corpus.cut(0.5, by_score="residual", among=among)
    assert len(corpus.selection.table) == 24
    corpus.export()
    report = wb.verify_manifest(tmp_path / "run")
    assert report.ok, report
    assert "24" in str(report)


def test_many_documents_are_filtered_as_few():
    table = random_table(5000, seed=1)
    corpus = ScoredCorpus(table)
    corpus.cut(0.2, among={"ranges": {"loss_base": (1.2, 1.4)}})
    pd.testing.assert_frame_equal(
        corpus.selection.table, wb.select(table[table["loss_base"].between(1.2, 1.4)]).table
    )
