"""The planted world: what its documents are made of, and that a decoder can be trained in it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

import workbench as wb
from workbench.training.planted_documents import IS, MARKS, SAY, planted_kinds

VARIANTS = ("literal", "new_contexts", "programs")


def of_kind(documents, kind):
    return [d.text.split() for d, own in zip(documents, planted_kinds(documents), strict=True)
            if own == kind]  # fmt: skip


@pytest.fixture(scope="module", params=VARIANTS)
def world(request):
    return request.param, wb.planted_world(400, request.param, seed=3)


def test_the_kinds_have_their_shares_and_all_documents_one_length(world):
    _, documents = world
    assert Counter(planted_kinds(documents)) == {
        "lookup": 40, "repetition": 60, "boilerplate": 60, "bigram": 240,
    }  # fmt: skip
    assert {len(d.text.split()) for d in documents} == {64}
    assert len({d.doc_id for d in documents}) == 400
    assert [d.row for d in documents] == list(range(400))
    assert planted_kinds(documents[:8]) != sorted(planted_kinds(documents[:8]))


def test_no_answer_repeats_a_bigram_except_in_literal_lookups(world):
    variant, documents = world
    repeats = 0
    for words in of_kind(documents, "lookup"):
        bigrams = list(pairwise(words))
        for i, bigram in enumerate(bigrams):
            asked = bigram[0] in MARKS if variant == "new_contexts" else words[i - 1] == SAY
            answers = variant == "literal" or (asked and i > 1)
            repeats += answers and bigram in bigrams[:i]
    assert (repeats > 0) == (variant == "literal")


def test_answers_are_the_values():
    for words in of_kind(wb.planted_world(100, "new_contexts"), "lookup"):
        values = dict(zip(words[:12:2], words[1:12:2], strict=True))
        asked = [i for i, word in enumerate(words[:-1]) if word in MARKS]
        assert len(asked) > 15
        assert all(words[i + 1] == values[words[i - 1]] for i in asked)
        contexts = [(words[i], words[i + 1]) for i in asked]
        assert len(set(contexts)) == len(contexts)
    hops = Counter()
    for words in of_kind(wb.planted_world(100, "programs"), "lookup"):
        values, direct = {}, set()
        for i, word in enumerate(words[:-2]):
            if word == IS and i:
                name, value = words[i - 1], words[i + 1]
                values[name] = values.get(value, value)
                direct |= {name} if value not in values else set()
            if word == SAY:
                assert words[i + 2] == values[words[i + 1]]
                hops[words[i + 1] in direct] += 1
    assert hops[True] > 20
    assert hops[False] > 20


def test_repetition_and_boilerplate_are_what_they_are_called():
    documents = wb.planted_world(400)
    for words in of_kind(documents, "repetition"):
        assert any(words[size:] == words[:-size] for size in range(8, 17))
    texts = of_kind(documents, "boilerplate")
    others = of_kind(wb.planted_world(400, seed=1), "boilerplate")  # the same four, other slips
    for words in texts[:20]:
        shared = max(sum(a == b for a, b in zip(words, o, strict=True)) for o in others)
        assert shared > 50
    assert len({tuple(words) for words in texts}) > 40


def test_the_same_seed_gives_the_same_world(world):
    variant, documents = world
    assert wb.planted_world(400, variant, seed=3) == documents
    assert wb.planted_world(400, variant, seed=4) != documents


def test_a_selector_learns_the_language_and_is_probed_in_it():
    """Few steps: bigram text and boilerplate are learnt first; heads that copy come later."""
    training = wb.planted_selector(
        "programs", decoder=wb.Decoder(1, 32, 2, context=64), steps=40, documents=600
    )
    loss = training.history["loss"]
    assert loss.iloc[-1] < loss.iloc[0] - 0.5
    for variant in VARIANTS:
        probes = wb.planted_probes(training.model, variant, n=4)
        for probe in probes.items:
            (start, stop), (first, last) = probe.answer, probe.value
            assert probe.ids[start:stop] == probe.ids[first:last]
        assert len(wb.retrieval_scores(training.model, probes, bootstrap=1).frame) == 2
    assert probes.items == wb.planted_probes(training.model, "programs", n=4).items


def test_bad_input_is_refused(tiny):
    for arguments in ({"n": 0}, {"n": 4, "lookups": 1.2}, {"n": 4, "words": 14}):
        with pytest.raises(ValueError, match="a planted world has 1 document or more"):
            wb.planted_world(**arguments)
    with pytest.raises(ValueError, match="variant must be one of literal, new_contexts, programs"):
        wb.planted_world(4, "riddles")
    with pytest.raises(ValueError, match="train the model with planted_tokenizer"):
        wb.planted_probes(tiny, "programs")
    with pytest.raises(ValueError, match="2 documents are of no planted world"):
        planted_kinds([wb.Document(f"d{i}", "a", "b", "c", i) for i in range(2)])
