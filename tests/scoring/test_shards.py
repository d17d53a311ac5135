"""Shards, catalogues and receipts: what they hold, when they hold, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest
from support.corpora import FIFTY, jsonl, read, write

import workbench as wb
from workbench.corpus.document import CorpusError, Document
from workbench.corpus.reading import read_corpus
from workbench.corpus.sources import sources_of
from workbench.scoring import shards
from workbench.scoring.folder.receipts import finished, read_receipt, receipt_path
from workbench.scoring.shards import CATALOGUE, Shard, catalogue_of, cut, documents_of

COLUMNS = {"id": "id", "text": "text", "domain": "domain"}


@pytest.fixture
def corpus(tmp_path):
    """Three files with blank lines, rows that give no document, and an id of two documents."""
    twice = [FIFTY[0] | {"text": "again"}]
    write(tmp_path / "corpus/a.jsonl", jsonl(FIFTY[:9]) + b"\n\nno json\n" + jsonl(FIFTY[9:14]))
    write(tmp_path / "corpus/b.jsonl", [*FIFTY[14:20], *twice, {"id": "x", "text": None}])
    write(tmp_path / "corpus/c.jsonl", FIFTY[20:31])
    return [str(tmp_path / "corpus")]


def made(corpus, folder, size=4, **more):
    folder.mkdir(exist_ok=True)
    return catalogue_of(corpus, COLUMNS, size, folder, **more)


def test_the_shards_hold_every_row_once_and_their_documents_come_back(corpus, tmp_path):
    everything = read(corpus)
    catalogue = made(corpus, tmp_path / "run")
    sources = {source.name: source for source in sources_of(corpus)}
    back = [documents_of(shard, sources, COLUMNS) for shard in catalogue.shards]
    assert [document for shard in back for document in shard] == [
        row for row in everything if isinstance(row, Document)
    ]
    refused = [refused for shard in catalogue.shards for refused in shard.refused]
    assert refused == [row for row in everything if not isinstance(row, Document)]
    assert len(refused) == 2
    assert [len(shard) for shard in back] == [shard.documents for shard in catalogue.shards]
    assert {shard.documents for shard in catalogue.shards[:-1]} == {4}


def test_a_stream_is_cut_as_the_catalogue_is(corpus, tmp_path):
    streamed = [shard for shard, _ in cut(read(corpus), 4)]
    catalogued = made(corpus, tmp_path / "run").shards
    for mine, other in zip(streamed, catalogued, strict=True):
        plain = tuple(dataclasses.replace(piece, offset=0) for piece in other.pieces)
        assert mine == dataclasses.replace(other, pieces=plain)


def test_a_shard_goes_through_json(corpus, tmp_path):
    for shard in made(corpus, tmp_path / "run").shards:
        assert Shard.from_json(json.loads(json.dumps(shard.to_json()))) == shard


def test_a_catalogue_is_kept_while_the_files_are_as_they_were(corpus, tmp_path):
    first = made(corpus, tmp_path / "run")
    stored = (tmp_path / "run" / CATALOGUE).stat()
    for path in (tmp_path / "corpus").iterdir():
        os.utime(path, (1, 1))  # the time of a file says nothing
    assert made(corpus, tmp_path / "run") == first
    assert (tmp_path / "run" / CATALOGUE).stat() == stored


def changed_in_place(folder):
    before = (folder / "b.jsonl").stat()
    content = (folder / "b.jsonl").read_bytes()
    write(folder / "b.jsonl", content.replace(b"Text number 17", b"Text number 71"))
    os.utime(folder / "b.jsonl", ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (changed_in_place, "b.jsonl was changed"),
        (
            lambda folder: write(folder / "d.jsonl", FIFTY[40:]),
            "the corpus has 1 sources more and 0 fewer than it had",
        ),
        (
            lambda folder: (folder / "c.jsonl").unlink(),
            "the corpus has 0 sources more and 1 fewer than it had",
        ),
        (
            lambda folder: (folder / "c.jsonl").rename(folder / "e.jsonl"),
            "the corpus has 1 sources more and 1 fewer than it had",
        ),
    ],
    ids=["same size and time", "a file more", "a file less", "another name"],
)
def test_a_changed_corpus_is_looked_through_anew_and_why_is_said(corpus, tmp_path, change, why):
    first = made(corpus, tmp_path / "run")
    change(tmp_path / "corpus")
    notes = []
    again = made(corpus, tmp_path / "run", notes=notes)
    assert again != first
    assert notes == [f"the catalogue of the shards was made anew: {why}"]
    sources = {source.name: source for source in sources_of(corpus)}
    back = [
        document for shard in again.shards for document in documents_of(shard, sources, COLUMNS)
    ]
    assert back == [row for row in read(corpus) if isinstance(row, Document)]


def test_other_columns_or_sizes_give_another_catalogue(corpus, tmp_path):
    notes = []
    first = made(corpus, tmp_path / "run", notes=notes)
    assert notes == []  # there was none before
    assert made(corpus, tmp_path / "run", size=5, notes=notes) != first
    assert "cut by other columns or another shard_size" in notes[0]
    named = catalogue_of(corpus, COLUMNS | {"domain": "id"}, 4, tmp_path / "run")
    assert named.shards[0].digest != first.shards[0].digest


@pytest.mark.parametrize("content", ["", "x", "[]", "{}\n{}", '{"format": 1}\n{"shards": 0}'])
def test_a_broken_catalogue_is_made_anew(corpus, tmp_path, content):
    first = made(corpus, tmp_path / "run")
    write(tmp_path / "run" / CATALOGUE, content)
    notes = []
    assert made(corpus, tmp_path / "run", notes=notes) == first
    assert "made anew: the one in the folder" in notes[0]


@pytest.mark.slow
def test_a_catalogue_of_an_earlier_version_is_made_anew_and_the_report_says_so(
    tiny, heads, corpus, tmp_path
):
    def run():
        return wb.run_scoring(tiny, heads, corpus, tmp_path / "run", shard_size=4, part=(1, 1),
                              workers=1)  # fmt: skip

    assert run().notes == ()
    path = tmp_path / "run" / CATALOGUE
    head, *rest = path.read_bytes().splitlines(keepends=True)[:-1]
    older = json.dumps(json.loads(head) | {"format": 1}).encode() + b"\n"
    lines = b"".join([older, *rest])
    path.write_bytes(lines + shards._end_of(lines))
    report = run()
    assert (report.kept, report.redone) == (report.shards, 0)
    assert "is of another version of the workbench" in report.notes[0]
    assert report.notes[0] in repr(report)


def test_a_part_looks_at_sizes_only_and_its_shards_at_the_text(corpus, tmp_path):
    first = made(corpus, tmp_path / "run", size=14)
    changed_in_place(tmp_path / "corpus")
    assert made(corpus, tmp_path / "run", size=14, part=(2, 3)) == first
    write(tmp_path / "corpus/b.jsonl", FIFTY[14:18])
    assert made(corpus, tmp_path / "run", size=14, part=(2, 3)) != first


def test_a_file_that_grows_while_it_is_looked_through_is_no_catalogue(
    corpus, tmp_path, monkeypatch
):
    """Its last rows would be counted among its bytes, and never be scored."""

    def growing(*given, **more):
        yield from read_corpus(*given, **more)
        with open(tmp_path / "corpus/c.jsonl", "ab") as file:
            file.write(jsonl(FIFTY[40:45]))

    with monkeypatch.context() as patched:
        patched.setattr(shards, "read_corpus", growing)
        with pytest.raises(CorpusError, match=r"c\.jsonl was changed while the corpus was looked"):
            made(corpus, tmp_path / "run")
    assert not (tmp_path / "run" / CATALOGUE).exists()
    assert sum(shard.documents for shard in made(corpus, tmp_path / "run").shards) == 37


def test_text_that_changed_on_the_way_is_not_scored_for_the_old(corpus, tmp_path):
    catalogue = made(corpus, tmp_path / "run")
    changed_in_place(tmp_path / "corpus")
    sources = {source.name: source for source in sources_of(corpus)}
    wrong = []
    for shard in catalogue.shards:
        try:
            documents_of(shard, sources, COLUMNS)
        except CorpusError as error:
            wrong.append(str(error))
    assert len(wrong) == 1
    assert "text was changed while the run was going" in wrong[0]


def test_a_catalogue_tells_no_text_and_no_path(corpus, tmp_path):
    made(corpus, tmp_path / "run")
    content = (tmp_path / "run" / CATALOGUE).read_bytes()
    assert b"Text number" not in content
    assert str(tmp_path).encode() not in content


def test_a_stream_of_the_hub_cannot_be_shared(tmp_path):
    with pytest.raises(CorpusError, match="one stream, which several workers cannot share"):
        catalogue_of(["hf://owner/name"], COLUMNS, 4, tmp_path)


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
