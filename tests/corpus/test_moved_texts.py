"""Texts that stand at another place are told apart from changed ones, and by place."""

from __future__ import annotations

import gzip
import hashlib
import json

import pyarrow as pa
import pytest
from support.run_folders import documents, lay_down_manifest

from workbench.corpus.document import Document
from workbench.corpus.moved_texts import places_of, renamed
from workbench.manifest.verification.verify import verify_manifest


def digests(*texts):
    return [hashlib.sha256(text.encode()).digest() for text in texts]


def test_finds_the_first_place_of_each_text():
    rows = [{"text": text} for text in ("one", "two", "one", "three", "")]
    first, three, four = digests("one", "three", "four")
    places = places_of(rows, [first, three, four])
    assert places == {first: ("memory", 0), three: ("memory", 3)}


def test_what_can_be_read_only_once_is_not_read_again():
    rows = iter([{"text": "one"}])
    assert places_of(rows, digests("one")) is None
    assert next(rows) == {"text": "one"}
    assert places_of(pa.table({"text": ["one"]}).to_reader(), digests("one")) is None
    assert places_of(pa.table({"text": ["one"]}), digests("one"))


def test_a_corpus_that_breaks_off_gives_what_was_found(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"text": "%d"}\n' % i * 50 for i in range(2_000)))
    path.write_bytes(whole[: len(whole) // 2])
    first, last = digests("0", "1999")
    assert places_of(path, [first, last]) == {first: ("a.jsonl.gz", 0)}


@pytest.mark.parametrize(
    ("source", "names", "name"),
    [("a.jsonl", ["b.jsonl", "a.jsonl.gz"], "a.jsonl.gz"), ("a.jsonl.zst", ["a.jsonl"], "a.jsonl"),
     ("x/a.jsonl.GZ", ["a.jsonl", "x/a.jsonl.xz"], "x/a.jsonl.xz"), ("a.jsonl", ["a.json"], None),
     ("a.jsonl", ["a.jsonl"], None)],
)  # fmt: skip
def test_the_same_file_in_another_compression(source, names, name):
    assert renamed(source, names) == name


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return lay_down_manifest(tmp_path_factory.mktemp("moved") / "run")


def written(path, texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def report_on(made, corpus):
    """What the two checks of the corpus say."""
    report = verify_manifest(made, corpus=corpus, strict=False)
    details = report.checks.set_index("check")["detail"]
    return details["sources of the corpus"], details["texts of the corpus"]


def test_a_verification_says_what_became_of_the_texts(made, tmp_path):
    texts = [document.text for document in documents()]
    _, turned = report_on(made, written(tmp_path / "turned" / "a.jsonl", texts[::-1]))
    assert "24 texts have another sha256 at their place" in turned
    assert "24 of these texts stand elsewhere" in turned
    assert "that of 'a.jsonl' row 0 at 'a.jsonl' row 23: they were moved, or copies" in turned

    name, packed = report_on(made, written(tmp_path / "a.jsonl.gz", texts))
    assert "The corpus has 'a.jsonl.gz', which may hold the same rows" in name
    assert "0 texts have another sha256 at their place, 24 places are not" in packed
    assert "'a.jsonl' row 0 at 'a.jsonl.gz' row 0: they were moved" in packed

    _, other = report_on(made, written(tmp_path / "other" / "a.jsonl", ["x", *texts[1:]]))
    assert "1 texts have another sha256" in other
    assert "None of these texts is anywhere in the corpus" in other

    _, cut = report_on(made, written(tmp_path / "cut" / "a.jsonl", [*texts[1:20], texts[0]]))
    assert "20 of these texts stand elsewhere" in cut


def test_line_ends_of_another_system_move_nothing(made, tmp_path):
    path = written(tmp_path / "a.jsonl", [document.text for document in documents()])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert verify_manifest(made, corpus=path).level == "texts"


def test_a_corpus_of_documents_is_looked_through_and_a_stream_is_not(made):
    turned = [Document(d.doc_id, d.text, d.domain, d.source, 23 - d.row) for d in documents()]
    assert "stand elsewhere" in report_on(made, turned)[1]
    assert "elsewhere" not in report_on(made, iter(turned))[1]
