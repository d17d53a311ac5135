"""Frequent words of two selections, and the documents behind a score table."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

import workbench as wb
from workbench.analysis.words import word_counts, word_overlap
from workbench.corpus.reading import text_sha256

STEMS = ("red", "green", "blue", "cyan", "pink", "grey", "teal", "gold", "plum", "rust", "lime",
         "sand", "snow", "coal", "jade", "rose")  # fmt: skip


def corpus_of(count, domain="a", seed=0):
    """Texts whose words lean to one end of STEMS or the other as their number goes up."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        weight = np.exp(-0.5 * ((np.arange(16) - 15 * i / count) / 4) ** 2)
        words = rng.choice(STEMS, size=30, p=weight / weight.sum())
        rows.append(
            wb.Document(f"{domain}{i}", "The " + " ".join(words), domain, f"{domain}.txt", i)
        )
    return rows


def table_of(documents, **scores):
    frame = pd.DataFrame(
        {
            "doc_id": [document.doc_id for document in documents],
            "domain": [document.domain for document in documents],
            "source": [document.source for document in documents],
            "row": [document.row for document in documents],
            "text_sha256": [text_sha256(document.text) for document in documents], "tokens": 30,
            "predicted": 29, "loss_base": 2.0, "loss_ref": 3.0, "score": 0.5,
            "compression_ratio": 0.5,
        }
    )  # fmt: skip
    return frame.assign(**scores)


def plain_overlap(documents, chosen_a, chosen_b, weight, size):
    """The definition, with dictionaries and one text at a time."""

    def words(text):
        found = re.findall(r"[^\W\d_]{2,}", text.lower())
        return [word for word in found if word not in ENGLISH_STOP_WORDS]

    bags = {document.doc_id: Counter(words(document.text)) for document in documents}
    having = Counter(word for bag in bags.values() for word in bag)

    def vector(bag):
        if weight == "tf":
            return dict(bag)
        raw = {w: n * (math.log((1 + len(bags)) / (1 + having[w])) + 1) for w, n in bag.items()}
        length = math.sqrt(sum(value**2 for value in raw.values()))
        return {word: value / length for word, value in raw.items()}

    tops = []
    for ids in (chosen_a, chosen_b):
        total = Counter()
        for doc_id in ids:
            total.update(vector(bags[doc_id]))
        order = sorted(total, key=lambda word: (-round(total[word], 10), word))
        tops.append(order[:size])
    size = min(map(len, tops))
    return len(set(tops[0][:size]) & set(tops[1][:size])) / size


@pytest.mark.parametrize("size", [3, 8, 100])
def test_overlap_is_that_of_the_definition(size):
    documents = corpus_of(20) + corpus_of(11, "b", seed=1)
    rng = np.random.default_rng(2)
    table = table_of(documents, score=rng.normal(size=31), mine=rng.normal(size=31))
    mixed = table.sample(frac=1, random_state=0)
    found = word_overlap(mixed, documents[::-1], "score", "mine", (0.1, 0.5), words=size, draws=3)
    assert len(found) == 2 * 2 * 2
    assert set(zip(found["scorer_a"], found["scorer_b"], strict=True)) == {("score", "mine")}
    for row in found.itertuples():
        ids = []
        for scorer in ("score", "mine"):
            chosen = wb.select(table, row.fraction, by_score=scorer).table
            part = chosen[(chosen["domain"] == row.domain) & chosen["selected"]]
            ids.append(part["doc_id"].tolist())
        here = [document for document in documents if document.domain == row.domain]
        assert row.overlap == plain_overlap(here, *ids, row.weight, size)
        assert row.documents == len(ids[0])
        assert row.shared == len({*ids[0]} & {*ids[1]}) / len(ids[0])


def test_the_same_choice_shares_everything_and_opposite_ends_little():
    documents = corpus_of(60)
    place = np.arange(60.0)
    table = table_of(documents, score=place, down=-place, again=place, random=place * 7 % 13)
    same = word_overlap(table, documents, "score", "again", words=6)
    assert set(same["overlap"]) == {1.0}
    assert set(same["shared"]) == {1.0}
    far = word_overlap(table, documents, "score", "down", (0.2,), words=6)
    assert (far["overlap"] < far["low"]).all()  # below what chance gives
    assert not set(far["only_a"].iloc[0].split()) & set(far["only_b"].iloc[0].split())


def test_the_reference_is_the_overlap_of_random_choices():
    documents = corpus_of(40)
    rng = np.random.default_rng(1)
    inside = []
    for seed in range(25):
        values = {"score": rng.normal(size=40), "other": rng.normal(size=40)}
        table = table_of(documents, **values)
        row = word_overlap(
            table, documents, "score", "other", (0.2,), words=6, draws=50, seed=seed
        ).iloc[0]
        inside.append(row["low"] <= row["overlap"] <= row["high"])
    assert np.mean(inside) > 0.85


def test_a_domain_that_a_scorer_says_nothing_about_has_no_overlap():
    documents = corpus_of(20) + corpus_of(5, "b", seed=1)
    rng = np.random.default_rng(0)
    table = table_of(documents, score=rng.random(25), mine=[*rng.random(20), *[np.nan] * 5])
    found = word_overlap(table, documents, "mine", "score", (0.5,), draws=3).set_index("domain")
    assert found.loc["b", ["overlap", "random", "shared"]].isna().all(axis=None)
    assert found.loc["a", "overlap"].notna().all()


def test_words_are_runs_of_letters():
    counts, words = word_counts(["The max_tokens2 été MAX x 42", "Ünder_the max"])
    assert words.tolist() == ["max", "tokens", "été", "ünder"]
    assert counts.toarray().tolist() == [[2, 1, 1, 0], [1, 0, 0, 1]]
    assert "the" in word_counts(["the end"], stop_words=None)[1]
    with pytest.raises(ValueError, match="no word of two letters"):
        word_counts(["1 2 3", "a"])


def test_settings_that_compare_nothing_are_refused():
    documents = corpus_of(5)
    table = table_of(documents, random=0.5)
    for wrong in ({"words": 0}, {"draws": 0}, {"fractions": ()}):
        with pytest.raises(ValueError, match="one or more"):
            word_overlap(table, documents, **wrong)
    with pytest.raises(ValueError, match="cannot rank by 'edu'"):
        word_overlap(table, documents, "score", "edu")


# ---- the documents behind a table --------------------------------------------------------------


def test_documents_come_in_the_order_of_the_table():
    documents = corpus_of(9)
    table = table_of(documents).iloc[[4, 0, 7]]
    assert [document.doc_id for document in wb.documents_of(table, documents)] == ["a4", "a0", "a7"]
    rows = [{"id": f"a{i}", "body": document.text} for i, document in enumerate(documents)]
    read = list(wb.read_corpus(rows, text="body"))
    found = wb.documents_of(table_of(read).iloc[[2, 1]], rows, text="body")
    assert found == [read[2], read[1]]


def test_another_corpus_than_the_scored_one_is_refused():
    documents = corpus_of(5)
    table = table_of(documents)
    with pytest.raises(ValueError, match="1 rows of the table have no document"):
        wb.documents_of(table, documents[:-1])
    changed = wb.Document("a2", "another text", "a", "a.txt", 2)
    with pytest.raises(ValueError, match="'a2' has another text"):
        wb.documents_of(table, [*documents[:2], changed, *documents[3:]])
