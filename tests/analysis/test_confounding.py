"""What scores go along with: known correlations, and words where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import workbench as wb
from workbench.analysis.confounding import confound_values

NAMES = ["repetition", "loss_base", "tokens", "shared_ngrams"]


def table_of(count=200, seed=0):
    """Two domains; the score hangs on repetition, and a little on something of its own."""
    rng = np.random.default_rng(seed)
    repetition = rng.uniform(0, 0.9, count)
    base = 3 - 2 * repetition + 0.1 * rng.normal(size=count)
    score = np.exp(2 * repetition + 0.3 * rng.normal(size=count))
    return pd.DataFrame(
        {
            "doc_id": [f"d{i}" for i in range(count)],
            "domain": np.where(np.arange(count) < 0.75 * count, "code", "math"),
            "source": "c.jsonl", "row": np.arange(count),
            "text_sha256": [f"{i * 7919 % count:064d}" for i in range(count)],
            "tokens": rng.integers(50, 900, count), "predicted": 1000,
            "predicted_novel": ((1 - repetition) * 1000).astype(int), "loss_base": base,
            "loss_ref": base * (1 + score), "score": score, "compression_ratio": 0.5,
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def table():
    return table_of()


@pytest.fixture(scope="module")
def shared():
    """Shares of boilerplate of the documents of the table; each third one has a header."""
    header = " ".join(f"h{i}" for i in range(20))
    bodies = [" ".join(f"w{i}_{j}" for j in range(10 + i % 7)) for i in range(200)]
    texts = [(header + " " if i % 3 == 0 else "") + body for i, body in enumerate(bodies)]
    return wb.shared_ngrams(
        wb.Document(f"d{i}", text, "code", "c.jsonl", i) for i, text in enumerate(texts)
    )


def test_confounds_are_measured_inside_each_domain(table):
    measured = wb.confounds(table, draws=200).set_index(["domain", "confound"])
    assert len(measured) == 2 * 3
    part = table[table["domain"] == "math"]
    for name, other in (
        ("repetition", 1 - part["predicted_novel"] / 1000), ("loss_base", part["loss_base"]),
        ("tokens", part["tokens"]),
    ):  # fmt: skip
        row = measured.loc[("math", name)]
        assert row["spearman"] == pytest.approx(stats.spearmanr(part["score"], other).statistic)
        assert row["low"] < row["spearman"] < row["high"]
        assert row["documents"] == 50
        assert row["reason"] == ""
    assert measured.loc[("code", "repetition"), "spearman"] > 0.7
    assert measured.loc[("code", "loss_base"), "spearman"] < -0.7
    row = measured.loc[("code", "tokens")]
    assert row["low"] < 0 < row["high"]  # lengths were drawn at random


def test_boilerplate_is_a_confound_of_its_own(table, shared):
    higher = table.assign(score=table["score"] + 10 * (table["row"] % 3 == 0))
    measured = wb.confounds(higher, shared=shared, draws=50).set_index(["domain", "confound"])
    row = measured.loc[("code", "shared_ngrams")]
    lengths = [10 + i % 7 + 20 * (i % 3 == 0) for i in range(200)]
    assert row["documents"] == sum(length >= 13 for length in lengths[:150]) < 150
    assert row["spearman"] > 0.5
    assert list(measured.loc["code"].index) == NAMES
    with pytest.raises(ValueError, match="give shared_ngrams the corpus that was scored"):
        wb.confounds(table.assign(source="other.jsonl"), shared=shared)


def test_repetition_is_that_of_the_scored_tokens(table):
    values = confound_values(table)
    np.testing.assert_allclose(values["repetition"], 1 - table["predicted_novel"] / 1000)
    changed = confound_values(table.assign(tokens=5, compression_ratio=0.1))
    assert changed["repetition"].equals(values["repetition"])


def without_words(measured):
    """Rows in which something is missing, or there without need, and that do not say why."""
    lacking = measured[["spearman", "low", "high"]].isna()
    assert (lacking.all(axis=1) == lacking.any(axis=1)).all()
    return measured[lacking.all(axis=1) != (measured["reason"] != "")]


def test_a_corpus_of_one_document_gets_words(table, shared):
    measured = wb.confounds(table[:1], shared=shared)
    assert measured["confound"].tolist() == NAMES
    assert measured["reason"].str.contains("1 document has a score and a value of").all()
    assert without_words(measured).empty
    every = wb.scorer_confounds(wb.scorers(table[:1]), ["score", "residual"])
    assert set(every["scorer"]) == {"score", "residual"}
    assert every.loc[every["scorer"] == "residual", "reason"].str.startswith("no documents").all()
    assert without_words(every).empty


def test_a_corpus_of_one_domain_is_measured(table):
    measured = wb.confounds(table.assign(domain="all"), draws=50)
    assert measured["domain"].tolist() == ["all"] * 3
    assert (measured["reason"] == "").all()
    assert measured["spearman"].notna().all()


def test_what_does_not_vary_is_said(table, shared):
    level = wb.confounds(table.assign(tokens=5, score=1.0), shared=shared)
    assert (level["reason"] == "the score is the same in all documents").all()
    same = wb.confounds(table.assign(tokens=5), draws=50).set_index(["domain", "confound"])
    assert same.loc[("math", "tokens"), "reason"] == "tokens is the same in all documents"
    assert without_words(same.reset_index()).empty


def test_a_table_of_an_older_run_says_what_it_lacks(table):
    for old in (table.drop(columns="predicted_novel"), table.assign(predicted_novel=np.nan)):
        measured = wb.confounds(old, draws=50).set_index(["domain", "confound"])
        assert "score it anew" in measured.loc[("code", "repetition"), "reason"]
        assert measured.loc[("code", "loss_base"), "reason"] == ""


def test_an_empty_table_has_no_rows(table):
    assert wb.confounds(table[:0]).empty


def test_confounds_of_every_scorer(table, shared):
    rows = wb.scorers(table)
    measured = wb.scorer_confounds(rows, ["score", "length", "residual"], shared=shared)
    measured = measured.set_index(["scorer", "domain", "confound"])["spearman"]
    assert measured[("length", "code", "tokens")] == pytest.approx(1)
    plain = wb.confounds(table, shared=shared).set_index(["domain", "confound"])["spearman"]
    assert measured["score"].to_dict() == plain.to_dict()
    assert abs(measured[("residual", "code", "loss_base")]) < 0.2


def test_the_panel_draws_every_confound_and_says_where_there_is_nothing(table, shared):
    figure = wb.figures.confound_panel(table, shared)
    assert len(figure.data) == 2 * 4
    values = confound_values(table, shared)["shared_ngrams"]
    np.testing.assert_array_equal(
        np.concatenate([trace.x for trace in figure.data if trace.xaxis == "x4"]), values.round(4)
    )
    assert not [note for note in figure.layout.annotations if "no document" in note.text]
    empty = wb.figures.confound_panel(table.drop(columns="predicted_novel"))
    (note,) = [note for note in empty.layout.annotations if "no document" in note.text]
    assert note.xref == "x domain"


def test_a_gap_of_the_matrix_says_why_under_the_pointer(table):
    measured = wb.scorer_confounds(table.assign(tokens=5), ["score", "loss_base"])
    heatmap = wb.figures.confound_matrix(measured).data[0]
    at = list(heatmap.x).index("tokens")
    assert np.isnan(heatmap.z[0][at])
    assert heatmap.customdata[0][at] == "tokens is the same in all documents"
    other = list(heatmap.x).index("loss base")
    assert float(heatmap.customdata[0][other]) == pytest.approx(heatmap.z[0][other], abs=0.01)


def test_the_score_of_random_heads_is_a_confound_where_there_is_one(table):
    assert "random_heads" not in confound_values(table)
    rng = np.random.default_rng(1)
    own = table.assign(rise_controls=table["loss_base"] * rng.uniform(0, 1, len(table)))
    own.loc[own.index[::2], "rise_controls"] = np.nan
    measured = wb.confounds(own, draws=200).set_index(["domain", "confound"])
    row = measured.loc[("code", "random_heads")]
    part = own[(own["domain"] == "code") & own["rise_controls"].notna()]
    assert row["documents"] == len(part) == 75
    expected = stats.spearmanr(part["score"], part["rise_controls"] / part["loss_base"]).statistic
    assert row["spearman"] == pytest.approx(expected)
    assert row["low"] < expected < row["high"]
    without = own.assign(rise_controls=own["rise_controls"].where(own["domain"] == "code"))
    reason = wb.confounds(without).set_index(["domain", "confound"])["reason"]
    assert "no control sets were masked" in reason[("math", "random_heads")]
