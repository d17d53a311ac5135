"""The columns of scores, and runs, files and manifests of versions that had fewer."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.models import make_model
from support.run_folders import edit_json, lay_down_manifest, lay_down_run, of_older_format

import workbench as wb
from workbench.core.files import sha256_of
from workbench.manifest.croissant import READ
from workbench.manifest.verification.model_checks import _AGAIN
from workbench.manifest.verification.report import Failed
from workbench.manifest.verification.row_checks import formula
from workbench.scoring.columns.built_in import FORMED, WHY_MISSING
from workbench.scoring.schema import (
    ADDED,
    NULLABLE,
    RECORD_FORMAT,
    SCHEMA,
    columns_in,
    completed,
)
from workbench.selection.duckdb_scores import ScoreFiles
from workbench.selection.schema import NEWEST, schema_of

TEXTS = [
    {"id": f"d{i}", "text": f"text number {i}, text number {i % 3}", "domain": "ab"[i % 2]}
    for i in range(8)
]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A folder of a run and its manifest, and the model and heads behind it."""
    folder = tmp_path_factory.mktemp("scored") / "run"
    model = make_model()
    heads = wb.HeadSet.parse("L1H0 L2H3", model)
    wb.write_manifest(wb.select(wb.score_corpus(model, heads, TEXTS, folder), 0.5), folder)
    return folder, model, heads


def test_rows_of_an_older_run_get_their_rise_and_no_novel_score(tmp_path):
    table = lay_down_run(tmp_path)
    assert not set(ADDED) & set(table.frame)
    loaded = wb.load_scores(tmp_path).frame
    assert list(loaded) == SCHEMA.names
    for name in set(SCHEMA.names) - set(ADDED):
        np.testing.assert_array_equal(loaded[name], table.frame[name])
    assert (loaded["rise"] == table.frame["loss_ref"] - table.frame["loss_base"]).all()
    assert loaded[list(NULLABLE)].isna().all(axis=None)


def test_a_column_that_an_older_run_lacks_is_no_reason_of_the_documents(tmp_path):
    lay_down_run(tmp_path)
    with pytest.raises(
        ValueError, match=r"a value of 'contrast'.*scores are older than the column"
    ):
        wb.select(wb.load_scores(tmp_path), by_score="contrast")


def test_a_name_that_a_user_had_before_the_package_is_told_from_a_second_column():
    own = {"columns": [{"name": "contrast", "formula": "mine"}]}
    with pytest.raises(ValueError, match="of its user; since then there is one of the package"):
        columns_in({"format": 3, **own})
    with pytest.raises(ValueError, match="a second column 'contrast'"):
        columns_in({"format": RECORD_FORMAT, **own})


# What a sample that is scored again is not compared in: what the documents are, which is checked
# against the corpus, and what `formula` works out from the columns that are compared.
NOT_AGAIN = {
    "doc_id", "domain", "source", "row", "tokens", "predicted", "text_sha256", "compression_ratio",
    "score", "rise", "score_novel", "excess", "excess_relative",
}  # fmt: skip


def test_every_column_is_compared_with_a_second_scoring_or_follows_from_one_that_is():
    assert {*_AGAIN, *NOT_AGAIN} == {*SCHEMA.names}
    assert not {*_AGAIN} & NOT_AGAIN


def test_every_built_in_score_says_why_it_may_be_missing():
    assert {*FORMED, "score_novel"} == {*WHY_MISSING}


def test_other_columns_are_not_filled_in():
    with pytest.raises(KeyError, match="loss_base"):
        completed(pa.table({"loss_ref": [1.0]}), pa.schema([("loss_base", pa.float64())]))


@pytest.mark.parametrize("format", READ[:-1])
def test_manifests_of_an_older_format_hold(tmp_path, format):
    folder = lay_down_manifest(tmp_path / "run")
    assert pq.read_schema(folder / "selection.parquet").equals(schema_of())
    of_older_format(folder, format)
    assert pq.read_schema(folder / "selection.parquet").equals(schema_of(format))
    assert wb.verify_manifest(folder).ok
    edit_json(folder / "manifest.json", lambda manifest: manifest.update({"aiw:format": NEWEST}))
    failed = wb.verify_manifest(folder, strict=False).failed
    assert any(line.startswith("selection rows: its columns are") for line in failed)


def test_a_manifest_of_today_has_them_also_from_an_older_run(tmp_path):
    folder = lay_down_manifest(tmp_path / "run")
    in_memory = (folder / "selection.parquet").read_bytes()
    wb.select_files(folder, 0.3)
    assert (folder / "selection.parquet").read_bytes() == in_memory
    rows = pq.read_table(folder / "selection.parquet")
    assert rows["rise"].null_count == 0
    assert all(rows[name].null_count == 24 for name in NULLABLE)
    assert wb.verify_manifest(folder).ok


def test_a_run_of_today_is_selected_and_verified_with_them(scored, tmp_path):
    folder, model, _ = scored
    stated = pq.read_table(folder / "selection.parquet").to_pandas().set_index("doc_id")
    frame = wb.load_scores(folder).frame.set_index("doc_id")
    for name in ADDED:
        pd.testing.assert_series_equal(stated[name].sort_index(), frame[name].sort_index())
    in_memory = (folder / "selection.parquet").read_bytes()
    wb.select_files(folder, 0.5)
    assert (folder / "selection.parquet").read_bytes() == in_memory
    assert wb.verify_manifest(folder, corpus=TEXTS, model=model).ok
    fields = json.loads((folder / "manifest.json").read_text())["recordSet"][0]["field"]
    assert [field["name"] for field in fields] == schema_of().names


def test_a_folder_of_an_older_run_is_not_scored_on(scored, tmp_path):
    _, model, heads = scored
    wb.score_corpus(model, heads, TEXTS[:4], tmp_path)
    edit_json(tmp_path / "run.json", lambda run: run.update(format=2))
    with pytest.raises(ValueError, match=rf"format: 2 then, {RECORD_FORMAT} now.*not mixed"):
        wb.score_corpus(model, heads, TEXTS, tmp_path)
    assert len(wb.load_scores(tmp_path)) == 4
    again = wb.score_corpus(model, heads, TEXTS, tmp_path, overwrite=True)
    assert (len(again), again.run["format"]) == (8, RECORD_FORMAT)


def test_a_file_that_lacks_what_its_record_promises_is_refused(scored, tmp_path):
    _, model, heads = scored
    wb.score_corpus(model, heads, TEXTS, tmp_path)
    (path,) = (tmp_path / "scores").iterdir()
    pq.write_table(pq.read_table(path).drop_columns(["rise"]), path)
    (receipt,) = (tmp_path / "receipts").iterdir()
    file = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    edit_json(receipt, lambda stated: stated["score_file"].update(file))
    line = f"{sha256_of(receipt)}  receipts/{receipt.name}\n"
    (tmp_path / "receipts.sha256").write_text(line)
    listed = {"sha256": sha256_of(tmp_path / "receipts.sha256"), "bytes": len(line)}
    edit_json(tmp_path / "run.json", lambda run: run["receipts_file"].update(listed))
    with pytest.raises(ValueError, match=r"lacks the columns \['rise'\]"):
        wb.load_scores(tmp_path)


def test_files_of_two_versions_are_not_ranked_together(scored, tmp_path):
    (path,) = (scored[0] / "scores").iterdir()
    rows = pq.read_table(path)
    pq.write_table(rows.drop_columns(list(ADDED)), tmp_path / "older.parquet")
    pq.write_table(rows.drop_columns(["rise"]), tmp_path / "damaged.parquet")
    with pytest.raises(ValueError, match="of runs of two versions"):
        ScoreFiles([path, tmp_path / "older.parquet"], None, scratch=tmp_path)
    with pytest.raises(ValueError, match=r"lacks the columns \['rise'\]"):
        ScoreFiles([tmp_path / "damaged.parquet"], None, scratch=tmp_path)


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("rise", lambda value: value + 1e-6, "1 rises are not loss_ref - loss_base"),
        ("rise", lambda value: float("nan"), "1 rises are not"),
        ("score_novel", lambda value: value + 1e-6, "1 novel scores are not"),
        ("score_novel", lambda value: None, "1 novel scores are not"),
        ("loss_ref_novel", lambda value: None, "1 rows have losses of novel tokens without"),
        ("loss_base_novel", lambda value: float("inf"), "1 rows have losses of novel tokens"),
        ("predicted_novel", lambda value: 10**6, "1 rows count other novel tokens than there can"),
        ("predicted_novel", lambda value: -1, "1 rows count other novel tokens"),
        ("predicted_novel", lambda value: 0, "1 rows have losses of novel tokens without such"),
    ],
)
def test_what_does_not_follow_from_the_losses_is_named(scored, tmp_path, column, change, message):
    rows = pq.read_table(scored[0] / "selection.parquet")
    path = tmp_path / "selection.parquet"
    pq.write_table(rows, path)
    assert formula(path)[0]
    values = rows[column].to_pylist()
    values[3] = change(values[3])
    place = rows.column_names.index(column)
    pq.write_table(rows.set_column(place, column, pa.array(values, rows[column].type)), path)
    with pytest.raises(Failed, match=f"{message}.*the first is row number 4"):
        formula(path)
