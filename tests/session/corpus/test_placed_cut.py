"""The cut by any column, laid out by the positions of the ranking by score."""

from __future__ import annotations

import numpy as np
import pandas as pd
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
