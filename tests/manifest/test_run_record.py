"""The run in a manifest: its record as it may be published, and the files beside it."""

from __future__ import annotations

import json
import shutil

import pytest
from support.run_folders import DATE, edit_json, failures, lay_down_run, run_record, score_table

from workbench.manifest.writing import write_manifest
from workbench.scoring.score_table import ScoreTable
from workbench.selection.ranking import select


def test_a_hub_name_is_kept_as_given(tmp_path):
    table = ScoreTable(score_table(), run_record(score_table()), [])
    table.run["model"]["source"] = "owner/name"
    path = write_manifest(select(table), tmp_path, date=DATE)
    model = json.loads(path.read_text())["aiw:run"]["model"]
    assert (model["source"], model["source_kind"]) == ("owner/name", "as given")


def test_takes_the_run_record_from_the_folder(tmp_path):
    table = lay_down_run(tmp_path / "run")
    write_manifest(select(table.frame), tmp_path / "run")
    assert failures(tmp_path / "run") == []


def test_refuses_scores_of_unknown_making(tmp_path):
    with pytest.raises(ValueError, match=r"how these scores were made.*keep\(mask\)"):
        write_manifest(select(score_table()), tmp_path)


def test_refuses_the_folder_of_another_run(tmp_path):
    table = lay_down_run(tmp_path / "run")
    edit_json(tmp_path / "run/run.json", lambda run: run.update(mode="zero"))
    with pytest.raises(ValueError, match=r"another run.*mode"):
        write_manifest(select(table), tmp_path / "run")


def test_refuses_a_run_with_a_score_file_missing_or_changed(tmp_path):
    table = lay_down_run(tmp_path / "run")
    shutil.copy(tmp_path / "run/scores/part-0.parquet", tmp_path / "run/scores/part-1.parquet")
    with pytest.raises(ValueError, match="changed since"):
        write_manifest(select(table), tmp_path / "run")
    (tmp_path / "run/scores/part-1.parquet").unlink()
    with pytest.raises(ValueError, match="1 of the run's 2 score files"):
        write_manifest(select(table), tmp_path / "run")
