"""Rows of a mixture: every document as often as its weight says, and nothing in between."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from support.models import make_tokenizer

from workbench.corpus.document import Document
from workbench.training.data import TokenRows, middle

TOKENIZER = make_tokenizer()
DOCUMENTS = [Document(str(i), chr(97 + i) * (i + 3), "all", "memory", i) for i in range(6)]
END = TOKENIZER.eos_token_id


def documents_of(stream: np.ndarray) -> list[str]:
    """The documents of a stream of whole epochs, spelt out."""
    text = "".join("|" if i == END else TOKENIZER.decode([i]) for i in stream)
    return text.split("|")[:-1]


def epochs(rows: TokenRows, seed: int, tokens: int) -> np.ndarray:
    return np.concatenate(list(islice(rows.rows(seed), -(-tokens // rows.length))))[:tokens]


@pytest.mark.parametrize("weights", [None, [1, 0, 2, 1, 3, 1]])
def test_an_epoch_holds_each_document_as_often_as_its_weight(weights):
    rows = TokenRows(DOCUMENTS, TOKENIZER, 5, weights)
    size = int(rows.tokens)
    twice = epochs(rows, 0, 2 * size)
    first, second = (documents_of(half) for half in (twice[:size], twice[size:]))
    wanted = Counter()
    for document, times in zip(DOCUMENTS, weights or [1] * 6, strict=True):
        wanted[document.text] = times
    assert Counter(first) == +wanted == Counter(second)
    assert first != second  # another order


def test_fractions_come_in_some_epochs():
    rows = TokenRows(DOCUMENTS, TOKENIZER, 4, [1, 1, 1, 1, 1, 0.25])
    stream = epochs(rows, 0, 20_000)
    counts = Counter(documents_of(stream))
    assert counts[DOCUMENTS[5].text] / counts[DOCUMENTS[0].text] == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("start", [0, 1, 7, 40])
def test_rows_can_be_taken_up_anywhere(start):
    rows = TokenRows(DOCUMENTS, TOKENIZER, 7)
    whole = list(islice(rows.rows(3), 60))
    for row, again in zip(whole[start:], rows.rows(3, start), strict=False):
        np.testing.assert_array_equal(row, again)


def test_seeds_and_digests():
    rows = TokenRows(DOCUMENTS, TOKENIZER, 7)
    assert not np.array_equal(epochs(rows, 0, 70), epochs(rows, 1, 70))
    assert rows.digest == TokenRows(DOCUMENTS, TOKENIZER, 9).digest
    assert rows.digest != TokenRows(DOCUMENTS, TOKENIZER, 7, [1, 1, 1, 1, 1, 2]).digest
    assert rows.digest != TokenRows(DOCUMENTS[::-1], TOKENIZER, 7).digest


def test_held_out_rows_are_from_the_middle_of_each_document():
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [letters, letters[:7], "xy", "uvw"]  # with their ends 27, 8, 3 and 4 tokens
    documents = [Document(text, text, "all", "memory", i) for i, text in enumerate(texts)]
    rows = TokenRows(documents, TOKENIZER, 6).middles(2)
    drawn = [TOKENIZER.decode(row).replace(" ", "") for row in rows]
    assert drawn == ["hijklm", "nopqrs", "bcdefg", "xy</s>uvw"]
    assert len(TokenRows(documents, TOKENIZER, 6).middles(1)) == 3


def test_the_middle_of_tokens():
    assert list(middle(range(10), 4)) == [3, 4, 5, 6]
    assert list(middle(range(5), 2)) == [1, 2]
    assert list(middle(range(3), 8)) == [0, 1, 2]


def test_text_that_spells_the_end_is_text():
    rows = TokenRows([Document("a", "x</s>y" * 3, "all", "memory", 0)], TOKENIZER, 4)
    assert (np.concatenate(rows.ids) == END).sum() == 1
