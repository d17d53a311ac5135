"""Which part of a long document is read, what it is scored by, and that it can be shown."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.models import make_model

import workbench as wb
from workbench.scoring.passages import GAP, passages, read_text

LONG = " ".join(f"word{i}" for i in range(120))
CORPUS = [
    {"id": "long", "text": LONG, "domain": "a"},
    {"id": "b", "text": "short é", "domain": "a"},
]


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def heads(model):
    return wb.HeadSet.parse("L1H0 L2H3", model)


def test_passages_are_those_of_the_definition():
    assert passages(10, None, "middle") == [(0, 10)]
    assert passages(10, 10, "spread") == [(0, 10)]
    assert passages(10, 4, "start") == [(0, 4)]
    assert passages(11, 4, "middle") == [(3, 7)]
    assert passages(100, 8, "spread") == [(0, 2), (32, 34), (65, 67), (98, 100)]
    assert passages(100, 3, "spread") == [(0, 3)]


@pytest.mark.parametrize("tokens", [9, 40, 41, 1000])
@pytest.mark.parametrize("max_tokens", [2, 5, 8, 39])
def test_spread_passages_hold_as_many_tokens_apart_from_begin_to_end(tokens, max_tokens):
    cut = passages(tokens, max_tokens, "spread")
    assert sum(end - start for start, end in cut) == min(tokens, max_tokens)
    assert all(end - start >= 2 for start, end in cut)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(cut))
    assert cut[0][0] == 0
    assert cut[-1][1] == tokens or len(cut) == 1


@pytest.mark.parametrize("read", ["start", "middle", "spread"])
def test_what_is_scored_is_what_is_shown(model, heads, read):
    table = wb.score_corpus(model, heads, CORPUS, max_tokens=40, read=read)
    ids = model.encode(LONG)
    parts = [ids[start:end] for start, end in passages(len(ids), 40, read)]
    decoded = [model.tokenizer.decode(part) for part in parts]
    shown = table.text(0)
    assert shown == GAP.join(decoded)
    assert table.text(1) == "short é"
    # Each passage is scored as a text of its own.
    alone = wb.token_losses(model, shown.split(GAP), [None, heads])
    base = np.concatenate([pair[0] for pair in alone])
    row = table.frame.iloc[0]
    assert (row["predicted"], row["tokens"]) == (len(base), len(ids))
    assert row["loss_base"] == pytest.approx(base.mean(), rel=1e-4)
    assert table.run["read"] == read


def test_a_character_that_was_read_in_part_is_shown_whole(model, heads):
    corpus = [{"id": "é", "text": "é" * 20, "domain": "a"}]
    assert len(model.encode("é" * 20)) == 40  # bytes
    assert wb.score_corpus(model, heads, corpus, max_tokens=5).text(0) == "é" * 3


def test_a_table_from_files_is_given_its_corpus_again(model, heads, tmp_path):
    wb.score_corpus(model, heads, CORPUS, tmp_path, max_tokens=40, read="middle")
    loaded = wb.load_scores(tmp_path)
    with pytest.raises(ValueError, match="does not hold its corpus"):
        loaded.text(0)
    start, end = map(int, loaded.frame["read"][0].split(":"))
    assert loaded.text(0, CORPUS) == LONG[start:end]
    with pytest.raises(ValueError, match="rows 0 to 1, got 2"):
        loaded.text(2, CORPUS)
    with pytest.raises(ValueError, match="another text"):
        loaded.text(0, [{"id": "long", "text": "other", "domain": "a"}])


def test_the_place_is_in_the_manifest_and_verified(model, heads, tmp_path):
    table = wb.score_corpus(model, heads, CORPUS, tmp_path, max_tokens=40, read="spread")
    wb.write_manifest(wb.select(table, 1.0), tmp_path)
    assert wb.verify_manifest(tmp_path, corpus=CORPUS, model=model, level="scores").ok
    with pytest.raises(ValueError, match="read: 'spread' then, 'middle' now"):
        wb.score_corpus(model, heads, CORPUS, tmp_path, max_tokens=40, read="middle")


def test_ways_that_do_not_exist_and_places_that_are_none_are_named(model, heads):
    with pytest.raises(ValueError, match=r"'start', 'middle' or 'spread'.*got 'end'"):
        wb.score_corpus(model, heads, CORPUS, max_tokens=40, read="end")
    for spans in ("0:9", "a:2", "3", "0:-1"):
        with pytest.raises(ValueError, match="no place in a text of 4 characters"):
            read_text("four", spans)
