"""Rows in any order and under any filter, against plain Python."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from support.score_tables import random_table

import workbench as wb
from workbench.session.corpus.columns import COLUMNS
from workbench.session.corpus.scored_corpus import ScoredCorpus


def plain(table, by, ascending, domain, contains, only_selected):
    """Ids in the order wanted, by sorting rows of the selection with plain Python keys."""
    keep = table
    if domain is not None:
        keep = keep[keep["domain"] == domain]
    if contains:
        keep = keep[[contains.lower() in doc_id.lower() for doc_id in keep["doc_id"]]]
    if only_selected:
        keep = keep[keep["selected"]]
    keys = keep["distance"] if by == "margin" else keep[by]
    rows = [(key, doc_id) for key, doc_id in zip(keys, keep["doc_id"], strict=True)]
    known = [row for row in rows if row[0] == row[0]]
    rest = [row for row in rows if row[0] != row[0]]
    # sorted is stable in both directions, and the table has the order of domain and rank
    known = sorted(known, key=lambda row: row[0], reverse=not ascending)
    return [doc_id for _, doc_id in [*known, *rest]]


@pytest.mark.parametrize(
    ("count", "fraction", "by"),
    [(1, 0.2, "documents"), (7, 0.5, "tokens"), (300, 0.2, "documents"), (300, 0.07, "tokens"),
     (100_000, 0.2, "documents")],
)  # fmt: skip
def test_every_order_and_filter_is_that_of_plain_python(count, fraction, by):
    table = random_table(count, seed=count)
    corpus = ScoredCorpus(table)
    corpus.cut(fraction, by)
    expected = wb.select(table, fraction, by)
    pd.testing.assert_frame_equal(corpus.selection.table, expected.table)
    pd.testing.assert_frame_equal(corpus.selection.domains, expected.domains)
    thresholds = dict(expected.domains[["domain", "threshold"]].to_numpy())
    distance = expected.table["score"] - expected.table["domain"].map(thresholds)
    whole = expected.table.assign(margin=distance, distance=distance.abs())
    assert corpus.domains == sorted(table["domain"].unique())
    assert len(corpus) == count
    first = table["domain"].iloc[0]
    filters = [(None, "", False), (first, "", True), (None, "DOC.1", False), (first, "é", False),
               (None, ".", True), (None, "no such id", False)]  # fmt: skip
    if count > 1000:
        filters = filters[:2]
    for column in COLUMNS if count <= 1000 else ("rank", "score", "margin", "doc_id"):
        for ascending in (True, False):
            for domain, contains, only in filters:
                found = corpus.sort_and_filter(column, ascending, domain, contains, only)
                wanted = plain(whole, column, ascending, domain, contains, only)
                assert whole["doc_id"].iloc[found].tolist() == wanted
    shown = corpus.rows([0, count - 1])
    for row, position in zip(shown, (0, count - 1), strict=True):
        residual = ["residual"] if count >= 300 else []  # which needs eight documents of a domain
        assert list(row) == [*COLUMNS, "predicted", *residual]
        for name, value in row.items():
            assert type(value) in (str, int, float, bool)
            if name == "residual":  # test_columns.py
                continue
            assert value == whole[name].iloc[position] or value != value
    json.dumps(shown)
    assert corpus.rows([]) == []


def test_ranges_and_places_filter_together(corpus):
    score, mine = corpus.column("score"), corpus.column("mine")
    among = np.arange(100, 400)
    found = corpus.sort_and_filter(
        "mine", ranges={"score": (0.0, 0.5), "mine": (-1, 1)}, among=among
    )
    wanted = [i for i in among if 0 <= score[i] <= 0.5 and -1 <= mine[i] <= 1]
    assert sorted(found) == wanted
    assert (np.diff(mine[found]) >= 0).all()
    assert not len(corpus.sort_and_filter(among=np.array([], dtype=int)))
