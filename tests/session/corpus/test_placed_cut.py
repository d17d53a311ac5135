"""The cut by any column, laid out by the positions of the ranking by score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.score_tables import random_table

import workbench as wb
from workbench.session.corpus.scored_corpus import ScoredCorpus


def test_another_ranking_keeps_the_positions(corpus, table):
    for name, fraction, by in [("mine", 0.3, "documents"), ("rise", 0.1, "tokens"),
                               ("score", 0.2, "documents")]:  # fmt: skip
        selection = corpus.cut(fraction, by, name)
        expected = wb.select(table, fraction, by, by_score=name)
        pd.testing.assert_frame_equal(selection.table, expected.table)
        assert selection.without_value == expected.without_value
        key = ["source", "row"]
        rows = corpus._rows.placed.merge(
            expected.table, on=key, how="left", suffixes=("", "_expected")
        )
        assert (corpus._rows.scores[key].to_numpy() == rows[key].to_numpy()).all()
        np.testing.assert_array_equal(rows["rank"], rows["rank_expected"])
        assert (rows["selected"] == rows["selected_expected"].eq(True)).all()
        assert set(corpus.selected) == set(np.flatnonzero(rows["selected"]))
        threshold = rows["domain"].map(expected.domains.set_index("domain")["threshold"])
        ranked = rows["rank_expected"].notna()
        np.testing.assert_allclose(rows["margin"][ranked], (rows[name] - threshold)[ranked])
        assert rows["margin"][~ranked].isna().all()


def funnel_of(table, excluded):
    rows = table[["source", "row", "doc_id", "domain", "text_sha256"]].assign(
        terms=3, probability=np.nan, stage="terms", excluded=excluded, reason="3 terms"
    )
    return wb.Funnel(rows, {"terms": 1})


@pytest.mark.parametrize("name", ["score", "rise"])
def test_documents_that_a_funnel_excludes_have_no_rank(corpus, table, tmp_path, name):
    out = np.random.default_rng(0).random(len(table)) < 0.3
    file = funnel_of(table, out).write(tmp_path / "funnel.parquet")
    selection = corpus.cut(0.3, "documents", name, exclude=file)
    expected = wb.select(table, 0.3, by_score=name, exclude=file)
    pd.testing.assert_frame_equal(selection.table, expected.table)
    pd.testing.assert_frame_equal(selection.domains, expected.domains)
    assert selection.exclude.to_json() == expected.exclude.to_json()
    assert selection.without_value == expected.without_value
    left_out = {*table["doc_id"][out]}
    for row in corpus.rows(range(len(table))):
        if row["doc_id"] in left_out:
            assert row["rank"] != row["rank"]  # NaN
            assert not row["selected"]
    ids = {row["doc_id"] for row in corpus.rows(corpus.selected)}
    assert ids == {*expected.chosen["doc_id"]}
    # What is wrong with a file changes nothing, and another file of the same name is read.
    (tmp_path / "other").write_text("no funnel")
    with pytest.raises(ValueError, match="is not the file of a funnel"):
        corpus.cut(0.3, "documents", name, exclude=tmp_path / "other")
    assert corpus.exclude == file
    funnel_of(table, ~out).write(file)
    turned = corpus.cut(0.3, "documents", name, exclude=file)
    assert {*turned.table["doc_id"]} <= left_out
    assert corpus.cut(0.3, "documents", name).exclude is None


def test_a_domain_that_is_left_out_stays_a_domain_of_the_corpus():
    table = random_table(60, seed=3)
    corpus = ScoredCorpus(table)
    domains = corpus.domains
    assert domains == [*corpus.selection.domains["domain"]]
    corpus.cut(exclude=funnel_of(table, table["domain"] == domains[1]))
    assert domains[1] not in {*corpus.selection.domains["domain"]}
    assert corpus.domains == domains
    assert len(corpus.sort_and_filter(domain=domains[1])) == (table["domain"] == domains[1]).sum()


def test_positions_stay_while_the_cut_moves():
    corpus = ScoredCorpus(random_table(100, seed=2))
    ids = [row["doc_id"] for row in corpus.rows(range(100))]
    selected = []
    for fraction in (0.1, 0.9, 0.1):
        selection = corpus.cut(fraction)
        assert corpus.selection is selection
        assert [row["doc_id"] for row in corpus.rows(range(100))] == ids
        selected.append([row["selected"] for row in corpus.rows(range(100))])
        thresholds = dict(selection.domains[["domain", "threshold"]].to_numpy())
        assert all(
            row["margin"] == row["score"] - thresholds[row["domain"]]
            for row in corpus.rows(range(100))
        )
    assert selected[0] == selected[2] != selected[1]
    assert [corpus.position(doc_id) for doc_id in ids] == list(range(100))
