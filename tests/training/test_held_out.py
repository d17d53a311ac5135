"""Held-out documents: nothing of them, and nothing like them, is trained on."""

from __future__ import annotations

import re

import numpy as np
import pytest

import workbench as wb
from workbench.corpus.minhash import Sketch


def words(rng, count):
    return [f"w{number}" for number in rng.integers(0, 10_000, count)]


def document(number, text, domain="web", source=None):
    return wb.Document(f"d{number}", text, domain, source or f"f{number}.txt", 0)


@pytest.fixture(scope="module")
def planted():
    """100 documents of their own words, and 20 near-duplicates of every fifth of them, with one
    word of 100 changed, in other files and in another domain."""
    rng = np.random.default_rng(0)
    texts = [words(rng, 100) for _ in range(100)]
    documents = [document(i, " ".join(text)) for i, text in enumerate(texts)]
    for i, text in enumerate(texts[::5]):
        twin = [*text[:40], "changed", *text[41:]]
        documents.append(document(100 + i, " ".join(twin), "mirror"))
    return documents


@pytest.mark.parametrize("seed", range(5))
def test_a_near_duplicate_is_never_on_both_sides(planted, seed):
    parts = wb.held_out_split(planted, 0.2, seed)
    sides = {document.doc_id: side for side in ("training", "held_out")
             for document in getattr(parts, side)}  # fmt: skip
    for i in range(20):
        pair = {sides.get(f"d{5 * i}"), sides.get(f"d{100 + i}")} - {None}
        assert len(pair) <= 1
    drawn_at_random = np.random.default_rng(seed).random(120) < 0.2
    assert any(drawn_at_random[5 * i] != drawn_at_random[100 + i] for i in range(20))


def test_both_parts_are_the_documents_in_order(planted):
    parts = wb.held_out_split(planted, 0.2)
    taken = set(parts.taken_out["doc_id"])
    both = {document.doc_id for document in parts.training + parts.held_out}
    assert len(both) == len(parts.training) + len(parts.held_out)
    assert both | taken == {document.doc_id for document in planted}
    assert not both & taken
    order = [document.doc_id for document in planted]
    for part in (parts.training, parts.held_out):
        assert part == [d for d in planted if d in part]
        assert [order.index(d.doc_id) for d in part] == sorted(order.index(d.doc_id) for d in part)
    domains = parts.domains.set_index("domain")
    assert domains.loc["web"].tolist() == [100, 80, 20, 0, "source"]
    assert "120" not in repr(parts)
    assert f"{len(parts.held_out)} held out" in repr(parts)


def test_a_seed_gives_a_split(planted):
    first, again, other = (wb.held_out_split(planted, 0.2, seed) for seed in (0, 0, 1))
    assert first.held_out == again.held_out != other.held_out
    shuffled = wb.held_out_split(planted[::-1], 0.2)
    assert {d.doc_id for d in shuffled.held_out} == {d.doc_id for d in first.held_out}


def test_a_document_that_holds_much_of_a_training_document_is_taken_out():
    rng = np.random.default_rng(1)
    documents = [document(i, " ".join(words(rng, 400))) for i in range(20)]
    # No near-duplicate of any: 100 of its words stand in the next document, 100 are its own.
    mixed = [
        document(100 + i, " ".join([*documents[i].text.split()[:100], *words(rng, 100)]))
        for i in range(20)
    ]
    parts = wb.held_out_split([*documents, *mixed], 0.3)
    trained = {d.doc_id for d in parts.training}
    assert len(parts.taken_out) > 0
    for row in parts.taken_out.itertuples():
        number = int(row.doc_id[1:])
        assert f"d{(number + 100) % 200}" in trained
        # 88 of the 13-grams are in both texts: of the 188 of the mixed one, or the 388 of the other
        assert row.overlap == pytest.approx(88 / 188)
    kept = wb.held_out_split([*documents, *mixed], 0.3, overlap=0.5)
    assert kept.taken_out.empty


def test_documents_of_one_source_stand_on_one_side():
    rng = np.random.default_rng(2)
    documents = [
        wb.Document(f"d{i}", " ".join(words(rng, 50)), "ab"[i % 2], f"f{i // 4}.txt", i % 4)
        for i in range(80)
    ]
    parts = wb.held_out_split(documents, 0.2)
    sources = [{d.source for d in part} for part in (parts.training, parts.held_out)]
    assert not sources[0] & sources[1]
    assert parts.domains["held_out"].tolist() == [8, 8]
    folder = wb.held_out_split(documents, 0.5, group=lambda d: int(d.source[1:-4]) // 10)
    numbers = [{int(d.source[1:-4]) // 10 for d in part}
               for part in (folder.training, folder.held_out)]  # fmt: skip
    assert sorted(numbers, key=min) == [{0}, {1}]


def test_a_single_file_is_split_by_its_documents():
    rng = np.random.default_rng(3)
    rows = [{"text": " ".join(words(rng, 50))} for _ in range(40)]
    parts = wb.held_out_split(wb.read_corpus(rows), 0.1)
    assert parts.domains.loc[0, ["documents", "held_out", "by"]].tolist() == [40, 4, "document"]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_environment_corpus_is_split_without_a_leak(seed):
    documents = wb.environment_corpus(300)
    parts = wb.held_out_split(documents, 0.2, seed)
    assert set(parts.domains["held_out"] > 0) == {True}
    files = [{re.sub("^environment/[a-z]+/", "", d.source) for d in part}
             for part in (parts.training, parts.held_out)]  # fmt: skip
    assert not files[0] & files[1]
    sketch = Sketch(0.8, 128, 5, "words", seed=0)
    trained = np.stack([sketch.signature(d.text) for d in parts.training])
    for held in parts.held_out:
        assert (trained == sketch.signature(held.text)).mean(axis=1).max() < 0.8


@pytest.mark.parametrize("wrong", [{"share": 0}, {"share": 1.0}, {"overlap": 0}, {"overlap": 1.5}])
def test_shares_out_of_range_are_refused(planted, wrong):
    with pytest.raises(ValueError, match="expected 0 < share < 1 and 0 < overlap <= 1"):
        wb.held_out_split(planted, **wrong)


def test_a_corpus_of_one_text_cannot_be_split():
    copies = [document(i, "the same text again") for i in range(9)]
    with pytest.raises(ValueError, match="none of 9 documents can be held out"):
        wb.held_out_split(copies, 0.2)
    with pytest.raises(ValueError, match="none of 1 documents can be held out"):
        wb.held_out_split(copies[:1], 0.2)
