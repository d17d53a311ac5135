"""Ranks checked on disk: what the checks in memory say of a manifest, said without holding it."""

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
from support.run_folders import edit_json, failures, lay_down_manifest

from workbench.manifest.selecting_files import select_files
from workbench.manifest.verification import on_disk_checks
from workbench.manifest.verification.verify import verify_manifest
from workbench.selection import duckdb_scores
from workbench.selection.duplicates import CLUSTER_SCHEMA

pytest.importorskip("duckdb")

LEVEL = [
    "selection rows", "scores follow from losses", "rows are the scored rows",
    "ranks and thresholds", "counts", "skipped documents",
]  # fmt: skip


@pytest.fixture(params=["with score files", "without"])
def folder(request, tmp_path):
    """A manifest, published with its score files or without."""
    made = lay_down_manifest(tmp_path / "run")
    if request.param == "without":
        shutil.rmtree(made / "scores")
        edit_json(
            made / "manifest.json",
            lambda m: m.update(
                distribution=[d for d in m["distribution"] if "scores/" not in d["contentUrl"]]
            ),
        )
        assert failures(made) == []
    return made


def verdicts(folder, large):
    """{check: (ok, detail)} of the level, where so many rows are held in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_disk_checks, "LARGE", large)
        checks = verify_manifest(folder, level="ranks", strict=False).checks
    level = checks[checks["level"] == "ranks"]
    return {one.check: (one.ok, one.detail) for one in level.itertuples()}


def both(folder):
    on_disk, in_memory = verdicts(folder, 0), verdicts(folder, 10**9)
    assert list(on_disk) == list(in_memory) == LEVEL
    return on_disk, in_memory


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


CHANGES = {
    "a row less": lambda frame: frame.drop(index=frame.index[-1]),
    "the first row less": lambda frame: frame.drop(index=frame.index[0]),
    "a row twice": lambda frame: pd.concat([frame, frame.iloc[-1:]]),
    "no rows": lambda frame: frame.iloc[:0],
    "other order": lambda frame: frame.iloc[::-1],
    "other rank": put("rank", 99),
    "other repeat": put("repeat", 2, 0),
    "one more": put(["selected", "repeat"], [True, 1]),
    "one less": put(["selected", "repeat"], [False, 0], 0),
    "scores swapped": swap("score"),
    "losses swapped": swap("loss_ref"),
    "tokens swapped": swap("tokens"),
    "other id": put("doc_id", "x"),
    "other domain": put("domain", "x", 0),
    "other hash": put("text_sha256", "0" * 64),
    "no hash": put("text_sha256", "é"),
    "not finite": put("score", np.inf),
    "no score": put("score", np.nan),
    "no source": put("source", None),
    "no tokens": put("tokens", 0),
    "known compression": put("compression_ratio", 7.0, 3),
}
STATEMENTS = [
    ("aiw:domains", lambda value: value[1].update(threshold=0.0)),
    ("aiw:domains", lambda value: value.pop()),
    ("aiw:selection", lambda value: value.update(fraction=0.5)),
    ("aiw:selection", lambda value: value.update(fraction=7)),
    ("aiw:selection", lambda value: value.update(fraction=None)),
    ("aiw:selection", lambda value: value.update(by="bytes")),
    ("aiw:selection", lambda value: value.update(duplicates="keep one")),
    ("aiw:selection", lambda value: value.update(cap=-1)),
    ("aiw:selection", lambda value: value.update(tie_rule="coin")),
    ("aiw:selection", lambda value: value.update(clusters="selection_clusters.parquet")),
    ("aiw:corpus", lambda value: value.update(text_digest="0" * 64)),
    ("aiw:corpus", lambda value: value.update(sources=2)),
    ("aiw:documents", lambda value: value.update(selected=5)),
]


def require_as_good(folder):
    """On disk a change is found if it is found in memory, and by the same checks.

    Two checks differ where the score files are there: what is ranked again and counted is what they
    hold, and that the selection holds the same is said by "rows are the scored rows" alone.
    """
    on_disk, in_memory = ({c: ok for c, (ok, _) in one.items()} for one in both(folder))
    assert (False in on_disk.values()) == (False in in_memory.values())
    unseen = {c for c, ok in on_disk.items() if ok and in_memory[c] is False}
    if on_disk["rows are the scored rows"] is False:
        unseen -= {"ranks and thresholds", "counts"}
    assert not unseen
    return False in on_disk.values()


def test_an_untouched_manifest_passes_in_the_same_words(folder):
    on_disk, in_memory = both(folder)
    assert on_disk == in_memory
    assert not [check for check, (ok, _) in on_disk.items() if ok is False]


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_selection_is_found_by_the_same_checks(name, folder):
    rewrite_selection(folder, CHANGES[name])
    # Nothing but the score files says what the id of a document is, or how it compresses.
    alone = not (folder / "scores").exists() and name in ("other id", "known compression")
    assert require_as_good(folder) != alone


@pytest.mark.parametrize(("term", "change"), STATEMENTS)
def test_a_changed_statement_is_found_by_the_same_checks(term, change, folder):
    edit_json(folder / "manifest.json", lambda manifest: change(manifest[term]))
    require_as_good(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_disk_checks, "LARGE", 0)
        assert failures(folder)


@settings(max_examples=15, deadline=None)
@given(
    documents=DOCUMENTS, percent=st.integers(1, 100), by=st.sampled_from(["documents", "tokens"]),
    policy=POLICIES, clustered=st.booleans(), sizes=st.sampled_from([(1, 1, 1), (3, 7, 2)]),
)  # fmt: skip
def test_whatever_was_selected_verifies_in_pieces_of_any_size(
    tmp_path_factory, documents, percent, by, policy, clustered, sizes
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
    select_files(
        folder, percent / 100, by, duplicates=policy[0], cap=policy[1],
        clusters=near if clustered else None,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb_scores, "BATCH_ROWS", sizes[0])
        patch.setattr(duckdb_scores, "SORTED_ROWS", sizes[1])
        patch.setattr(on_disk_checks, "_PIECE", sizes[2])
        found = verdicts(folder, 0)
        del found["skipped documents"]  # of which `lay_down` has none
        assert all(ok for ok, _ in found.values()), found
        rewrite_selection(folder, put("rank", 10**6))
        assert verdicts(folder, 0)["ranks and thresholds"][0] is False


def test_one_walk_serves_all_checks_even_when_it_fails(folder, monkeypatch):
    walks = []
    first = on_disk_checks.ScoreFiles.check
    monkeypatch.setattr(
        on_disk_checks.ScoreFiles, "check", lambda self: walks.append(1) or first(self)
    )
    verdicts(folder, 0)
    rewrite_selection(folder, put("tokens", 0))
    verdicts(folder, 0)
    assert len(walks) == 2


def test_nothing_is_written_into_the_folder(folder, monkeypatch):
    before = sorted(folder.rglob("*"))
    folder.chmod(0o500)
    try:
        assert all(ok is not False for ok, _ in verdicts(folder, 0).values())
    finally:
        folder.chmod(0o700)
    assert sorted(folder.rglob("*")) == before


def test_without_duckdb_and_with_excluded_rows_it_is_done_in_memory(folder, monkeypatch):
    listed = {"selection.parquet": folder / "selection.parquet"}
    manifest = {"aiw:documents": {"excluded": 0}}
    monkeypatch.setattr(on_disk_checks, "LARGE", 0)
    assert on_disk_checks.is_for(manifest, listed)
    assert not on_disk_checks.is_for({"aiw:documents": {"excluded": 1}}, listed)
    monkeypatch.setattr(on_disk_checks.importlib.util, "find_spec", lambda name: None)
    assert not on_disk_checks.is_for(manifest, listed)


def test_a_page_that_expands_a_thousandfold_never_reaches_duckdb(folder):
    table = pq.read_table(folder / "selection.parquet")
    ids = pa.array(["a" * (200 << 20), *table["doc_id"].to_pylist()[1:]])
    bomb = table.set_column(table.schema.get_field_index("doc_id"), "doc_id", ids)
    pq.write_table(bomb, folder / "selection.parquet", compression="zstd", use_dictionary=False)
    restate(folder, "selection.parquet")
    with pytest.raises(ValueError, match="a page of column 'doc_id' would take 209"):
        duckdb_scores.ScoreFiles(
            [folder / "selection.parquet"], None, memory="1GB", threads=1, scratch=folder
        )
    assert verdicts(folder, 0)["selection rows"][0] is False
