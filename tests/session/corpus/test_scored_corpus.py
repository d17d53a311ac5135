"""A scored corpus: its extremes, its confounds, its boilerplate, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.run_folders import score_table
from support.score_tables import random_table

import workbench as wb
from workbench.session.corpus.scored_corpus import ScoredCorpus


def test_extremes_are_the_best_the_worst_and_the_nearest_to_their_cut():
    corpus = ScoredCorpus(random_table(200, seed=1))
    corpus.cut(0.3)
    whole = pd.DataFrame(corpus.rows(range(200)))
    for domain in (None, *corpus.domains):
        inside = whole if domain is None else whole[whole["domain"] == domain]
        found = {
            kind: whole.iloc[corpus.extremes(kind, 5, domain)]
            for kind in ("highest", "lowest", "nearest")
        }
        scores = sorted(inside["score"])
        assert found["highest"]["score"].tolist() == scores[::-1][:5]
        assert found["lowest"]["score"].tolist() == scores[:5]
        assert found["nearest"]["margin"].abs().tolist() == sorted(inside["margin"].abs())[:5]
    assert len(corpus.extremes("highest")) == 1
    assert len(corpus.extremes("highest", 999)) == 200


def test_bad_input_is_refused():
    corpus = ScoredCorpus(random_table(20, seed=3))
    before = corpus.selection
    for act, error, message in (
        (
            lambda: corpus.sort_and_filter("size"),
            ValueError,
            "cannot sort by 'size': expected one of doc_id",
        ),
        (
            lambda: corpus.sort_and_filter(domain="x"),
            ValueError,
            "no domain 'x': expected one of .*Math",
        ),
        (
            lambda: corpus.extremes("best"),
            ValueError,
            "'highest', 'lowest' or 'nearest', got 'best'",
        ),
        (lambda: corpus.position("x"), KeyError, "no scored document has the id 'x'"),
        (lambda: corpus.document(20), IndexError, "position 20: expected one of 0 to 19"),
        (lambda: corpus.document(-1), IndexError, "position -1: expected one of"),
        (lambda: corpus.document(0), wb.CorpusError, r"session.load\(folder, corpus\)"),
        (lambda: corpus.cut(0), ValueError, r"in \(0, 1\], got 0"),
        (lambda: corpus.cut(0.2, "bytes"), ValueError, "'documents' or 'tokens', got 'bytes'"),
        (lambda: ScoredCorpus(score_table().iloc[:0]), ValueError, "no rows"),
    ):
        with pytest.raises(error, match=message):
            act()
    assert corpus.selection is before
    assert repr(corpus) == "<ScoredCorpus of 20 documents in 4 domains>"


def test_confounds_are_those_of_the_package_and_of_large_domains_a_sample(corpus, monkeypatch):
    expected = wb.confounds(corpus._rows.scores)
    np.testing.assert_allclose(corpus.confounds["spearman"], expected["spearman"])
    monkeypatch.setattr("workbench.session.corpus.scored_corpus.SAMPLED", 50)
    again = ScoredCorpus(corpus._rows.scores.drop(columns=["rank", "repetition"])).confounds
    assert again["documents"].max() == 50


def test_boilerplate_is_counted_in_what_was_read_and_stands_among_columns_and_confounds(tiny):
    notice = " ".join(f"licence{i}" for i in range(20))
    rows = [
        {
            "id": str(i),
            "text": f"{notice if i < 4 else ''} " + " ".join(f"w{i}x{k}" for k in range(30)),
        }
        for i in range(9)
    ]
    session = wb.Session(tiny, heads="L0H1")
    heard = []
    session.on_change(heard.append)
    corpus = session.score(rows)
    assert "shared_ngrams" not in corpus.numeric_columns
    session.cut(0.5, "documents", "rise")
    session.measure_boilerplate()
    assert heard[-1] == "columns"
    assert corpus.selection.by_score == "rise"  # the cut is where it was
    assert corpus.selection.fraction == 0.5
    shares = corpus.column("shared_ngrams")
    grams = 50 - 13 + 1  # in a text with the notice, of which those inside it stand in others
    for row, share in zip(corpus.rows(range(9)), shares, strict=True):
        assert share == pytest.approx(8 / grams if int(row["doc_id"]) < 4 else 0)
    assert "shared_ngrams" not in corpus.rankings
    (row,) = corpus.confounds[corpus.confounds["confound"] == "shared_ngrams"].to_dict("records")
    spearman = pd.Series(corpus.column("score")).corr(pd.Series(shares), method="spearman")
    assert row["spearman"] == pytest.approx(spearman)
    session.cut()  # selections hold the columns of the run alone
    assert "shared_ngrams" not in corpus.selection.table


def test_only_what_was_read_is_measured_and_without_the_corpus_nothing_is(tiny, tmp_path):
    notice = " ".join(f"licence{i}" for i in range(20))
    rows = [
        {"id": str(i), "text": " ".join(f"w{i}x{k}" for k in range(99)) + " " + notice}
        for i in range(5)
    ]
    corpus = ScoredCorpus.score(
        tiny, wb.HeadSet.parse("L0H1", tiny), rows, tmp_path, max_tokens=200
    )
    corpus.measure_boilerplate()
    assert corpus.column("shared_ngrams").tolist() == [0.0] * 5
    with pytest.raises(wb.CorpusError, match="n-grams cannot be counted"):
        ScoredCorpus.load(tmp_path).measure_boilerplate()
