"""Scoring a corpus: the formula, the skips, the stream, and taking up a run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from faults.gate import Gate, environment
from support.corpora import corpus_of
from support.models import make_model
from support.paths import TESTS

import workbench as wb
from workbench.corpus.reading import text_sha256
from workbench.scoring.influence import compression_ratio

COLUMNS = [
    "doc_id", "domain", "source", "row", "tokens", "predicted", "read", "loss_base", "loss_ref",
    "score", "rise", "predicted_novel", "loss_base_novel", "loss_ref_novel", "score_novel",
    "contrast", "rise_controls", "spread_controls", "excess", "excess_relative",
    "compression_ratio", "text_sha256",
]  # fmt: skip


def test_the_score_is_the_relative_rise_of_the_mean_token_loss(tiny, heads):
    table = wb.score_corpus(tiny, heads, corpus_of(6))
    assert list(table.frame.columns) == COLUMNS
    for row, document in zip(table.frame.itertuples(), corpus_of(6), strict=True):
        base, ref = wb.token_losses(tiny, [document["text"]], [None, heads])[0]
        assert row.doc_id == document["id"]
        assert row.tokens == len(tiny.encode(document["text"]))
        assert row.predicted == len(base)
        assert row.loss_base == pytest.approx(base.mean(), rel=1e-6)
        assert row.loss_ref == pytest.approx(ref.mean(), rel=1e-6)
        assert row.score == pytest.approx((ref.mean() - base.mean()) / base.mean(), rel=1e-4)
        assert row.text_sha256 == text_sha256(document["text"])
    assert table.frame["score"].abs().max() > 1e-3


def test_long_documents_are_weighted_by_tokens_over_their_windows(tiny, heads):
    text = "a longer document, " * 20
    table = wb.score_corpus(tiny, heads, [{"id": "x", "text": text, "domain": "d"}], window=50)
    base = wb.token_losses(tiny, [text], window=50)[0][0]
    assert table.frame["predicted"].item() == len(base)
    assert table.frame["loss_base"].item() == pytest.approx(base.astype(float).mean(), rel=1e-9)


def test_every_document_read_is_scored_or_skipped_with_its_reason(tiny, heads, tmp_path):
    lines = [
        {"id": "good", "text": "this one is fine", "domain": "d"},
        {"id": "empty", "text": "", "domain": "d"},
        {"id": "one token", "text": "a", "domain": "d"},
        {"id": "null", "text": None, "domain": "d"},
        {"id": "number", "text": 3, "domain": "d"},
        {"id": "good", "text": "its id is that of another", "domain": "d"},
        {"id": "also good", "text": "and so is this", "domain": "d"},
    ]
    path = tmp_path / "corpus.jsonl"
    raw = "\n".join(map(json.dumps, lines)).encode() + b'\n{"id": "bytes", "text": "\xff"}\nnope\n'
    path.write_bytes(raw)
    table = wb.score_corpus(tiny, heads, path, out=tmp_path / "run", shard_size=2)
    assert list(table.frame["doc_id"]) == ["good", "good", "also good"]
    skipped = table.skipped
    assert table.run["documents"] == {"read": 9, "scored": 3, "skipped": 6}
    assert sorted([*table.frame["row"], *(row["row"] for row in skipped)]) == list(range(9))
    reasons = " | ".join(row["reason"] for row in skipped)
    for word in ("empty", "too short", "null", "int", "UTF-8", "JSON"):
        assert word in reasons, (word, reasons)


def test_a_loss_that_is_not_a_number_is_skipped_not_ranked(heads):
    model = make_model()
    model.hf.model.embed_tokens.weight.data[model.encode("~")[0]] = float("nan")
    table = wb.score_corpus(
        model, heads, [{"id": "bad", "text": "one ~ two"}, {"id": "ok", "text": "one two"}]
    )
    assert list(table.frame["doc_id"]) == ["ok"]
    assert "not finite" in table.skipped[0]["reason"]


def test_without_a_folder_the_same_numbers_come_back(tiny, heads, tmp_path):
    kept = wb.score_corpus(tiny, heads, corpus_of(9), out=tmp_path, shard_size=4)
    loose = wb.score_corpus(tiny, heads, corpus_of(9))
    pd.testing.assert_frame_equal(kept.frame, loose.frame)
    assert loose.run["receipts_file"] is None
    pd.testing.assert_frame_equal(kept.frame, wb.load_scores(tmp_path).frame)


def test_a_second_call_scores_nothing_again_and_changes_no_byte(
    tiny, heads, tmp_path, nothing_scored
):
    first = wb.score_corpus(tiny, heads, corpus_of(9), out=tmp_path, shard_size=4)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    nothing_scored(tiny, heads)
    again = wb.score_corpus(tiny, heads, corpus_of(9), out=tmp_path, shard_size=4)
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == before


def test_documents_added_at_the_end_leave_full_shards_alone(tiny, heads, tmp_path):
    wb.score_corpus(tiny, heads, corpus_of(8), out=tmp_path, shard_size=4)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    grown = wb.score_corpus(tiny, heads, corpus_of(10), out=tmp_path, shard_size=4)
    assert list(grown.frame["doc_id"]) == [f"d{i}" for i in range(10)]
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("damage", ["empty", "truncated", "bit"])
def test_a_damaged_shard_is_scored_again(tiny, heads, tmp_path, damage):
    first = wb.score_corpus(tiny, heads, corpus_of(8), out=tmp_path, shard_size=4)
    victim = sorted(tmp_path.rglob("part-*.parquet"))[0]
    whole = victim.read_bytes()
    at = whole.index(b"d2") if b"d2" in whole else len(whole) // 3
    broken = {
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "bit": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
    }[damage]
    victim.write_bytes(broken)
    with pytest.raises(ValueError, match="changed since"):
        wb.load_scores(tmp_path)
    again = wb.score_corpus(tiny, heads, corpus_of(8), out=tmp_path, shard_size=4)
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert victim.read_bytes() == whole


def test_an_interrupted_run_keeps_its_shards_and_goes_on(tiny, heads, tmp_path):
    def stopped():
        yield from corpus_of(9)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wb.score_corpus(tiny, heads, stopped(), out=tmp_path, shard_size=4)
    assert len(list(tmp_path.rglob("part-*.parquet"))) == 2
    with pytest.raises(ValueError, match="not finished"):
        wb.load_scores(tmp_path)
    with wb.masked(tiny, heads):  # the model was left clean
        pass
    table = wb.score_corpus(tiny, heads, corpus_of(12), out=tmp_path, shard_size=4)
    assert list(table.frame["doc_id"]) == [f"d{i}" for i in range(12)]


SCORING = """
import sys, workbench as wb
from support.models import make_model
model = make_model()
heads = wb.HeadSet.of([(0, 1), (1, 3)], model)
corpus = [{"id": f"d{i}", "text": f"document {i} " * 30, "domain": "d"} for i in range(40)]
wb.score_corpus(model, heads, corpus, out=sys.argv[1], shard_size=4)
"""


def test_a_killed_process_loses_at_most_its_last_shard(tmp_path):
    here, gate = TESTS, Gate(tmp_path / "gate", at=3)
    command = [sys.executable, "-c", SCORING, str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=here, env=os.environ | environment(**gate.faults))
    gate.wait(by=[process])  # it is about to publish its third receipt
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("part-*.json")}
    assert len(done) == 2
    subprocess.run(command, cwd=here, check=True, capture_output=True)
    table = wb.load_scores(tmp_path / "run")
    assert list(table.frame["doc_id"]) == [f"d{i}" for i in range(40)]
    assert {p: p.stat().st_mtime_ns for p in done} == done
    assert not list((tmp_path / "run").rglob("*.tmp*"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_documents(tiny, heads, tmp_path):
    def peak(count):
        stream = ({"id": str(i), "text": f"{i} " * 20_000, "domain": "d"} for i in range(count))
        tracemalloc.start()
        wb.score_corpus(tiny, heads, stream, out=tmp_path / str(count), max_tokens=4, shard_size=4)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(4)  # what is loaded on first use
    # 72 documents of 80,000 characters more are 6 MB of text; what may grow is a row each.
    assert peak(80) < peak(8) + 1_500_000


def test_compression_ratio_is_low_for_repetition():
    rng = np.random.default_rng(0)
    varied = "".join(chr(c) for c in rng.integers(33, 126, size=2000))
    assert compression_ratio("the same words " * 100) < 0.1 < 0.7 < compression_ratio(varied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": 1}, "at least 2"),
        ({"shard_size": 0}, "at least 1"),
        ({"window": 1000}, "window must lie between"),
        ({"mode": "half"}, "uniform, zero, mean"),
    ],
)
def test_bad_settings_are_named(tiny, heads, change, message):
    with pytest.raises(ValueError, match=message):
        wb.score_corpus(tiny, heads, corpus_of(2), **change)


def test_no_heads_would_score_nothing(tiny):
    with pytest.raises(ValueError, match="no heads"):
        wb.score_corpus(tiny, wb.HeadSet.of([], tiny), corpus_of(2))


def test_score_files_are_plain_parquet_in_corpus_order(tiny, heads, tmp_path):
    wb.score_corpus(tiny, heads, corpus_of(6), out=tmp_path, shard_size=4)
    parts = sorted((tmp_path / "scores").iterdir())
    rows = [row for part in parts for row in pq.read_table(part)["doc_id"].to_pylist()]
    assert rows == [f"d{i}" for i in range(6)]


class Once:
    """An iterable that is no Iterator, yet gives its documents only once."""

    def __init__(self, documents):
        self.documents = iter(documents)

    def __iter__(self):
        return self.documents


def test_an_iterable_that_can_be_read_only_once_loses_nothing(tiny, heads):
    assert len(wb.score_corpus(tiny, heads, Once(corpus_of(5)))) == 5
    assert len(wb.score_corpus(tiny, heads, iter(corpus_of(5)))) == 5


def test_joined_streams_with_equal_places_are_skipped_before_the_work(tiny, heads):
    frame = pd.DataFrame(corpus_of(3))
    joined = [*wb.read_corpus(frame), *wb.read_corpus(frame.assign(id=["x", "y", "z"]))]
    table = wb.score_corpus(tiny, heads, joined)
    assert len(table) == 3
    assert {row["reason"] for row in table.skipped} == {
        "duplicate place: another document has this source and row"
    }
    wb.select(table)
