"""Changed documents: what is changed is, the rest stays, and the response is a paired mean."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.evaluation.changed_documents import HEADER, KINDS, LENGTHS, paired_response

FIRST = (
    "Tom has four red boxes in his house. Each box of Tom holds eleven books. Later Mia takes two "
    "boxes away. So Tom keeps two boxes now, and Mia has two. That is 22 books for Tom. "
) * 3 + "The end."
SECOND = (
    "We met Zoe where the river bends. It was cold. In the boat of Zoe a lamp was lit, and nobody "
    "slept. When the morning came, Zoe sang about rain. All others were far away by then. "
) * 3 + "So it goes."


def document(text, row=0, domain="a"):
    return wb.Document(f"d{row}", text, domain, "memory", row)


@pytest.fixture(scope="module")
def changed():
    documents = [document(FIRST), document(SECOND, 1)]
    made = wb.counterfactuals(documents)
    assert all(isinstance(entry, wb.Document) for entry in made)
    assert [entry.carried["original"] for entry in made] == ["d0"] * 5 + ["d1"] * 5
    return {(entry.doc_id, entry.carried["counterfactual"]): entry for entry in made}


def test_every_change_keeps_the_length_and_differs(changed):
    for (doc_id, kind), entry in changed.items():
        original = FIRST if doc_id == "d0" else SECOND
        assert entry.text != original
        assert LENGTHS[0] < len(entry.text) / len(original) < LENGTHS[1], kind
    places = {(entry.source, entry.row) for entry in changed.values()}
    assert len(places) == len(changed)


def test_shuffling_keeps_the_sentences(changed):
    parts = re.split(r"(?<=[.!?])\s+", changed["d0", "shuffled"].text)
    assert sorted(parts) == sorted(re.split(r"(?<=[.!?])\s+", FIRST))


def test_swapping_joins_two_documents_of_the_domain(changed):
    text = changed["d0", "swapped"].text
    half = len(FIRST) // 3
    assert text[:half] == FIRST[:half]
    assert text[-half:] in SECOND


def test_renaming_is_one_to_one_and_touches_names_alone(changed):
    words = zip(
        re.findall(r"\w+", FIRST), re.findall(r"\w+", changed["d0", "renamed"].text), strict=True
    )
    pairs = {(old, new) for old, new in words if old != new}
    assert {old for old, _ in pairs} == {"Tom", "Mia"}
    assert len(pairs) == len({new for _, new in pairs}) == 2
    assert all(len(old) == len(new) and new.istitle() for old, new in pairs)


def test_identifiers_of_code_are_renamed_and_keywords_are_not():
    code = "def f(my_rows):\n  for x in my_rows:\n    if x is not None:\n      yield x\n"
    (entry,) = wb.counterfactuals([document(code)], ["renamed"])
    assert "my_rows" not in entry.text
    assert [word for word in ("def", "for", "in", "if", "is", "not", "None", "yield")
            if not re.search(rf"\b{word}\b", entry.text)] == []  # fmt: skip


def test_a_repeated_document_says_its_first_half_twice(changed):
    text = changed["d0", "repeated"].text
    half = len(text) // 2 - 40
    assert text.count(text[:half]) == 2


def test_the_header_stands_in_front(changed):
    text = changed["d0", "header"].text
    assert text.startswith(HEADER)
    assert FIRST.startswith(text.removeprefix(HEADER))


def test_what_cannot_be_formed_has_a_reason():
    skipped = wb.counterfactuals([document("one two three four five six seven eight")])
    reasons = {entry.source.split("/")[0]: getattr(entry, "reason", None) for entry in skipped}
    assert reasons["shuffled"] == "fewer than three different sentences or lines"
    assert "no other document of its domain" in reasons["swapped"]
    assert reasons["renamed"] == "no name or identifier comes twice"
    assert reasons["repeated"] is None
    assert reasons["header"].startswith("shorter than two headers")
    for text in ("", "x", "x" * 2000, "\n\n\n", "é" * 50):
        assert len(wb.counterfactuals([document(text)])) == len(KINDS)


def test_the_same_seed_gives_the_same_texts():
    documents = [document(FIRST), document(SECOND, 1)]
    assert wb.counterfactuals(documents) == wb.counterfactuals(documents)
    assert wb.counterfactuals(documents) != wb.counterfactuals(documents, seed=1)


@pytest.mark.parametrize(("documents", "kinds"), [([], KINDS), ([document(FIRST)], ["upside"]),
                                                  ([document(FIRST)], [])])  # fmt: skip
def test_bad_input_is_refused(documents, kinds):
    with pytest.raises(ValueError, match="counterfactuals need a document, and kinds out of"):
        wb.counterfactuals(documents, kinds)


def table(values, **more):
    return pd.DataFrame({"doc_id": [f"d{i}" for i in range(len(values))], "x": values, **more})


def test_the_response_is_the_mean_of_paired_differences():
    before = table([1.0, 2.0, 4.0, None], y=[1.0, 1.0, 1.0, 1.0])
    after = pd.concat(
        [table([2.0, 4.0, 7.0, 9.0], y=0.0, kind="up"), table([1.0], y=2.0, kind="same")]
    )
    response = wb.paired_response(before, after.iloc[::-1], ["x", "y"])
    (row,) = response.frame.to_dict("records")
    assert (row["kind"], row["column"], row["n"], row["missing"]) == ("up", "x", 3, 1)
    assert row["difference"] == pytest.approx(2.0)
    assert row["standardised"] == pytest.approx(2.0 / np.std([1, 2, 4]))
    assert 1.0 <= row["low"] < 2.0 < row["high"] <= 3.0
    reasons = {(gap.kind, gap.column): gap.reason for gap in response.left_out.itertuples()}
    assert reasons["same", "x"].startswith("1 pairs have a value")
    assert reasons["up", "y"] == "the column is the same for all documents before"
    assert "left out: up, y" in repr(response)
    assert "the column is the same" in response._repr_html_()


def test_the_interval_holds_the_true_change_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for draw in range(200):
        values = rng.normal(size=40)
        after = table(values + 0.3 + rng.normal(size=40), kind="up")
        row = paired_response(table(values), after, ["x"], draws=300, seed=draw).frame.iloc[0]
        held += row["low"] <= 0.3 <= row["high"]
    assert 0.88 < held / 200 < 0.99


def test_a_table_without_the_column_or_with_doubles_is_refused():
    with pytest.raises(ValueError, match="`after` has no column 'kind'"):
        paired_response(table([1.0, 2.0]), table([1.0, 2.0]), ["x"])
    twice = pd.concat([table([1.0, 2.0], kind="up")] * 2)
    with pytest.raises(ValueError, match="must come once"):
        paired_response(table([1.0, 2.0]), twice, ["x"])
