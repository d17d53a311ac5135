"""The columns of a scored corpus: which there are, and which can be chosen by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.session.corpus.scored_corpus import ScoredCorpus


def test_the_columns_are_those_with_a_value(corpus):
    names = {*corpus.numeric_columns}
    assert {"score", "margin", "rank", "tokens", "rise", "mine", "repetition"} <= names
    assert not {"nothing", "note", "row", "doc_id", "excess"} & names
    repetition = 1 - corpus._rows.scores["predicted_novel"] / corpus._rows.scores["predicted"]
    np.testing.assert_allclose(corpus.column("repetition"), repetition)
    assert not {"rank", "margin", "repetition"} & {*corpus.rankings}
    with pytest.raises(ValueError, match="no column of numbers 'note'"):
        corpus.column("note")


def test_the_residual_is_that_of_the_scorer_and_can_be_chosen_by(table):
    corpus = ScoredCorpus(table)
    known = table["compression_ratio"].notna()
    of_text = wb.scorers(table[known]).set_index("row")["residual"]
    shown = pd.Series(corpus.column("residual"), index=corpus._rows.scores["row"])
    np.testing.assert_allclose(shown[of_text.index], of_text)
    assert shown.drop(of_text.index).isna().all()  # compression is one of its controls
    assert "residual" in corpus.rankings
    assert "residual" not in corpus.selection.table
    corpus.cut(0.3, by_score="residual")
    chosen = wb.select(table, 0.3, by_score="residual")
    assert set(corpus.selection.chosen["row"]) == set(chosen.chosen["row"])
    assert corpus.selection.without_value == (~known).sum()
