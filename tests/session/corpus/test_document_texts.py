"""Texts behind scores: first words, what was read, what is not read unasked."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.score_tables import random_table

import workbench as wb
from workbench.corpus.places import CorpusPlaces
from workbench.scoring.passages import read_text
from workbench.session.corpus.document_texts import passages_read
from workbench.session.corpus.scored_corpus import ScoredCorpus

ROWS = [{"id": str(i), "text": f"The  {i}th\n text. " * 40, "domain": "a"} for i in range(6)]


def scored(paths, **columns):
    """A corpus with its scores, without a model."""
    places = CorpusPlaces(paths)
    source = next(iter(wb.read_corpus(paths))).source
    texts = [places.find(source, i).text for i in range(6)]
    frame = random_table(6, seed=0, domains=1).assign(
        source=source, text_sha256=[wb.corpus.reading.text_sha256(text) for text in texts]
    )
    return ScoredCorpus(frame.assign(**columns), paths)


def lines(rows=ROWS):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "memory"])
def test_first_words_are_read_where_that_is_quick(tmp_path, kind):
    path = tmp_path / f"c.{kind}"
    if kind == "jsonl":
        path.write_text(lines())
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    corpus = scored(ROWS if kind == "memory" else str(path))
    for position, row in enumerate(corpus._rows.scores["row"]):
        words = " ".join(ROWS[row]["text"].split())
        assert corpus.beginning(position) == words[:160]


def test_first_words_are_those_that_were_read(tmp_path):
    corpus = scored(ROWS, read="7:12,20:26")
    for position, row in enumerate(corpus._rows.scores["row"]):
        text = ROWS[row]["text"]
        assert corpus.beginning(position) == " ".join(read_text(text, "7:12,20:26").split())[:160]


def test_first_words_are_blank_where_the_corpus_would_be_read_up_to_them(tmp_path):
    path = tmp_path / "c.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write(lines())
    corpus = scored(str(path))
    assert corpus.document(3).text  # when it is opened, it is read all the same
    assert corpus.beginning(3) == ""


def test_first_words_of_another_text_are_blank(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(lines())
    corpus = scored(str(path))
    changed = int(corpus._rows.scores["row"].iloc[2])
    rows = [row | {"text": "edited"} if i == changed else row for i, row in enumerate(ROWS)]
    path.write_text(lines(rows))
    assert corpus.beginning(2) == ""
    assert corpus.beginning(1) != ""
    path.unlink()
    assert corpus.beginning(1) == ""


def test_a_network_is_not_asked_for_first_words(monkeypatch):
    places = CorpusPlaces("https://example.org/c.jsonl")
    monkeypatch.setattr(
        "workbench.corpus.places.sources_of",
        lambda paths: [wb.corpus.sources.Source("c.jsonl", "https://example.org/c.jsonl", "jsonl")],
    )
    assert not places.is_quick("c.jsonl")


@pytest.mark.parametrize(
    ("read", "words"),
    [("0:400", "characters 0 to 400"), ("0:400,812:1203", "characters 0 to 400, 812 to 1,203"),
     (None, ""), (float("nan"), ""), ("", ""), ("all of it", ""), ("0:", "")],
)  # fmt: skip
def test_what_was_read_in_words(read, words):
    assert passages_read(read) == words
