"""A run folder: of one fingerprint, held by one run, and whole after whatever goes wrong."""

from __future__ import annotations

import pandas as pd
import pytest
from support.corpora import corpus_of
from support.models import make_model

import workbench as wb


def test_scores_of_other_settings_are_refused_with_the_difference(tiny, heads, tmp_path):
    wb.score_corpus(tiny, heads, corpus_of(4), out=tmp_path)
    other = wb.HeadSet.of([(2, 2)], tiny)
    with pytest.raises(ValueError, match=r"heads: 'L0H1 L1H3' then, 'L2H2' now"):
        wb.score_corpus(tiny, other, corpus_of(4), out=tmp_path)
    with pytest.raises(ValueError, match="mode: 'uniform' then, 'zero' now"):
        wb.score_corpus(tiny, heads, corpus_of(4), out=tmp_path, mode="zero")
    with pytest.raises(ValueError, match="max_tokens: None then, 5 now"):
        wb.score_corpus(tiny, heads, corpus_of(4), out=tmp_path, max_tokens=5)
    with pytest.raises(ValueError, match=r"model\.weights_sha256"):
        wb.score_corpus(make_model(seed=1), heads, corpus_of(4), out=tmp_path)
    table = wb.score_corpus(tiny, other, corpus_of(4), out=tmp_path, overwrite=True)
    assert table.run["heads"]["heads"] == "L2H2"


def test_two_runs_do_not_write_to_one_folder(tiny, heads, tmp_path):
    def corpus():
        yield from corpus_of(2)
        with pytest.raises(RuntimeError, match="another run is writing"):
            wb.score_corpus(tiny, heads, corpus_of(2), out=tmp_path)

    assert len(wb.score_corpus(tiny, heads, corpus(), out=tmp_path)) == 2


def test_the_run_record_holds_no_text_and_no_path(tiny, heads, tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "x", "text": "a secret sentence", "domain": "d"}\n')
    wb.score_corpus(tiny, heads, path, out=tmp_path / "run")
    for file in (tmp_path / "run").rglob("*"):
        if file.is_file():
            assert b"secret" not in file.read_bytes()
            assert str(tmp_path).encode() not in file.read_bytes()


def test_a_refused_call_does_not_spoil_the_folder(tiny, heads, tmp_path):
    foreign = wb.HeadSet(((0, 0),), 30, 9)
    modes = ({"mode": "unifrom"}, {"mode": "mean:nobody"})
    for change in (*modes, {"window": 999}, {"heads": foreign}):
        given = {"heads": heads, **change}
        with pytest.raises(ValueError):  # noqa: PT011
            wb.score_corpus(tiny, corpus=corpus_of(3), out=tmp_path, **given)
    with pytest.raises(TypeError, match="HeadSet"):
        wb.score_corpus(tiny, "L0H1", corpus_of(3), out=tmp_path)
    assert len(wb.score_corpus(tiny, heads, corpus_of(3), out=tmp_path)) == 3


def test_a_call_that_fails_leaves_the_finished_run_as_it_was(tiny, heads, tmp_path):
    first = wb.score_corpus(tiny, heads, corpus_of(6), out=tmp_path, shard_size=4)

    def broken():
        yield from corpus_of(3)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        wb.score_corpus(tiny, heads, broken(), out=tmp_path, shard_size=4)
    pd.testing.assert_frame_equal(wb.load_scores(tmp_path).frame, first.frame)
