"""The checks of a manifest that read its corpus: what they find, in all texts and in a draw."""

from __future__ import annotations

import numpy as np
import pytest
from support.corpus_files import COLUMNS, NAMES, ROWS, rows_of, write_source
from support.run_folders import documents, lay_down_manifest

import workbench as wb
from workbench.manifest.selection_rows import SelectionRows
from workbench.manifest.verification.verify import verify_manifest


def checked(made, corpus=None, **options):
    """The checks by name: True, False or None."""
    report = verify_manifest(made / "run", None, corpus, strict=False, **COLUMNS, **options)
    return dict(zip(report.checks["check"], report.checks["ok"], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_sources_finds_a_file_that_is_gone_or_ends_early_but_no_changed_text(made, corpus, name):
    write_source(corpus, name, rows_of(name, changed=[4]))
    assert checked(made, corpus, level="sources")["sources of the corpus"]
    assert not checked(made, corpus, level="texts")["texts of the corpus"]
    write_source(corpus, name, rows_of(name)[:-1])
    assert not checked(made, corpus, level="sources")["sources of the corpus"]
    (corpus / name).unlink()
    ok = checked(made, corpus)
    assert not ok["sources of the corpus"]
    assert not ok["texts of the corpus"]


def test_a_corpus_that_is_not_there_is_a_failed_check(made, tmp_path):
    ok = checked(made, tmp_path / "nowhere")
    assert ok["sources of the corpus"] is ok["texts of the corpus"] is False
    assert ok["ranks and thresholds"]


def test_texts_are_read_from_the_columns_that_were_scored(made):
    stream = wb.read_corpus(made / "corpus", **COLUMNS)
    assert verify_manifest(made / "run", corpus=stream).ok  # the names are in the stream
    report = verify_manifest(made / "run", corpus=made / "corpus", strict=False)
    (line,) = report.failed
    assert "no column 'text'" in line


def test_the_texts_of_a_stream_that_can_be_read_once_are_checked(made):
    stream = (document for document in documents())
    folder = lay_down_manifest(made / "synthetic")
    report = verify_manifest(folder, corpus=stream)
    assert report.checks.set_index("check").loc["texts of the corpus", "ok"]


@pytest.mark.parametrize("drawn", [1, 3, 4, 9, 60, 119])
def test_a_draw_of_texts_is_read_at_its_places(made, corpus, tiny, drawn):
    for seed in range(3):
        options = {"texts": drawn, "seed": seed, "sample": 1}
        report = verify_manifest(made / "run", tiny, made / "corpus", **COLUMNS, **options)
        detail = report.checks.set_index("check").loc["texts of the corpus", "detail"]
        assert (
            f"{drawn} drawn of 120" in detail
            or f"{drawn + 1} drawn of 120" in detail
            or (drawn == 119 and "all 120" in detail)
        )
    for name in NAMES:  # and what it reads is what lies there
        write_source(corpus, name, rows_of(name, changed=range(ROWS)))
    report = verify_manifest(made / "run", corpus=corpus, texts=drawn, strict=False, **COLUMNS)
    assert report.failed == [line for line in report.failed if f"{drawn} texts have" in line] != []


def test_a_draw_finds_changed_texts_as_often_as_it_should(made, corpus):
    """6 of 120 changed, 30 drawn: missed by about 0.75^6 = 18 % of the seeds."""
    for name, changed in (("a.jsonl", [3, 17]), ("c.parquet", [0, 29]), ("b.jsonl.gz", [8, 9])):
        write_source(corpus, name, rows_of(name, changed))
    ranked = SelectionRows(made / "run" / "selection.parquet")
    changed = {("a.jsonl", 3), ("a.jsonl", 17), ("c.parquet", 0), ("c.parquet", 29),
               ("b.jsonl.gz", 8), ("b.jsonl.gz", 9)}  # fmt: skip
    hits = [
        any(ranked.key(place) in changed for place in ranked.draw(30, seed)) for seed in range(400)
    ]
    assert 0.75 < np.mean(hits) < 0.90
    for seed in range(6):
        passed = checked(made, corpus, texts=30, seed=seed, level="texts")["texts of the corpus"]
        assert passed is not hits[seed]
