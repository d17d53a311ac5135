"""The cascade: the exact selection from few exact scores, with a risk that holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import make_model

import workbench as wb
from workbench import cascade
from workbench.cascade import wrong_side
from workbench.corpus import Document
from workbench.selection import select

WORDS = [
    "the",
    "head",
    "looks",
    "up",
    "a",
    "key",
    "and",
    "copies",
    "what",
    "stands",
    "behind",
    "it",
]


def corpus(n: int, seed: int = 0) -> list[Document]:
    """Texts of 10 to 100 bytes in two domains; some repeat themselves."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(n):
        words = rng.choice(WORDS, int(rng.integers(3, 10)))
        texts.append(" ".join([*words, *words[: int(rng.integers(0, 9))]]))
    return [Document(f"d{i}", t, "ab"[i % 2], "memory", i) for i, t in enumerate(texts)]


@pytest.fixture(scope="module")
def bench():
    model = make_model()
    heads = wb.HeadSet.parse("L1H0 L2H1 L2H3", model)
    documents = corpus(150)
    return model, heads, documents, wb.score_corpus(model, heads, documents)


@pytest.mark.parametrize("by", ["documents", "tokens"])
def test_the_chosen_set_is_the_exact_one_at_a_part_of_the_exact_scores(bench, by, monkeypatch):
    monkeypatch.setattr(cascade, "PAYS", 0.0)  # however slow bfloat16 is here
    monkeypatch.setattr(cascade, "BATCH", 8)
    model, heads, documents, table = bench
    found = wb.select_cascade(model, heads, documents, by=by)
    expected = select(table, 0.2, by)
    assert set(found.selection.chosen["doc_id"]) == set(expected.chosen["doc_id"])
    assert found.risk <= 0.01
    assert found.reason is None
    assert cascade.SAMPLE < found.rescored < len(documents)
    exact = found.selection.table.query("exact").set_index("doc_id")
    pd.testing.assert_series_equal(
        exact["score"], table.set_index("doc_id").loc[exact.index, "score"], rtol=1e-5, atol=1e-6
    )
    assert f"{found.rescored} of 150 documents scored exactly" in repr(found)
    assert "risk that the chosen set is not the exact one" in repr(found)


def test_where_bfloat16_does_not_pay_everything_is_exact(bench, monkeypatch):
    monkeypatch.setattr(cascade, "PAYS", 1e9)
    model, heads, documents, table = bench
    found = wb.select_cascade(model, heads, documents)
    assert "times as fast on this device" in found.reason
    assert (found.risk, found.rescored) == (0.0, len(documents))
    scores = found.selection.table.set_index("doc_id")["score"]
    np.testing.assert_allclose(scores[table["doc_id"]], table["score"], rtol=1e-5, atol=1e-6)


def test_a_model_in_half_precision_is_scored_as_it_is(bench):
    import torch

    model, _, documents, _ = bench
    half = wb.from_transformers(make_model().hf.to(torch.bfloat16), model.tokenizer)
    heads = wb.HeadSet.parse("L1H0", half)
    found = wb.select_cascade(half, heads, documents[:12])
    assert found.reason == "the model is in bfloat16 already"


def test_documents_without_a_score_are_listed_once(bench, monkeypatch):
    monkeypatch.setattr(cascade, "PAYS", 0.0)
    model, heads, documents, _ = bench
    short = [Document(f"s{i}", "x", "a", "short", i) for i in range(30)]
    rows = [{"id": "n", "text": None, "domain": "a"}]
    found = wb.select_cascade(model, heads, [*documents[:40], *short])
    assert sorted(one.doc_id for one in found.skipped) == sorted(one.doc_id for one in short)
    assert len(found.selection.table) == 40
    with pytest.raises(ValueError, match="holds no document that can be read"):
        wb.select_cascade(model, heads, rows)


def drawn(rng, n, error, tail):
    """A corpus of three domains: exact values of log(1 + score), and those of a cheap pass."""
    truth = rng.gamma(4, 0.08, n)
    length = rng.integers(60, 2000, n)
    noise = rng.standard_t(tail, n) if tail else rng.normal(size=n)
    return pd.DataFrame(
        {
            "domain": rng.choice(["x", "y", "z"], n), "predicted": length, "truth": truth,
            "value": truth + error * noise / np.sqrt(length),
        }
    )  # fmt: skip


def choose(frame, column):
    ranked = frame.sort_values(["domain", column], ascending=[True, False], ignore_index=True)
    position = ranked.groupby("domain").cumcount()
    size = np.ceil(0.2 * ranked.groupby("domain")["truth"].transform("size"))
    return ranked.assign(selected=position < size)


@pytest.mark.parametrize("tail", [None, 5])
def test_the_stated_risk_covers_what_goes_wrong(tail):
    """Over 300 drawn corpora, sets that differ are no more frequent than their stated risks."""
    rng = np.random.default_rng(1)
    wrong = stated = rescored = 0
    for _ in range(300):
        frame = drawn(rng, 150, error=0.3, tail=tail).assign(exact=False)
        while True:
            frame["score"] = np.expm1(frame["truth"].where(frame["exact"], frame["value"]))
            ranked = choose(frame, "score")
            odds = wrong_side(ranked, 0.3)
            if odds.sum() <= 0.05:
                break
            ranked.loc[odds.sort_values(ascending=False).index[:4], "exact"] = True
            frame = ranked.drop(columns="selected")
        right = choose(frame, "truth")
        key = ["domain", "truth"]
        chosen = set(map(tuple, ranked[ranked["selected"]][key].to_numpy()))
        wrong += chosen != set(map(tuple, right[right["selected"]][key].to_numpy()))
        stated += odds.sum()
        rescored += int(frame["exact"].sum())
    assert wrong <= stated + 3 * np.sqrt(stated)
    assert 0 < rescored < 0.5 * 300 * 150


def test_exact_rows_and_domains_without_a_cut_bear_no_risk():
    ranked = pd.DataFrame(
        {
            "domain": ["a", "a", "a", "b"], "score": [0.9, 0.5, 0.49, 0.1],
            "predicted": [100, 100, 100, 100], "selected": [True, True, False, True],
            "exact": [False, True, False, False],
        }
    )  # fmt: skip
    odds = wrong_side(ranked, 0.1)
    assert odds[1] == odds[3] == 0
    assert 0 < odds[0] < 1e-3 < odds[2] < 0.5  # far above the cut, and just below it


def test_bad_input_is_refused(bench):
    model, heads, documents, _ = bench
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
        wb.select_cascade(model, heads, documents, confidence=1)
    with pytest.raises(ValueError, match="no heads to mask"):
        wb.select_cascade(model, wb.HeadSet.of([], model), documents)
    with pytest.raises(ValueError, match="'mean' is not scored"):
        wb.select_cascade(model, heads, documents, mode="mean")
