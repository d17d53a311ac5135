"""The share of a document's n-grams that stand in others, held against a plain count."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.corpus import boilerplate


def plain_shares(documents, n, k, part=lambda document: document.text):
    """The same by sets of tuples of words, all in memory."""

    def grams(text):
        words = re.findall(r"[^\W]+", text.casefold())
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    whole = [grams(document.text) for document in documents]
    measured = [grams(part(document)) for document in documents]
    count = Counter(gram for of_document in whole for gram in of_document)
    return [
        sum(count[gram] - (gram in own) >= k for gram in wanted) / len(wanted) if wanted else np.nan
        for own, wanted in zip(whole, measured, strict=True)
    ]


def made_up(count, seed=0):
    """Documents of few words, so that n-grams recur; some share a header, some are short."""
    rng = np.random.default_rng(seed)
    header = " ".join(f"h{i}" for i in range(20))
    texts = []
    for i in range(count):
        words = [f"w{number}" for number in rng.integers(0, 12, int(rng.integers(1, 60)))]
        texts.append((header + " " if i % 4 == 0 else "") + " ".join(words))
    return [wb.Document(f"d{i}", text, "ab"[i % 2], "made", i) for i, text in enumerate(texts)]


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 3), (3, 2), (13, 2)])
def test_shares_are_those_of_a_plain_count(n, k, monkeypatch):
    monkeypatch.setattr(boilerplate, "_BATCH", 100)  # many batches
    documents = made_up(80)
    result = wb.shared_ngrams(documents, n, k)
    np.testing.assert_allclose(result.frame["share"], plain_shares(documents, n, k))
    assert result.frame["doc_id"].tolist() == [document.doc_id for document in documents]
    assert result.frame["row"].tolist() == list(range(80))
    assert result.frame["domain"].tolist() == ["a", "b"] * 40
    assert result.settings == {"n": n, "k": k, "skipped": 0}


@pytest.mark.slow
def test_real_documents_with_and_without_their_headers():
    def code(headers):
        return wb.environment_corpus(120, domains=["code"], headers=headers, part="start")

    def start(document):
        return document.text[:1500]

    means = {}
    for headers in (True, False):
        documents = code(headers)
        shares = wb.shared_ngrams(documents, part=start).frame["share"]
        np.testing.assert_allclose(shares, plain_shares(documents, 13, 2, start))
        means[headers] = shares.mean()
    assert means[True] > 1.5 * means[False]  # headers are what stands in other files


def test_a_short_document_has_no_share_and_a_reason():
    corpus = [{"text": "three words only"}, {"text": "one " * 5 + "two"}, {"text": ""}]
    result = wb.shared_ngrams(corpus, 4, 1)
    assert result.frame["share"].isna().tolist() == [True, False]
    assert result.frame["reason"].tolist() == ["fewer than 4 words", ""]
    assert result.frame["ngrams"].tolist() == [0, 2]
    assert result.settings["skipped"] == 1
    assert "measured" in repr(result)


def test_copies_count_as_other_documents_and_repetition_does_not():
    text = " ".join(f"w{i}" for i in range(15))
    one_alone = wb.shared_ngrams([{"text": f"{text} {text} {text}"}], 5, 1)
    assert one_alone.frame["share"].tolist() == [0]
    copies = wb.shared_ngrams([{"text": text}] * 3, 5, 2)
    assert copies.frame["share"].tolist() == [1, 1, 1]
    assert wb.shared_ngrams([{"text": text}] * 2, 5, 2).frame["share"].tolist() == [0, 0]


def test_a_piece_is_held_against_the_whole_text_of_others():
    tail = " ".join(f"t{i}" for i in range(20))
    documents = [
        wb.Document(f"d{i}", " ".join(f"w{i}_{j}" for j in range(20)) + " " + tail, "a", "m", i)
        for i in range(3)
    ]
    whole = wb.shared_ngrams(documents, 5, 2)
    np.testing.assert_allclose(whole.frame["share"], 16 / 36)
    start = wb.shared_ngrams(documents, 5, 2, part=lambda document: document.text[:40])
    assert start.frame["share"].tolist() == [0, 0, 0]
    only_tail = wb.shared_ngrams(
        documents, 5, 2, part=lambda document: tail if document.row else document.text
    )
    assert only_tail.frame["share"].tolist() == [pytest.approx(16 / 36), 1, 1]


def test_an_empty_corpus_has_no_rows():
    assert len(wb.shared_ngrams([], 13, 2).frame) == 0


def test_shares_come_to_the_rows_of_a_table():
    documents = made_up(12)
    result = wb.shared_ngrams(documents, 3, 1)
    table = pd.DataFrame({"source": "made", "row": [7, 2, 9]}, index=[3, 1, 2])
    aligned = result.of(table)
    assert aligned.index.tolist() == [3, 1, 2]
    np.testing.assert_array_equal(aligned["share"], result.frame["share"].iloc[[7, 2, 9]])
    with pytest.raises(ValueError, match=r"1 documents .* row 12 of 'made': give"):
        result.of(table.assign(row=[1, 12, 2]))


@pytest.mark.parametrize("wrong", [{"n": 0}, {"k": 0}, {"n": 2.5}, {"k": True}])
def test_numbers_below_one_are_refused(wrong):
    with pytest.raises(ValueError, match="must be a whole number from 1"):
        wb.shared_ngrams([{"text": "a b c"}], **wrong)
