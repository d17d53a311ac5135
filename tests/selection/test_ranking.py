"""Ranking and choosing: inside domains only, with a stated rule for every tie and rounding."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.selection.ranking import TIE_RULE, select


def scores(rows, **columns):
    """A score table from (domain, score) pairs; further columns replace the made-up ones."""
    domain, score = zip(*rows, strict=True)
    count = len(rows)
    table = pd.DataFrame(
        {
            "doc_id": [f"d{index}" for index in range(count)],
            "domain": domain,
            "source": "a.jsonl",
            "row": range(count),
            "tokens": 10,
            "predicted": 9,
            "loss_base": 2.0,
            "loss_ref": [2.0 + 2.0 * value for value in score],
            "score": np.asarray(score, dtype=float),
            "compression_ratio": 2.5,
            "text_sha256": [f"{index:064x}" for index in range(count)],
        }
    )
    return table.assign(**columns)


def chosen_ids(selection):
    return set(selection.chosen["doc_id"])


def test_ranks_only_inside_each_domain():
    # Every code score is above every reference score: one global ranking would choose code only.
    table = scores([("code", 0.9), ("code", 0.8), ("reference", 0.2), ("reference", 0.1)])
    selection = select(table, 0.5)
    assert chosen_ids(selection) == {"d0", "d2"}
    assert selection.table["rank"].tolist() == [1, 2, 1, 2]
    assert selection.domains["threshold"].tolist() == [0.9, 0.2]


def test_input_order_and_index_do_not_matter():
    table = scores([("a", 0.1), ("b", 0.4), ("a", 0.1), ("b", 0.2), ("a", 0.3)])
    shuffled = table.sample(frac=1, random_state=3).set_index(np.arange(100, 105))
    pd.testing.assert_frame_equal(select(table).table, select(shuffled).table)
    pd.testing.assert_frame_equal(select(table).domains, select(shuffled).domains)


def test_does_not_change_its_input():
    table = scores([("a", 0.1), ("a", 0.4)])
    before = table.copy()
    select(table)
    pd.testing.assert_frame_equal(table, before)


def test_ties_go_by_text_hash_then_source_then_row():
    table = scores(
        [("a", 0.5)] * 5,
        text_sha256=["f" * 64, "e" * 64, "e" * 64, "e" * 64, "0" * 64],
        source=["x", "z", "y", "y", "z"],
        row=[0, 1, 8, 2, 9],
    )
    assert select(table).table["doc_id"].tolist() == ["d4", "d3", "d2", "d1", "d0"]
    for part in ("text_sha256", "source", "row"):
        assert part in TIE_RULE


def test_zero_and_minus_zero_tie():
    table = scores([("a", -0.0), ("a", 0.0)], text_sha256=["0" * 64, "1" * 64])
    assert select(table, 1).table["doc_id"].tolist() == ["d0", "d1"]


def test_ties_at_the_threshold_are_counted():
    selection = select(scores([("a", 0.9), ("a", 0.5), ("a", 0.5), ("a", 0.5)]), 0.5)
    assert selection.domains["ties_at_threshold"].item() == 3
    assert selection.domains["documents_selected"].item() == 2


@pytest.mark.parametrize(
    ("fraction", "documents", "chosen"),
    [
        (0.2, 5, 1),
        (0.07, 100, 7),  # 0.07 * 100 is 7.000000000000001 in floats
        (0.1 + 0.2, 10, 3),
        (1 - 0.9, 10, 1),
        (1 / 3, 3, 1),
        (0.2, 6, 2),
        (0.2, 1, 1),
        (1e-12, 4, 1),
        (1, 4, 4),
    ],
)
def test_chooses_the_ceiling_of_the_fraction(fraction, documents, chosen):
    selection = select(scores([("a", index / 7) for index in range(documents)]), fraction)
    assert len(selection.chosen) == chosen
    assert selection.domains["documents_share"].item() == chosen / documents


def test_tokens_mode_takes_the_shortest_prefix_that_holds_the_share():
    table = scores([("a", 0.9), ("a", 0.8), ("a", 0.7), ("a", 0.6)], tokens=[10, 30, 50, 10])
    assert chosen_ids(select(table, 0.10, by="tokens")) == {"d0"}
    assert chosen_ids(select(table, 0.11, by="tokens")) == {"d0", "d1"}
    assert chosen_ids(select(table, 0.40, by="tokens")) == {"d0", "d1"}
    row = select(table, 0.41, by="tokens").domains.iloc[0]
    assert (row["tokens_selected"], row["tokens_seen"], row["tokens_share"]) == (90, 100, 0.9)
    assert (row["documents_selected"], row["documents_share"]) == (3, 0.75)


def test_exact_duplicates_are_kept_and_counted_inside_the_chosen_of_a_domain():
    same = "a" * 64
    table = scores(
        [("a", 0.9), ("a", 0.9), ("a", 0.8), ("a", 0.1), ("b", 0.9)],
        text_sha256=[same, same, "b" * 64, "b" * 64, same],
    )
    selection = select(table, 0.75)
    assert selection.domains["exact_duplicates_selected"].tolist() == [2, 0]
    assert len(selection.chosen) == 4


def test_keep_one_passes_over_copies_and_takes_the_next_documents():
    same = "a" * 64
    table = scores(
        [("a", 0.9), ("a", 0.8), ("a", 0.7), ("a", 0.6), ("a", 0.5), ("b", 0.4)],
        text_sha256=[same, same, "b" * 64, "c" * 64, "d" * 64, same],
    )
    near = pd.DataFrame({"source": "a.jsonl", "row": [2, 3, 5], "cluster": [7, 7, 7]})
    assert chosen_ids(select(table, 0.6)) == {"d0", "d1", "d2", "d5"}
    selection = select(table, 0.6, duplicates="keep one", clusters=near)
    assert chosen_ids(selection) == {"d0", "d2", "d4", "d5"}  # in b nothing is a duplicate
    found = wb.corpus.NearDuplicates(near, pd.DataFrame(), {})
    same_choice = select(table, 0.6, duplicates="keep one", clusters=found)
    assert chosen_ids(same_choice) == chosen_ids(selection)
    with pytest.raises(TypeError, match=r"clusters are what near_duplicates gave.*got list"):
        select(table, 0.6, clusters=[("a.jsonl", 2, 7)])
    assert selection.table["rank"].tolist() == [1, 2, 3, 4, 5, 1]
    assert selection.domains["duplicates_passed_over"].tolist() == [2, 0]
    assert selection.domains["threshold"].tolist() == [0.5, 0.4]
    row = select(table, 1.0, duplicates="keep one", clusters=near).domains.iloc[0]
    assert (row["documents_selected"], row["documents_share"]) == (3, 0.6)
    reported = select(table, 0.8, clusters=near).domains.iloc[0]
    assert reported[["exact_duplicates_selected", "near_duplicates_selected"]].tolist() == [2, 2]
    assert select(table).domains["near_duplicates_selected"].tolist() == [None, None]


@pytest.mark.parametrize(
    "given_policy",
    [
        {"duplicates": "drop"}, {"cap": 1}, {"duplicates": "keep one", "cap": 1},
        {"duplicates": "cap"}, {"duplicates": "cap", "cap": 0}, {"duplicates": "cap", "cap": 1.5},
    ],
)  # fmt: skip
def test_refuses_an_unclear_policy(given_policy):
    with pytest.raises(ValueError, match=r"duplicates must|cap="):
        select(scores([("a", 0.9)]), **given_policy)


def test_keeps_its_own_copy_of_the_run_record():
    run = {"mode": "uniform", "documents": {"read": 1}}
    selection = select(wb.ScoreTable(scores([("a", 0.9)]), run, []))
    run["documents"]["read"] = 2
    assert selection.run == {"mode": "uniform", "documents": {"read": 1}}
    assert select(scores([("a", 0.9)])).run is None


def test_a_selection_can_be_selected_from_again():
    table = scores([("a", index / 9) for index in range(9)])
    again = select(select(table, 0.2).table, 0.5)
    pd.testing.assert_frame_equal(again.table, select(table, 0.5).table)


def test_shows_the_domains_with_their_names_escaped():
    selection = select(scores([("<script>alert(1)</script>", 0.9)]))
    assert "<script>" not in selection._repr_html_()
    assert "&lt;script&gt;" in selection._repr_html_()
    assert "threshold" in repr(selection)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, math.nan, math.inf, "0.2", None])
def test_refuses_a_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        select(scores([("a", 0.9)]), fraction)


def test_refuses_an_unknown_unit():
    with pytest.raises(ValueError, match="documents"):
        select(scores([("a", 0.9)]), by="bytes")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="score"), "score"),
        (lambda table: table.iloc[:0], "no rows"),
        (lambda table: table.assign(score=[0.1, math.nan]), "not finite"),
        (lambda table: table.assign(score=[0.1, math.inf]), "not finite"),
        (lambda table: table.assign(score=["0.1", "0.2"]), "must hold floats, got .*convert"),
        (lambda table: table.assign(row=[0, 0]), "repeat a"),
        (
            lambda table: table.assign(row=[0.0, 1.5]),
            r"integers.*, got float64 \(first: 0",
        ),
        (
            lambda table: table.assign(tokens=[1, 0]),
            "one token.* with 0.*score them again",
        ),
        (lambda table: table.assign(domain=["a", None]), "source '.*', row 1 has none: leave such"),
        (lambda table: table.assign(source=[1, 2]), r"hold text, got int64 \(first: 1"),
    ],
)
def test_refuses_a_table_that_cannot_be_ranked(change, message):
    with pytest.raises(ValueError, match=message):
        select(change(scores([("a", 0.1), ("a", 0.2)])))


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["code", "math"]),
        st.sampled_from([-0.5, 0.0, 0.25, 0.25000001, 3.0]),
        st.integers(1, 50),
        st.sampled_from(["0" * 64, "1" * 64, "2" * 64]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.integers(1, 100), st.sampled_from(["documents", "tokens"]), st.randoms())
def test_any_order_gives_the_same_shortest_prefix(rows, percent, by, random):
    domain, score, tokens, hashes = map(list, zip(*rows, strict=True))
    table = scores(list(zip(domain, score, strict=True)), tokens=tokens, text_sha256=hashes)
    order = list(range(len(rows)))
    random.shuffle(order)
    selection = select(table, percent / 100, by=by)
    pd.testing.assert_frame_equal(
        selection.table, select(table.iloc[order], percent / 100, by=by).table
    )
    for _, group in selection.table.groupby("domain"):
        size = group["tokens"] if by == "tokens" else pd.Series(1, index=group.index)
        count = int(group["selected"].sum())
        assert group["selected"].tolist() == [True] * count + [False] * (len(group) - count)
        assert group["score"].is_monotonic_decreasing
        held, before = int(size.iloc[:count].sum()), int(size.iloc[: count - 1].sum())
        # in hundredths, so that the comparison is exact
        assert held * 100 >= percent * int(size.sum()) > before * 100


def test_rows_come_in_the_order_of_domain_and_rank():
    table = select(scores([("b", 0.1), ("a", 0.2), ("b", 0.9), ("a", 0.7), ("a", 0.5)])).table
    places = list(zip(table["domain"], table["rank"], strict=True))
    assert places == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]
