"""Selectors of different size on the same corpus."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.models import make_model

import workbench as wb
from workbench.selection.selector_comparison import compare_selectors, merge_score_tables


@pytest.fixture(scope="module")
def tables():
    """Two tiny models, each with heads of its own, on the same texts."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "id": f"d{i}", "domain": "ab"[i % 2],
            "text": " ".join(rng.choice(["one", "two", "three"], int(rng.integers(3, 15)))),
        }
        for i in range(20)
    ]  # fmt: skip
    documents = list(wb.read_corpus(rows))
    found = {}
    for name, architecture, seed in (("small", "llama", 0), ("large", "qwen3", 1)):
        model = make_model(architecture, seed=seed)
        heads = wb.HeadSet.parse("L0H1 L1H2", model)
        found[name] = wb.score_corpus(model, heads, documents)
    return found


def test_selectors_side_by_side_are_scorers(tables):
    joined = merge_score_tables(tables)
    for name, table in tables.items():
        column = joined.set_index("doc_id")[name]
        assert column.to_dict() == table.frame.set_index("doc_id")["score"].to_dict()
    pair = wb.compare_scorers(joined, ["small", "large"])
    agreed = wb.agreement(tables["small"], tables["large"])
    pd.testing.assert_frame_equal(pair[agreed.columns], agreed)
    small, large = tables["small"].frame.iloc[:7], tables["large"].frame.iloc[5:]
    part = merge_score_tables({"small": small, "large": large})
    assert len(part) == len(set(small["doc_id"]) & set(large["doc_id"]))


def test_what_the_larger_selector_picks_and_how_long_it_is(tables):
    found = compare_selectors(tables, 0.3).set_index("domain")
    assert set(found["one"]) == {"small"}
    for domain in "ab":
        picks = {}
        for name, table in tables.items():
            part = table.frame[table.frame["domain"] == domain]
            part = part.sort_values("score", ascending=False)
            picks[name] = part.head(3).set_index("doc_id")["tokens"]
        row = found.loc[domain]
        alone = picks["large"].drop(picks["small"].index, errors="ignore")
        assert row["tokens_one"] == pytest.approx(picks["small"].mean())
        assert row["tokens_other"] == pytest.approx(picks["large"].mean())
        assert row["longer"] == pytest.approx(picks["large"].mean() - picks["small"].mean())
        assert row["longer_low"] <= row["longer"] <= row["longer_high"]
        np.testing.assert_equal(row["tokens_alone"], alone.mean() if len(alone) else np.nan)
        assert row["overlap"] == (3 - len(alone)) / 3


def test_the_same_selector_twice_is_no_longer(tables):
    found = compare_selectors({"a": tables["small"], "b": tables["small"]})
    assert found["overlap"].tolist() == [1, 1]
    assert found[["longer", "longer_low", "longer_high"]].to_numpy().tolist() == [[0, 0, 0]] * 2
    assert found["tokens_alone"].isna().all()


def test_the_interval_holds_a_known_difference():
    """One selector goes by length, the other by chance: the first chooses longer documents."""
    rng = np.random.default_rng(1)
    tokens = rng.integers(10, 1000, 200)
    table = pd.DataFrame(
        {
            "doc_id": [str(i) for i in range(200)], "domain": "a", "source": "c", "row": range(200),
            "text_sha256": [f"{i:064d}" for i in range(200)], "tokens": tokens, "predicted": 9,
            "loss_base": 2.0, "loss_ref": 3.0, "score": rng.random(200), "compression_ratio": 0.5,
        }
    )  # fmt: skip
    row = compare_selectors({"a": table, "b": table.assign(score=tokens / 1000.0)}).iloc[0]
    assert row["longer"] > 300
    assert row["longer_low"] > 0
    again = compare_selectors({"a": table, "b": table.assign(score=rng.random(200))}).iloc[0]
    assert again["longer_low"] < 0 < again["longer_high"]


def test_tables_that_do_not_belong_together(tables):
    small = tables["small"].frame
    with pytest.raises(ValueError, match="two tables or more, got 1"):
        merge_score_tables({"a": small})
    with pytest.raises(ValueError, match="give the selectors other names"):
        merge_score_tables({"score": small, "b": small})
    changed = small.assign(text_sha256=["x", *small["text_sha256"][1:]])
    with pytest.raises(ValueError, match="1 documents have another text in the table of 'b'"):
        merge_score_tables({"a": small, "b": changed})
    with pytest.raises(ValueError, match=r"table of 'b' has no document .*same corpus with both"):
        merge_score_tables({"a": small.iloc[:3], "b": small.iloc[5:]})
