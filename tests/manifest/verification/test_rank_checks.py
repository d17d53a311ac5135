"""The ranks of a manifest: every change is found, by the check that is about it, in words."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest.test_selecting_files import DOCUMENTS, POLICIES, clusters_of, lay_down, table_of
from manifest.verification.test_verify import restate, rewrite_selection
from support.run_folders import describe, edit_json, failures, lay_down_manifest, lay_down_run

from workbench.manifest.selecting_files import select_files
from workbench.manifest.verification import ranking_again, row_checks
from workbench.manifest.verification.verify import verify_manifest
from workbench.manifest.writing import write_manifest
from workbench.selection import duckdb_scores
from workbench.selection.duplicates import CLUSTER_SCHEMA
from workbench.selection.ranking import select

FORMULA, SCORED, RANKS, COUNTS = (
    "scores follow from losses", "rows are the scored rows", "ranks and thresholds", "counts",
)  # fmt: skip
LEVEL = ["selection rows", FORMULA, SCORED, RANKS, COUNTS, "skipped documents"]


def lay_down_with_excluded(folder):
    """A manifest of 19 of the 24 documents that were scored."""
    table = lay_down_run(folder)
    write_manifest(select(table.keep(table.frame["row"] > 4), 0.3), folder)
    return folder


def without_score_files(folder):
    shutil.rmtree(folder / "scores")
    edit_json(
        folder / "manifest.json",
        lambda m: m.update(
            distribution=[d for d in m["distribution"] if "scores/" not in d["contentUrl"]]
        ),
    )


@pytest.fixture(params=["all ranked", pytest.param("some left out", marks=pytest.mark.slow)])
def folder(request, tmp_path):
    """A manifest beside its score files, of all scored documents or of some."""
    make = lay_down_manifest if request.param == "all ranked" else lay_down_with_excluded
    return make(tmp_path / "run")


def verdicts(folder):
    """{check: (ok, detail)} of the level."""
    checks = verify_manifest(folder, level="ranks", strict=False).checks
    level = checks[checks["level"] == "ranks"]
    assert level["check"].tolist() == LEVEL
    return {row.check: (row.ok, row.detail) for row in level.itertuples()}


def failed(folder):
    return {check for check, (ok, _) in verdicts(folder).items() if ok is False}


def swap(column):
    def change(frame):
        frame.loc[[1, 5], column] = frame.loc[[5, 1], column].to_numpy()
        return frame

    return change


def put(column, value, place=-1):
    def change(frame):
        frame.loc[frame.index[place], column] = value
        return frame

    return change


# What is done to selection.parquet; the checks that fail beside the score files; those that fail
# without them, where nothing but selection.parquet says what the scores are.
SHIFTED = "rows have another row than comes out for their place"
CHANGES = {
    "a row less": (
        lambda frame: frame.drop(index=frame.index[-1]),
        {SCORED: "scored rows are not ranked", RANKS: "counts or shares are others",
         COUNTS: "aiw:documents should be"},
        {RANKS, COUNTS},
    ),
    "the first row less": (
        lambda frame: frame.drop(index=frame.index[0]),
        {SCORED: "scored rows are not ranked", RANKS: "have another rank", COUNTS: "should be"},
        {RANKS, COUNTS},
    ),
    "a row twice": (
        lambda frame: pd.concat([frame, frame.iloc[-1:]]),
        {SCORED: "scored rows are not ranked", RANKS: "to be ranked", COUNTS: "should be"},
        {RANKS, COUNTS},
    ),
    "no rows": (
        lambda frame: frame.iloc[:0],
        dict.fromkeys((SCORED, RANKS, COUNTS), "there are no rows"),
        {RANKS, COUNTS},
    ),
    "other order": (lambda frame: frame.iloc[::-1], {RANKS: SHIFTED}, {RANKS}),
    "other rank": (put("rank", 99), {RANKS: "1 rows have another rank"}, {RANKS}),
    "other repeat": (put("repeat", 2, 0), {RANKS: "1 rows have another repeat"}, {RANKS}),
    "one more": (
        put(["selected", "repeat"], [True, 1]),
        {RANKS: "1 rows have another selected", COUNTS: "should be"}, {RANKS, COUNTS},
    ),
    "one less": (
        put(["selected", "repeat"], [False, 0], 0),
        {RANKS: "the first row that differs is number 1", COUNTS: "should be"}, {RANKS, COUNTS},
    ),
    "scores swapped": (
        swap("score"),
        {FORMULA: "2 scores are not (loss_ref - loss_base) / loss_base; the first is row number 2",
         SCORED: "2 ranked rows have another score than was scored; the first row that differs is "
         "number 2"},
        {FORMULA, RANKS},
    ),
    "losses swapped": (
        swap("loss_ref"),
        {FORMULA: "2 scores are not", SCORED: "2 ranked rows have another loss_ref"}, {FORMULA},
    ),
    "tokens swapped": (
        swap("tokens"), {SCORED: "2 ranked rows have another tokens than was scored"}, {RANKS},
    ),
    "other id": (put("doc_id", "x"), {SCORED: "1 ranked rows have another doc_id"}, set()),
    "other domain": (put("domain", "x", 0), {SCORED: "have another domain"}, {RANKS}),
    "other hash": (
        put("text_sha256", "0" * 64), {SCORED: "1 ranked rows have another text_sha256"}, {COUNTS},
    ),
    "no hash": (put("text_sha256", "é"), {SCORED: "another text_sha256"}, {COUNTS}),
    "not finite": (
        put("score", np.inf),
        {FORMULA: "1 rows hold a loss or score that is not finite", SCORED: "another score"},
        {FORMULA, RANKS, COUNTS},
    ),
    "nothing to lose": (
        put("loss_base", 0.0),
        {FORMULA: "1 base losses are not above zero", SCORED: "another loss_base"}, {FORMULA},
    ),
    "no score": (
        put("score", np.nan), {"selection rows": "nulls, so many by column: {'score': 1}"},
        {"selection rows"},
    ),
    "no source": (
        put("source", None), {"selection rows": "nulls, so many by column: {'source': 1}"},
        {"selection rows"},
    ),
    "no tokens": (put("tokens", 0), {SCORED: "another tokens"}, {RANKS, COUNTS}),
    "known compression": (
        put("compression_ratio", 7.0, 3), {SCORED: "another compression_ratio"}, set(),
    ),
}  # fmt: skip
STATEMENTS = [
    ("aiw:domains", lambda value: value[1].update(threshold=0.0), {RANKS}),
    ("aiw:domains", lambda value: value.pop(), {RANKS}),
    ("aiw:selection", lambda value: value.update(fraction=0.5), {RANKS}),
    ("aiw:selection", lambda value: value.update(fraction=7), {RANKS}),
    ("aiw:selection", lambda value: value.update(fraction=None), {RANKS}),
    ("aiw:selection", lambda value: value.update(by="bytes"), {RANKS}),
    ("aiw:selection", lambda value: value.update(duplicates="keep one"), {RANKS}),
    ("aiw:selection", lambda value: value.update(cap=-1), {RANKS}),
    ("aiw:selection", lambda value: value.update(tie_rule="coin"), {RANKS}),
    ("aiw:corpus", lambda value: value.update(text_digest="0" * 64), {"run record"}),
    ("aiw:corpus", lambda value: value.update(sources=2), {COUNTS}),
    ("aiw:documents", lambda value: value.update(selected=1), {COUNTS}),
    ("aiw:documents", lambda value: value.update(excluded=1), {SCORED, COUNTS}),
]


def test_an_untouched_manifest_passes(folder):
    results = verdicts(folder)
    assert all(ok for ok, _ in results.values()), results
    rows = len(pq.read_table(folder / "selection.parquet"))
    detail = f"all {rows} found among 24 scored rows, {24 - rows} excluded"
    assert results[SCORED] == (True, detail)
    without_score_files(folder)
    assert {check: ok for check, (ok, _) in verdicts(folder).items() if not ok} == {SCORED: None}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_selection_is_found_by_the_check_that_is_about_it(name, folder):
    change, expected, alone = CHANGES[name]
    rewrite_selection(folder, change)
    results = verdicts(folder)
    assert {check for check, (ok, _) in results.items() if ok is False} == set(expected)
    for check, words in expected.items():
        assert words in results[check][1]
    without_score_files(folder)
    assert failed(folder) == alone


@pytest.mark.parametrize(("term", "change", "expected"), STATEMENTS)
def test_a_changed_statement_is_found_by_the_check_that_is_about_it(term, change, expected, folder):
    edit_json(folder / "manifest.json", lambda manifest: change(manifest[term]))
    assert set(failures(folder)) == expected
    without_score_files(folder)
    assert set(failures(folder)) == expected - {SCORED}


def test_a_row_that_was_never_scored_is_named_as_such(folder):
    rewrite_selection(folder, put("row", 99))
    results = verdicts(folder)
    assert results[SCORED][1].startswith("1 ranked rows are not in the score files; the first row")
    assert results[SCORED][0] is results[RANKS][0] is False


def test_clusters_that_are_not_there_keep_the_ranks_alone_from_being_checked(folder):
    edit_json(
        folder / "manifest.json",
        lambda m: m["aiw:selection"].update(clusters="selection_clusters.parquet"),
    )
    results = verdicts(folder)
    assert results[RANKS][0] is None
    assert "not checked: selection_clusters.parquet" in results[RANKS][1]
    assert (results[SCORED][0], results[COUNTS][0]) == (True, True)


def test_a_document_that_was_scored_twice_is_found_even_when_it_is_left_out(folder):
    path = folder / "scores/part-0.parquet"
    rows = pq.read_table(path)
    pq.write_table(pa.concat_tables([rows, rows.slice(0, 1)]), path)  # row 0 is one that may be out

    def state(record):
        record["score_files"][0] = describe(path, folder, 13)

    edit_json(folder / "run.json", state)
    edit_json(folder / "manifest.json", lambda m: state(m["aiw:run"]))
    restate(folder, "run.json", "scores/part-0.parquet")
    ok, detail = verdicts(folder)[SCORED]
    assert ok is False
    assert "1 documents are scored twice" in detail or "rows repeat a (source, row)" in detail


@settings(max_examples=15, deadline=None)
@given(
    documents=DOCUMENTS, percent=st.integers(1, 100), by=st.sampled_from(["documents", "tokens"]),
    policy=POLICIES, clustered=st.booleans(), left_out=st.integers(0, 3),
    sizes=st.sampled_from([(1, 1, 1), (3, 7, 2)]),
)  # fmt: skip
def test_whatever_was_selected_verifies_in_pieces_of_any_size(
    tmp_path_factory, documents, percent, by, policy, clustered, left_out, sizes
):
    table = table_of(documents, False)
    folder = lay_down(tmp_path_factory.mktemp("bulk") / "run", table, 2)
    near = folder.parent / "near.parquet"
    pq.write_table(
        pa.Table.from_pandas(
            clusters_of(documents, table), schema=CLUSTER_SCHEMA, preserve_index=False
        ),
        near,
    )
    asked = {
        "fraction": percent / 100, "by": by, "duplicates": policy[0], "cap": policy[1],
        "clusters": near if clustered else None,
    }  # fmt: skip
    if 0 < left_out < len(table):
        write_manifest(select(table[left_out:], **asked), folder)
    else:
        select_files(folder, **asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb_scores, "BATCH_ROWS", sizes[0])
        patch.setattr(duckdb_scores, "SORTED_ROWS", sizes[1])
        patch.setattr(row_checks, "PIECE", sizes[2])
        patch.setattr(ranking_again, "PIECE", sizes[2])
        results = verdicts(folder)
        del results["skipped documents"]  # of which `lay_down` has none
        assert all(ok for ok, _ in results.values()), results
        rewrite_selection(folder, put("rank", 10**6))
        assert verdicts(folder)["ranks and thresholds"][0] is False


def test_one_walk_serves_all_checks_even_when_it_fails(folder, monkeypatch):
    walks = []
    first = duckdb_scores.ScoreFiles.check
    monkeypatch.setattr(
        duckdb_scores.ScoreFiles, "check", lambda self: walks.append(1) or first(self)
    )
    verdicts(folder)
    rewrite_selection(folder, put("tokens", 0))
    verdicts(folder)
    assert len(walks) == 2


def test_nothing_is_written_into_the_folder(folder):
    before = sorted(folder.rglob("*"))
    folder.chmod(0o500)
    try:
        assert all(ok is not False for ok, _ in verdicts(folder).values())
    finally:
        folder.chmod(0o700)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
def test_a_page_that_expands_a_thousandfold_never_reaches_duckdb(folder):
    table = pq.read_table(folder / "selection.parquet")
    ids = pa.array(["a" * (200 << 20), *table["doc_id"].to_pylist()[1:]])
    bomb = table.set_column(table.schema.get_field_index("doc_id"), "doc_id", ids)
    pq.write_table(bomb, folder / "selection.parquet", compression="zstd", use_dictionary=False)
    restate(folder, "selection.parquet")
    with pytest.raises(ValueError, match="a page of column 'doc_id' would take 209"):
        duckdb_scores.ScoreFiles([folder / "selection.parquet"], None, scratch=folder)
    assert verdicts(folder)["selection rows"][0] is False
