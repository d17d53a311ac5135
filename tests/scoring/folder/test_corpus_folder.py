"""A run folder that is asked for something else: another corpus, other texts, other settings."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from support.corpora import FIFTY, write

import workbench as wb
from workbench.corpus.reading import text_sha256
from workbench.scoring.folder import corpus_folder
from workbench.scoring.folder.corpus_folder import default_folder

OTHER = [
    {"id": f"o{i}", "text": f"quite another text about topic {i * i}", "domain": "other"}
    for i in range(20)
]


@pytest.fixture
def scored(tiny, heads, tmp_path):
    """Scores FIFTY, of a file, into the folder `run`; the call and its first report."""

    def score(corpus, **given):
        return wb.run_scoring(tiny, heads, corpus, tmp_path / "run", **{"shard_size": 8} | given)

    score(write(tmp_path / "a/data.jsonl", FIFTY))
    return score


def files(folder):
    """Score files and receipts by name, as bytes."""
    return {
        p.name: p.read_bytes() for name in ("scores", "receipts") for p in (folder / name).glob("*")
    }


SHAPES = {
    "a file of the same name": lambda folder: write(folder / "b/data.jsonl", OTHER),
    "a list": lambda folder: OTHER,
    "a frame": lambda folder: pd.DataFrame(OTHER),
    "a stream": lambda folder: iter(OTHER),
    "no text at all": lambda folder: [{"id": "x", "text": " "}],
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("part", [(1, 1), (1, 2)])
def test_another_corpus_is_refused_and_both_are_named(scored, tmp_path, shape, part):
    corpus = shape(tmp_path)
    if part != (1, 1) and not hasattr(corpus, "exists"):
        corpus = write(tmp_path / "c/data.jsonl", OTHER)
    before = files(tmp_path / "run")
    record = (tmp_path / "run/run.json").read_bytes()
    with pytest.raises(ValueError, match="holds the scores of another corpus") as refused:
        scored(corpus, part=part)
    message = str(refused.value)
    assert f"data.jsonl (first document {FIFTY[0]['id']!r})" in message
    assert "first document 'o0'" in message or "one without any text" in message
    assert "give another folder" in message.lower()
    assert "overwrite=True" in message
    assert files(tmp_path / "run") == before
    assert (tmp_path / "run/run.json").read_bytes() == record
    assert len(wb.load_scores(tmp_path / "run")) == 50


def test_told_to_it_sets_the_scores_aside_and_takes_them_back(scored, tmp_path):
    first, other = tmp_path / "a/data.jsonl", write(tmp_path / "b/other.jsonl", OTHER)
    before = files(tmp_path / "run")
    record = (tmp_path / "run/run.json").read_bytes()
    report = scored(other, overwrite=True)
    assert (report.kept, report.set_aside_shards, report.set_aside_documents) == (0, 7, 50)
    assert "7 shards with 50 scored documents" in repr(report)
    assert "set aside in superseded/" in repr(report)
    assert files(tmp_path / "run/superseded") == before
    assert record in [p.read_bytes() for p in (tmp_path / "run/superseded").glob("run-*.json")]
    assert set(wb.load_scores(tmp_path / "run").frame["domain"]) == {"other"}
    again = scored(first, overwrite=True)
    assert (again.kept, again.tokens, again.set_aside_documents) == (7, 0, 20)
    assert files(tmp_path / "run") == before
    assert len(wb.load_scores(tmp_path / "run")) == 50


def test_other_settings_are_set_aside_too(tiny, heads, scored, tmp_path):
    before = files(tmp_path / "run")
    with pytest.raises(ValueError, match=r"mode: 'uniform' then, 'zero' now.*sets them aside"):
        scored(tmp_path / "a/data.jsonl", mode="zero")
    report = scored(tmp_path / "a/data.jsonl", mode="zero", overwrite=True)
    assert (report.kept, report.redone, report.set_aside_documents) == (0, 7, 50)
    assert files(tmp_path / "run/superseded") == before
    assert scored(tmp_path / "a/data.jsonl", overwrite=True).kept == 7


def appended(rows):
    return [*rows, *({"id": f"new{i}", "text": f"one more text {i}"} for i in range(3))]


def put_in_front(rows):
    return [{"id": "new", "text": "a text in front of all others"}, *rows]


def edited(rows):
    return [
        row if n != 10 else row | {"text": row["text"] + " edited"} for n, row in enumerate(rows)
    ]


CHANGES = {  # what changes the rows, then shards kept, redone and set aside, of seven
    appended: (6, 1, 1),
    put_in_front: (0, 7, 7),
    edited: (6, 1, 1),
    lambda rows: rows[:-3]: (5, 1, 2),
    lambda rows: rows[20:]: (0, 4, 7),
    lambda rows: rows[:3]: (0, 1, 7),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("workers", [None, "parts"])
def test_a_corpus_that_changes_goes_on_and_the_report_says_what_became_of_it(
    scored, tmp_path, change, workers
):
    kept, redone, aside = CHANGES[change]
    before = files(tmp_path / "run")
    changed = change(FIFTY)
    path = write(tmp_path / "a/data.jsonl", changed)
    if workers is None:
        report = scored(path)
        found = (report.kept, report.redone, report.set_aside_shards)
    else:
        reports = [scored(path, part=(i, 2)) for i in (1, 2)]
        found = tuple(
            sum(getattr(report, name) for report in reports)
            for name in ("kept", "redone", "set_aside_shards")
        )
    assert found == (kept, redone, aside)
    assert set(wb.load_scores(tmp_path / "run").frame["text_sha256"]) == {
        text_sha256(row["text"]) for row in changed
    }
    now = files(tmp_path / "run") | files(tmp_path / "run/superseded")
    assert before.items() <= now.items()  # nothing is lost


def test_a_damaged_shard_is_redone_and_counted(scored, tmp_path):
    damaged = sorted((tmp_path / "run/scores").iterdir())[2]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    report = scored(tmp_path / "a/data.jsonl")
    assert (report.kept, report.redone, report.set_aside_shards) == (6, 1, 0)
    assert "1 scored now (1 of them anew)" in repr(report)


def test_a_stream_is_known_by_its_beginning_and_scored_whole(scored, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_folder, "AHEAD", 9)
    assert scored(iter(edited(FIFTY))).read == 50
    assert len(wb.load_scores(tmp_path / "run")) == 50


def test_why_documents_were_skipped_stands_in_the_last_line(tiny, heads, tmp_path):
    rows = [*FIFTY[:17], {"id": "a", "text": None}, {"id": "b", "text": "x"},
            {"id": "c", "text": " "}, {"id": "d"}]  # fmt: skip
    report = wb.run_scoring(tiny, heads, rows, tmp_path, shard_size=8)
    assert sum(report.reasons.values()) == report.skipped == 4
    last = repr(report).splitlines()[-1]
    assert last.startswith("4 of 21 documents were skipped (19%): text is null or absent (2), ")
    json.dumps(report.to_json())
    whole = wb.run_scoring(tiny, heads, FIFTY, tmp_path / "whole")
    assert "skipped (" not in repr(whole)


def test_two_corpora_do_not_share_a_folder_by_default(tmp_path):
    one, other = (write(tmp_path / name / "data.jsonl", FIFTY[:2]) for name in "ab")
    named = {default_folder(one), default_folder(str(other)), default_folder([one, other]),
             default_folder(FIFTY), default_folder(OTHER), default_folder()}  # fmt: skip
    assert len(named) == 6
    assert default_folder(one) == default_folder(str(one))
    write(one, OTHER)
    assert default_folder(one) in named
    assert default_folder("https://host/x.jsonl?sig=secret") == default_folder(
        "https://host/x.jsonl?sig=other"
    )
    assert default_folder(pd.DataFrame({"no": ["text"]})).startswith("run-memory-")
