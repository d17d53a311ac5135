"""Shards and receipts: what they hold, when they hold, and what is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest
from support.corpora import read
from support.three_files import COLUMNS, changed_in_place, made, three_files

import workbench as wb
from workbench.corpus.document import CorpusError, Document
from workbench.corpus.sources import sources_of
from workbench.scoring.folder.receipts import finished, read_receipt, receipt_path
from workbench.scoring.shards import Shard, cut, documents_of


@pytest.fixture
def corpus(tmp_path):
    return three_files(tmp_path)


def test_the_shards_hold_every_row_once_and_their_documents_come_back(corpus, tmp_path):
    everything = read(corpus)
    index = made(corpus, tmp_path / "run")
    sources = {source.name: source for source in sources_of(corpus)}
    back = [documents_of(shard, sources, COLUMNS) for shard in index.shards]
    assert [document for shard in back for document in shard] == [
        row for row in everything if isinstance(row, Document)
    ]
    refused = [refused for shard in index.shards for refused in shard.refused]
    assert refused == [row for row in everything if not isinstance(row, Document)]
    assert len(refused) == 2
    assert [len(shard) for shard in back] == [shard.documents for shard in index.shards]
    assert {shard.documents for shard in index.shards[:-1]} == {4}


def test_a_stream_is_cut_as_the_index_is(corpus, tmp_path):
    streamed = [shard for shard, _ in cut(read(corpus), 4)]
    indexed = made(corpus, tmp_path / "run").shards
    for passing, other in zip(streamed, indexed, strict=True):
        plain = tuple(dataclasses.replace(span, offset=0) for span in other.row_ranges)
        assert passing == dataclasses.replace(other, row_ranges=plain)


def test_a_shard_goes_through_json(corpus, tmp_path):
    for shard in made(corpus, tmp_path / "run").shards:
        stored = json.loads(json.dumps(shard.to_json()))
        assert Shard.from_json(stored) == shard
        # The names of the files of older runs, in their order.
        assert list(stored) == ["number", "pieces", "documents", "digest", "refused", "domain_from"]


def test_text_that_changed_on_the_way_is_not_scored_for_the_old(corpus, tmp_path):
    index = made(corpus, tmp_path / "run")
    changed_in_place(tmp_path / "corpus")
    sources = {source.name: source for source in sources_of(corpus)}
    wrong = []
    for shard in index.shards:
        try:
            documents_of(shard, sources, COLUMNS)
        except CorpusError as error:
            wrong.append(str(error))
    assert len(wrong) == 1
    assert "text was changed while the run was going" in wrong[0]


# ---- receipts ---------------------------------------------------------------------------------


@pytest.fixture
def run(tiny, heads, corpus, tmp_path):
    """A finished run: its folder, the first shard and the fingerprint."""
    folder = tmp_path / "run"
    wb.run_scoring(tiny, heads, corpus, folder, shard_size=4)
    shard = next(shard for shard, _ in cut(read(corpus), 4))
    path = min((folder / "receipts").iterdir())
    return folder, shard, json.loads(path.read_text())["fingerprint"]


def test_a_receipt_says_what_its_shard_holds(run, tmp_path):
    folder, shard, fingerprint = run
    receipt = finished(folder, shard, fingerprint)
    assert receipt == read_receipt(receipt_path(folder, shard.name(fingerprint)))
    table = wb.load_scores(folder).frame.head(4)
    assert receipt.scored == receipt.read == 4
    assert receipt.tokens == table["tokens"].sum()
    assert receipt.predicted == table["predicted"].sum()
    assert receipt.pieces == [["a.jsonl", 0, 4]]
    for domain, group in table.groupby("domain"):
        assert receipt.domains[domain]["documents"] == len(group)
        assert receipt.domains[domain]["score"] == pytest.approx(group["score"].sum(), rel=1e-12)
    settings = {"heads", "mode", "window", "max_tokens", "formula", "workbench", "torch"}
    assert settings <= set(fingerprint)
    assert {f"model.{key}" for key in ("weights_sha256", "tokenizer_sha256", "dtype")} <= set(
        fingerprint
    )
    assert str(tmp_path) not in json.dumps(dataclasses.asdict(receipt))


def edited(change):
    def damage(path):
        value = json.loads(path.read_text())
        change(value)
        path.write_text(json.dumps(value))

    return damage


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "a list": lambda path: path.write_text("[]"),
    "deep": lambda path: path.write_text("[" * 200_000),
    "a word for a count": edited(lambda r: r.update(read="4")),
    "counts that do not add up": edited(lambda r: r.update(read=5)),
    "a field more": edited(lambda r: r.update(more=1)),
    "another format": edited(lambda r: r.update(format=2)),
    "a path elsewhere": edited(lambda r: r["score_file"].update(path="../../etc/passwd")),
    "another sha256": edited(lambda r: r["score_file"].update(sha256="0" * 64)),
    "other settings": edited(lambda r: r["fingerprint"].update(mode="zero")),
    "other documents": edited(lambda r: r.update(documents="0" * 64)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_receipt_that_does_not_hold_is_no_receipt(run, damage):
    folder, shard, fingerprint = run
    damage(receipt_path(folder, shard.name(fingerprint)))
    assert finished(folder, shard, fingerprint) is None


def test_a_run_scores_again_only_what_has_no_receipt(tiny, heads, run, corpus):
    folder, shard, fingerprint = run
    before = {p: p.stat().st_mtime_ns for p in (folder / "scores").iterdir()}
    path = receipt_path(folder, shard.name(fingerprint))
    content = path.read_bytes()
    path.write_bytes(b"{}")
    report = wb.run_scoring(tiny, heads, corpus, folder, shard_size=4)
    assert report.shards - report.kept == 1
    assert path.read_bytes() == content
    after = {p: p.stat().st_mtime_ns for p in (folder / "scores").iterdir()}
    assert [p for p in after if after[p] != before.get(p)] == [
        folder / "scores" / f"{path.stem}.parquet"
    ]
