"""The cascade: the exact selection from few exact scores, with a risk that holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from support.models import make_model

import workbench as wb
from workbench.corpus.reading import Document
from workbench.selection import cascade
from workbench.selection.cascade import wrong_side
from workbench.selection.ranking import select

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
def exact():
    model = make_model()
    heads = wb.HeadSet.parse("L1H0 L2H1 L2H3", model)
    documents = corpus(150)
    return model, heads, documents, wb.score_corpus(model, heads, documents)


@pytest.mark.parametrize("by", ["documents", "tokens"])
def test_the_chosen_set_is_the_exact_one_at_a_part_of_the_exact_scores(exact, by, monkeypatch):
    monkeypatch.setattr(cascade, "PAYS", 0.0)  # however slow bfloat16 is here
    model, heads, documents, table = exact
    found = wb.select_cascade(model, heads, documents, by=by)
    expected = select(table, 0.2, by)
    assert set(found.selection.chosen["doc_id"]) == set(expected.chosen["doc_id"])
    assert found.risk <= 0.01
    assert found.reason is None
    assert cascade.SAMPLE < found.rescored < len(documents)
    exact = found.selection.table.query("exact").set_index("doc_id")
    pd.testing.assert_series_equal(
        exact["score"],
        table.frame.set_index("doc_id").loc[exact.index, "score"],
        rtol=1e-5,
        atol=1e-6,
    )
    assert f"{found.rescored} of 150 documents scored exactly" in repr(found)
    assert "risk that the chosen set is not the exact one" in repr(found)


def test_where_bfloat16_does_not_pay_everything_is_exact(exact, monkeypatch):
    monkeypatch.setattr(cascade, "PAYS", 1e9)
    model, heads, documents, table = exact
    found = wb.select_cascade(model, heads, documents)
    assert "times as fast on this device" in found.reason
    assert (found.risk, found.rescored) == (0.0, len(documents))
    scores = found.selection.table.set_index("doc_id")["score"]
    exact = table.frame
    np.testing.assert_allclose(scores[exact["doc_id"]], exact["score"], rtol=1e-5, atol=1e-6)


def test_a_model_in_half_precision_is_scored_as_it_is(exact):
    import torch

    model, _, documents, _ = exact
    half = wb.from_transformers(make_model().hf.to(torch.bfloat16), model.tokenizer)
    heads = wb.HeadSet.parse("L1H0", half)
    found = wb.select_cascade(half, heads, documents[:12])
    assert found.reason == "the model is in bfloat16 already"


def test_documents_without_a_score_are_listed_once(exact, monkeypatch):
    monkeypatch.setattr(cascade, "PAYS", 0.0)
    model, heads, documents, _ = exact
    short = [Document(f"s{i}", "x", "a", "short", i) for i in range(30)]
    rows = [{"id": "n", "text": None, "domain": "a"}]
    found = wb.select_cascade(model, heads, [*documents[:40], *short])
    assert sorted(document.doc_id for document in found.skipped) == sorted(
        document.doc_id for document in short
    )
    assert len(found.selection.table) == 40
    with pytest.raises(ValueError, match="holds no document that can be read"):
        wb.select_cascade(model, heads, rows)


def race_over(rng, n: int, uneven: bool) -> tuple[cascade._Race, np.ndarray]:
    """A race over drawn scores in three domains, all known in bfloat16, and the exact scores.

    uneven: the error of a document has heavy tails, and a part that does not fall with length.
    """
    exact = rng.gamma(4, 0.08, n)
    length = rng.integers(60, 2000, n)
    noise = rng.standard_t(5, n) if uneven else rng.normal(size=n)
    floor = 0.008 * rng.normal(size=n) if uneven else 0.0
    cheap = exact + 0.01 + 0.3 * noise / np.sqrt(length) + floor
    race = cascade._Race(wb.HeadSet((), 1, 1), [], None)
    for i in range(n):
        race.cheap[i] = {
            "doc_id": f"d{i}", "domain": "xyz"[i % 3], "source": "drawn", "row": i,
            "text_sha256": f"{i:05d}", "tokens": int(length[i]), "predicted": int(length[i]),
            "loss_base": 1.0, "loss_ref": 1.0, "compression_ratio": 0.5,
            "score": float(np.expm1(cheap[i])),
        }  # fmt: skip
    return race, np.expm1(exact)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["documents", "tokens"])
@pytest.mark.parametrize("uneven", [False, True])
def test_the_stated_risk_covers_what_goes_wrong(uneven, by):
    """Over 150 drawn corpora, sets that differ are no more frequent than their stated risks."""
    rng = np.random.default_rng(1)
    wrong, stated, rescored = 0, 0.0, 0
    for _ in range(150):
        race, exact = race_over(rng, 150, uneven)

        def learn(positions, race=race, exact=exact):
            for i in positions:
                race.exact[i] = {**race.cheap[i], "score": float(exact[i])}

        learn(range(cascade.SAMPLE))  # the order is random already
        while True:
            table, _ = race.table()
            found = select(table, 0.2, by)
            odds = wrong_side(found.table, by)
            if odds.sum() <= 0.05:
                break
            worst = odds.sort_values(ascending=False).index[:4]
            learn([int(i) for i in found.table.loc[worst[odds[worst] > 0], "position"]])
        right = select(table.assign(score=exact), 0.2, by)
        wrong += set(found.chosen["doc_id"]) != set(right.chosen["doc_id"])
        stated += odds.sum()
        rescored += len(race.exact)
    assert wrong <= stated + 2 * np.sqrt(stated)
    assert rescored < 0.75 * 150 * 150


def test_the_spread_and_the_shift_are_those_of_the_documents_scored_both_ways():
    race, exact = race_over(np.random.default_rng(0), 90, uneven=False)
    for i in range(90):
        race.exact[i] = {**race.cheap[i], "score": float(exact[i])}
    known = dict(race.exact)
    del race.exact[7]
    table, error = race.table()
    both = [i for i in range(90) if i != 7]
    change = np.array(
        [np.log1p(known[i]["score"]) - np.log1p(race.cheap[i]["score"]) for i in both]
    )
    length = np.array([known[i]["tokens"] for i in both])
    shift = (change * length).sum() / length.sum()
    assert shift == pytest.approx(-0.01, abs=0.005)
    assert error == pytest.approx(np.sqrt(((change - shift) ** 2).sum() / 88))
    (row,) = table.query("not exact").to_dict("records")
    assert np.log1p(row["score"]) == pytest.approx(np.log1p(race.cheap[7]["score"]) + shift)
    assert row["spread"] >= error


def test_exact_rows_and_domains_without_a_cut_bear_no_risk():
    ranked = pd.DataFrame(
        {
            "domain": ["a", "a", "a", "b"], "score": [0.9, 0.5, 0.49, 0.1],
            "spread": [0.01] * 4, "selected": [True, True, False, True],
            "exact": [False, True, False, False],
        }
    )  # fmt: skip
    odds = wrong_side(ranked)
    assert odds[1] == odds[3] == 0
    assert 0 < odds[0] < 1e-4 < odds[2] < 0.5  # far above the cut, and just below it
    assert wrong_side(ranked, "tokens")[1] == 0
    assert wrong_side(ranked.assign(exact=False), "tokens")[1] == 1  # the last one must be exact


def test_a_document_without_a_score_in_bfloat16_is_scored_exactly(exact, monkeypatch):
    """Its weights overflow half precision's losses only: the loss of one document is not finite."""
    monkeypatch.setattr(cascade, "PAYS", 0.0)
    model, heads, documents, _ = exact
    real, refused = cascade.scored, []

    def scored(with_model, heads, some, *settings):
        for row in real(with_model, heads, some, *settings):
            bad = with_model is not model and row.get("doc_id") == "d9"
            refused.extend([row] * bad)
            yield cascade.Skipped("d9", "b", "memory", 9, "loss is not finite") if bad else row

    monkeypatch.setattr(cascade, "scored", scored)
    found = wb.select_cascade(model, heads, documents[:60])
    assert len(refused) == 1
    assert found.skipped == ()
    assert found.selection.table.set_index("doc_id").loc["d9", "exact"]


def test_bad_input_is_refused(exact):
    model, heads, documents, _ = exact
    with pytest.raises(ValueError, match="confidence must lie between 0 and 1"):
        wb.select_cascade(model, heads, documents, confidence=1)
    with pytest.raises(ValueError, match="no heads to mask"):
        wb.select_cascade(model, wb.HeadSet.of([], model), documents)
    with pytest.raises(ValueError, match="max_tokens must be at least 2, got -5"):
        wb.select_cascade(model, heads, documents, max_tokens=-5)
    short = [Document(f"s{i}", "x", "a", "short", i) for i in range(3)]
    with pytest.raises(ValueError, match="no document could be scored; the first: too short"):
        wb.select_cascade(model, heads, short)
    with pytest.raises(ValueError, match="no reference set 'nobody'"):
        wb.select_cascade(model, heads, documents, mode="mean:nobody")
