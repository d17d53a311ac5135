"""The shard index: when the stored one holds, when it is made anew, and what it keeps to itself."""

from __future__ import annotations

import json
import os

import pytest
from support.corpora import FIFTY, jsonl, read, write
from support.three_files import COLUMNS, changed_in_place, made, three_files

import workbench as wb
from workbench.corpus.document import CorpusError, Document
from workbench.corpus.reading import read_corpus
from workbench.corpus.sources import sources_of
from workbench.scoring.folder import shard_index
from workbench.scoring.folder.shard_index import SHARD_INDEX_FILE, shard_index_of
from workbench.scoring.shards import documents_of


@pytest.fixture
def corpus(tmp_path):
    return three_files(tmp_path)


def test_a_shard_index_is_kept_while_the_files_are_as_they_were(corpus, tmp_path):
    first = made(corpus, tmp_path / "run")
    stored = (tmp_path / "run" / SHARD_INDEX_FILE).stat()
    for path in (tmp_path / "corpus").iterdir():
        os.utime(path, (1, 1))  # the time of a file says nothing
    assert made(corpus, tmp_path / "run") == first
    assert (tmp_path / "run" / SHARD_INDEX_FILE).stat() == stored


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
    assert notes == [f"the shard index was made anew: {why}"]
    sources = {source.name: source for source in sources_of(corpus)}
    back = [
        document for shard in again.shards for document in documents_of(shard, sources, COLUMNS)
    ]
    assert back == [row for row in read(corpus) if isinstance(row, Document)]


def test_other_columns_or_sizes_give_another_index(corpus, tmp_path):
    notes = []
    first = made(corpus, tmp_path / "run", notes=notes)
    assert notes == []  # there was none before
    assert made(corpus, tmp_path / "run", size=5, notes=notes) != first
    assert "cut by other columns or another shard_size" in notes[0]
    named = shard_index_of(corpus, COLUMNS | {"domain": "id"}, 4, tmp_path / "run")
    assert named.shards[0].digest != first.shards[0].digest


@pytest.mark.parametrize("content", ["", "x", "[]", "{}\n{}", '{"format": 1}\n{"shards": 0}'])
def test_a_broken_index_is_made_anew(corpus, tmp_path, content):
    first = made(corpus, tmp_path / "run")
    write(tmp_path / "run" / SHARD_INDEX_FILE, content)
    notes = []
    assert made(corpus, tmp_path / "run", notes=notes) == first
    assert "made anew: the one in the folder" in notes[0]


@pytest.mark.slow
def test_a_shard_index_of_an_earlier_version_is_made_anew_and_the_report_says_so(
    tiny, heads, corpus, tmp_path
):
    def run():
        return wb.run_scoring(tiny, heads, corpus, tmp_path / "run", shard_size=4, part=(1, 1),
                              workers=1)  # fmt: skip

    assert run().notes == ()
    path = tmp_path / "run" / SHARD_INDEX_FILE
    head, *rest = path.read_bytes().splitlines(keepends=True)[:-1]
    older = json.dumps(json.loads(head) | {"format": 1}).encode() + b"\n"
    lines = b"".join([older, *rest])
    path.write_bytes(lines + shard_index._end_of(lines))
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


def test_a_file_that_grows_while_it_is_looked_through_is_no_index(corpus, tmp_path, monkeypatch):
    """Its last rows would be counted among its bytes, and never be scored."""

    def growing(*given, **more):
        yield from read_corpus(*given, **more)
        with open(tmp_path / "corpus/c.jsonl", "ab") as file:
            file.write(jsonl(FIFTY[40:45]))

    with monkeypatch.context() as patched:
        patched.setattr(shard_index, "read_corpus", growing)
        with pytest.raises(CorpusError, match=r"c\.jsonl was changed while the corpus was looked"):
            made(corpus, tmp_path / "run")
    assert not (tmp_path / "run" / SHARD_INDEX_FILE).exists()
    assert sum(shard.documents for shard in made(corpus, tmp_path / "run").shards) == 37


def test_a_shard_index_tells_no_text_and_no_path(corpus, tmp_path):
    made(corpus, tmp_path / "run")
    content = (tmp_path / "run" / SHARD_INDEX_FILE).read_bytes()
    assert b"Text number" not in content
    assert str(tmp_path).encode() not in content


def test_a_stream_of_the_hub_cannot_be_shared(tmp_path):
    with pytest.raises(CorpusError, match="one stream, which several workers cannot share"):
        shard_index_of(["hf://owner/name"], COLUMNS, 4, tmp_path)
