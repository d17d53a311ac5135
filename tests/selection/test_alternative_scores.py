"""Other scores of the same documents, and ways past the confounds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import workbench as wb
from workbench.selection.alternative_scores import BUILT_IN
from workbench.selection.residual import CONTROLLED


@pytest.fixture
def table():
    """Two domains; the score hangs on repetition, and a little on something of its own."""
    rng = np.random.default_rng(0)
    count = 200
    repetition, own = rng.normal(size=count), rng.normal(size=count)
    base = 2.5 - 0.5 * repetition + 0.1 * rng.normal(size=count)
    score = np.exp(0.8 * repetition + 0.4 * own)
    return pd.DataFrame(
        {
            "doc_id": [f"d{i}" for i in range(count)],
            "domain": np.where(np.arange(count) < 150, "code", "math"), "source": "c.jsonl",
            "row": np.arange(count),
            "text_sha256": [f"{i * 7919 % count:064d}" for i in range(count)],
            "tokens": rng.integers(50, 900, count), "predicted": 49, "loss_base": base,
            "loss_ref": base * (1 + score), "score": score,
            "compression_ratio": 0.5 - 0.05 * repetition, "own": own,
        }
    )  # fmt: skip


def test_each_scorer_is_what_it_says(table):
    rows = wb.scorers(table)
    np.testing.assert_allclose(rows["rise"], table["loss_base"] * table["score"])
    assert rows["difference"].tolist() == rows["rise"].tolist()
    stored = table.assign(rise=table["own"])
    assert wb.scorers(stored)["rise"].tolist() == table["own"].tolist()
    np.testing.assert_allclose(np.log(rows["perplexity"]), table["loss_base"])
    assert rows["length"].tolist() == table["tokens"].tolist()
    assert rows["compression"].equals(table["compression_ratio"].rename("compression"))
    assert rows["random"].nunique() == len(table)
    assert list(rows["doc_id"]) == list(table["doc_id"])
    assert set(BUILT_IN) <= set(rows)
    assert "novel" not in rows
    assert (
        wb.scorers(table.assign(score_novel=table["own"]))["novel"].tolist() == rows["own"].tolist()
    )


def test_the_random_score_belongs_to_the_text(table):
    rows = wb.scorers(table)
    mixed = wb.scorers(table.sample(frac=1, random_state=1)).sort_index()
    assert mixed["random"].equals(rows["random"])
    assert not wb.scorers(table, seed=1)["random"].equals(rows["random"])


def test_the_residual_keeps_what_is_the_scores_own(table):
    rows = wb.scorers(table)
    for _, part in rows.groupby("domain"):
        ranks = stats.rankdata(part["score"])
        for name in CONTROLLED:
            left = np.corrcoef(part["residual"], stats.rankdata(part[name]))[0, 1]
            assert abs(left) < 1e-9
        before = abs(stats.spearmanr(part["score"], part["compression_ratio"]).statistic)
        assert before > 0.7
        own = stats.spearmanr(part["residual"], part["own"]).statistic
        assert own > stats.spearmanr(ranks, part["own"]).statistic + 0.2
    few = table[table["row"].isin([0, 1, 2, 150, 151])]
    assert wb.scorers(few)["residual"].isna().all()
    with pytest.raises(ValueError, match="no document has a value of 'residual': no domain has"):
        wb.select(wb.scorers(few), by_score="residual")


def test_pairs_of_scorers(table):
    rows = wb.scorers(table)
    found = wb.compare_scorers(rows, ["score", "random", "own"]).set_index(["one", "other"])
    assert list(found.index.unique()) == [("score", "random"), ("score", "own"), ("random", "own")]
    code = found[found["domain"] == "code"]
    part = rows[rows["domain"] == "code"]
    truth = stats.spearmanr(part["score"], part["own"]).statistic
    assert code.loc[("score", "own"), "spearman"] == pytest.approx(truth)
    low, high = code.loc[("score", "random"), ["low", "high"]]
    assert low < 0 < high
    assert code.loc[("score", "random"), "overlap"] < 0.5
    with pytest.raises(ValueError, match="cannot rank by 'edu'"):
        wb.compare_scorers(rows, ["score", "edu"])
    with pytest.raises(ValueError, match="two scorers or more"):
        wb.compare_scorers(rows, ["score"])


def test_chosen_by_is_the_choice_of_select_with_the_scorer_as_score(table):
    rows = wb.scorers(table).assign(tokens=table["tokens"])
    for name in ("own", "tokens"):
        chosen = wb.chosen_by(rows, name, 0.3, "tokens")
        selected = wb.select(rows, 0.3, "tokens", by_score=name).table
        assert chosen["score"].tolist() == selected[name].tolist()
        pd.testing.assert_frame_equal(chosen.drop(columns="score"), selected.drop(columns="score"))
        assert selected["tokens"].dtype == table["tokens"].dtype


def test_what_one_chooses_alone(table):
    rows = wb.scorers(table)
    alone = wb.selected_only_by(rows, "score", ["own", "random"])
    sets = {
        name: set(chosen.loc[chosen["selected"], "doc_id"])
        for name in ("score", "own", "random")
        for chosen in [wb.select(rows, by_score=name).table]
    }
    assert set(alone["doc_id"]) == sets["score"] - sets["own"] - sets["random"]
    assert len(alone) > 0
    code = alone[alone["domain"] == "code"]
    assert code["score"].is_monotonic_decreasing


def test_a_matched_selection_is_spread_over_the_confound(table):
    found = wb.matched_selection(table, 0.2)
    assert list(found["doc_id"]) == list(table["doc_id"])
    code = found[found["domain"] == "code"]
    counts = code.groupby("stratum")["selected"].agg(["sum", "size"])
    assert counts["sum"].tolist() == [6] * 5
    assert counts["size"].tolist() == [30] * 5
    plain = wb.select(table, 0.2).table
    plain = plain[(plain["domain"] == "code") & plain["selected"]]["compression_ratio"].mean()
    matched = code[code["selected"]]["compression_ratio"].mean()
    whole = code["compression_ratio"].mean()
    assert abs(matched - whole) < 0.2 * abs(plain - whole)
    for _, part in code.groupby("stratum"):
        assert (
            part.loc[part["selected"], "score"].min() > part.loc[~part["selected"], "score"].max()
        )
    crossed = wb.matched_selection(table, 0.2, on=("compression_ratio", "loss_base"), strata=2)
    assert crossed[crossed["domain"] == "code"]["stratum"].nunique() == 4
    with pytest.raises(ValueError, match=r"lacks the columns \['edu'\]"):
        wb.matched_selection(table, on=("edu",))
    with pytest.raises(ValueError, match="two strata"):
        wb.matched_selection(table, strata=1)


def test_statistics_of_selections_side_by_side(table):
    mine, plain = wb.matched_selection(table), wb.select(table).table
    found = wb.selection_statistics({"matched": mine, "plain": plain})
    statistics = found.set_index(["domain", "selection", "statistic"])
    code = plain[(plain["domain"] == "code") & plain["selected"]]["tokens"]
    row = statistics.loc[("code", "plain", "tokens")]
    assert (row["mean"], row["median"]) == (code.mean(), code.median())
    assert row["low"] < row["mean"] < row["high"]
    assert row["documents"] == 30
    assert statistics.loc[("math", "every document", "score"), "documents"] == 50
    assert len(found) == 2 * 3 * 4
    with pytest.raises(ValueError, match="no column 'selected' in plain"):
        wb.selection_statistics({"plain": table})


def test_what_another_scorer_lifts(table):
    rows = wb.scorers(table).assign(down=-table["score"], same=table["score"])
    found = wb.largest_rank_changes(rows, ["down", "same"], top=2)
    code = found[(found["scorer"] == "down") & (found["domain"] == "code")]
    part = table[table["domain"] == "code"].sort_values("score")
    assert code["doc_id"].tolist() == part["doc_id"].tolist()[:2]
    assert code["rank"].tolist() == [1, 2]
    assert code["rank_by_score"].tolist() == [150, 149]
    assert code["rise"].tolist() == [149 / 150, 147 / 150]
    assert (found.loc[found["scorer"] == "same", "rise"] == 0).all()
    assert len(found) == 2 * 2 * 2
    missing = rows.assign(part=rows["score"].where(rows["row"] < 60))
    lifted = wb.largest_rank_changes(missing, ["part"])
    assert (lifted["rise"] == 0).all()  # ranked among the documents that have a value
    with pytest.raises(ValueError, match="top must be at least 1"):
        wb.largest_rank_changes(rows, ["same"], top=0)


def test_the_matched_column_makes_the_matched_choice(table):
    """As a scorer it picks the same documents, where all strata are of one size."""
    found = wb.matched_selection(table)
    chosen = wb.select(found, by_score="matched").table
    chosen = chosen.set_index(["source", "row"])["selected"]
    keys = list(zip(found["source"], found["row"], strict=True))
    assert chosen.loc[keys].tolist() == found["selected"].tolist()
