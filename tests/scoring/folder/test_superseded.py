"""Scores that are set aside: of edited texts, and taken back when they are asked for again."""

from __future__ import annotations

import pyarrow.parquet as pq
from support.corpora import corpus_of

import workbench as wb


def test_a_changed_text_is_scored_anew(tiny, heads, tmp_path):
    corpus = corpus_of(8)
    first = wb.score_corpus(tiny, heads, corpus, out=tmp_path, shard_size=4)
    corpus[5] = {**corpus[5], "text": "another text altogether"}
    second = wb.score_corpus(tiny, heads, corpus, out=tmp_path, shard_size=4)
    assert second.frame["score"][5] != first.frame["score"][5]
    assert len(second) == 8


def test_the_score_folder_holds_every_document_once(tiny, heads, tmp_path):
    wb.score_corpus(tiny, heads, corpus_of(10), out=tmp_path, shard_size=4)
    wb.score_corpus(tiny, heads, corpus_of(11), out=tmp_path, shard_size=4)
    rows = pq.read_table(tmp_path / "scores")["doc_id"].to_pylist()
    assert sorted(rows) == sorted(f"d{i}" for i in range(11))


def test_what_was_set_aside_is_taken_back_and_not_scored_again(tiny, heads, tmp_path):
    before = corpus_of(8)
    edited = [*before[:7], {**before[7], "text": "another text"}]
    wb.run_scoring(tiny, heads, before, tmp_path, shard_size=4)
    scores = {path.name: path.read_bytes() for path in (tmp_path / "scores").iterdir()}
    report = wb.run_scoring(tiny, heads, edited, tmp_path, shard_size=4)
    assert (report.kept, report.set_aside_shards, report.set_aside_documents) == (1, 1, 4)
    (aside,) = (tmp_path / "superseded" / "scores").iterdir()
    assert aside.read_bytes() == scores[aside.name]
    report = wb.run_scoring(tiny, heads, before, tmp_path, shard_size=4)
    assert (report.kept, report.set_aside_shards) == (2, 1)
    assert {path.name: path.read_bytes() for path in (tmp_path / "scores").iterdir()} == scores
