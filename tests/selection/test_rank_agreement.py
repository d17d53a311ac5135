"""How far two rankings of the same documents agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import workbench as wb


def table(scores, domain="a", start=0):
    scores = np.asarray(scores, dtype=float)
    rows = np.arange(start, start + len(scores))
    return pd.DataFrame(
        {
            "doc_id": [f"{domain}{i}" for i in rows], "domain": domain, "source": f"{domain}.jsonl",
            "text_sha256": [f"{domain}{i:064d}" for i in rows], "row": rows, "tokens": 10,
            "predicted": 9, "loss_base": 2.0, "loss_ref": 2.0 + scores, "score": scores,
            "compression_ratio": 0.5,
        }
    )  # fmt: skip


def test_agreement_is_counted_inside_each_domain():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=20), rng.normal(size=20)
    left = pd.concat([table(one), table(np.arange(10), "b")])
    right = pd.concat([table(other), table(np.arange(10), "b")]).sample(frac=1, random_state=0)
    found = wb.agreement(left, right, 0.25).set_index("domain")
    best, theirs = set(np.argsort(-one)[:5]), set(np.argsort(-other)[:5])
    assert found["overlap"]["a"] == len(best & theirs) / 5
    assert found["spearman"]["a"] == pytest.approx(stats.spearmanr(one, other).statistic)
    assert found["low"]["a"] < found["spearman"]["a"] < found["high"]["a"]
    assert (found["overlap"]["b"], found["spearman"]["b"]) == (1, pytest.approx(1))
    assert found["chosen"].tolist() == [5, 3]


def test_opposite_rankings_share_nothing():
    found = wb.agreement(table(np.arange(20)), table(-np.arange(20)))
    assert (found["overlap"][0], found["spearman"][0]) == (0, pytest.approx(-1))


def test_where_no_correlation_can_be_formed_it_says_why():
    found = wb.agreement(table(np.arange(20)), table(-np.arange(20)))
    assert found["reason"].tolist() == [""]
    found = wb.agreement(table(np.arange(3)), table(np.arange(3)))
    assert np.isnan(found["spearman"][0])
    assert found["reason"][0] == "3 documents in both; a correlation needs 4"
    found = wb.agreement(table(np.arange(6)), table(np.zeros(6)))
    assert np.isnan(found["spearman"][0])
    assert found["reason"][0] == "the second score is the same in all documents"


def test_only_documents_of_both_count():
    found = wb.agreement(table(np.arange(20)), table(np.arange(15), start=10))
    assert (found["documents"][0], found["left_out"][0]) == (10, 15)
    assert found["overlap"][0] == 1


def test_agreement_along_a_setting():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=200)
    noisy = {n: table(truth + rng.normal(size=200) / n) for n in (8, 1, 2, 64)}
    found = wb.agreement_along(noisy, "probes")
    assert found["probes"].tolist() == [1, 2, 8]
    assert found["spearman"].is_monotonic_increasing
    assert found["overlap"].is_monotonic_increasing
    from workbench.figures.scaling import agreement_curve

    figure = agreement_curve(found)
    assert {trace.name for trace in figure.data} == {"a: overlap", "a: spearman"}
    assert list(figure.data[0].x) == [1, 2, 8]
    assert figure.layout.xaxis.title.text == "probes"
    with pytest.raises(ValueError, match="whose first column is the setting"):
        agreement_curve(wb.agreement(noisy[1], noisy[2]))


def test_tables_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"no document .*\['a.jsonl'\].*same corpus with both"):
        wb.agreement(table([1, 2]), table([1, 2], start=5))
    changed = table([1, 2]).assign(text_sha256=["x", "y"])
    with pytest.raises(ValueError, match="2 documents have another text"):
        wb.agreement(table([1, 2]), changed)
    with pytest.raises(ValueError, match="two settings or more"):
        wb.agreement_along({1: table([1, 2])}, "probes")
