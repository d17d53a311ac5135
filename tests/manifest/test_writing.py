"""Writing the manifest: standard readers accept it, it says what was done, and no more."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from support.run_folders import (
    DATE,
    HOSTILE,
    LISTED,
    SKIPPED,
    failures,
    lay_down_manifest,
    lay_down_run,
    run_record,
    score_table,
)

from workbench.core.files import write_atomically
from workbench.manifest.verification.verify import verify_manifest
from workbench.manifest.writing import write_manifest
from workbench.scoring.score_table import ScoreTable
from workbench.selection.ranking import select


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One run with its manifest, which no test changes."""
    return lay_down_manifest(tmp_path_factory.mktemp("made") / "run")


def test_a_croissant_reader_accepts_the_manifest_and_reads_its_rows(made):
    croissant = pytest.importorskip("mlcroissant")
    dataset = croissant.Dataset(jsonld=made / "manifest.json")
    assert not dataset.metadata.ctx.issues.errors
    first = next(iter(dataset.records("documents")))
    expected = select(score_table(), 0.3).table.iloc[0]
    assert first["documents/doc_id"].decode() == expected["doc_id"]
    assert first["documents/domain"].decode() == HOSTILE
    assert first["documents/score"] == expected["score"]
    assert (first["documents/rank"], first["documents/selected"]) == (1, True)
    assert first["documents/repeat"] == 1


def test_the_terms_survive_a_json_ld_reader(made):
    rdflib = pytest.importorskip("rdflib")
    graph = rdflib.Graph().parse(made / "manifest.json", format="json-ld")
    aiw = rdflib.Namespace("urn:attention-influence-workbench:")
    stated = json.loads((made / "manifest.json").read_text())
    for term in ("format", "run", "documents", "selection", "domains", "corpus"):
        (literal,) = graph.objects(predicate=aiw[term])
        assert json.loads(literal) == stated[f"aiw:{term}"]
    agents = graph.objects(predicate=rdflib.PROV.wasAssociatedWith)
    assert len(list(agents)) == 3


def test_states_what_was_done(made):
    stated = json.loads((made / "manifest.json").read_text())
    assert stated["aiw:run"]["heads"]["text"] == "L17H3 L18H6"
    assert stated["aiw:documents"] == {
        "read": 28, "scored": 24, "skipped": 4, "excluded": 0, "ranked": 24, "selected": 9,
    }  # fmt: skip
    assert stated["aiw:skippedReasons"] == [
        {"reason": reason, "documents": count} for reason, count in SKIPPED
    ]
    assert stated["aiw:domains"] == select(score_table(), 0.3).domains.to_dict("records")
    assert "duplicates are kept" in stated["aiw:selection"]["duplicate_policy"]
    assert [entry["contentUrl"] for entry in stated["distribution"]] == [
        *LISTED, "scores/part-1.parquet",
    ]  # fmt: skip


def test_the_same_selection_gives_the_same_bytes(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    table = pd.concat([pd.read_parquet(made / f"scores/part-{part}.parquet") for part in (1, 0)])
    write_manifest(select(table, 0.3), tmp_path / "run", corpus_note="made up", date=DATE)
    for name in ("selection.parquet", "manifest.json"):
        assert (tmp_path / "run" / name).read_bytes() == (made / name).read_bytes()
    write_manifest(select(table, 0.3), tmp_path / "run", corpus_note="made up")
    differing = {
        key
        for key, value in json.loads((tmp_path / "run/manifest.json").read_text()).items()
        if value != json.loads((made / "manifest.json").read_text())[key]
    }
    assert differing == {"datePublished"}


def test_holds_no_absolute_path_and_no_text(made):
    text = (made / "manifest.json").read_text()
    assert "/home/" not in text
    origin = json.loads(text)["aiw:run"]["heads"]["origin"]
    assert origin == {"probes": "probes.json", "note": "of y, =1/2"}
    assert str(made) not in text
    model = json.loads(text)["aiw:run"]["model"]
    assert model["source"] == "small-lm"
    assert model["source_kind"] == "last component of a local path"
    assert "document number" not in text
    assert b"document number" not in (made / "selection.parquet").read_bytes()


@pytest.mark.parametrize("path", ["/data/a.jsonl", "C:\\data\\a.jsonl", "~/a.jsonl", "file:///a"])
def test_refuses_absolute_sources_and_notes(path, tmp_path):
    table = ScoreTable(score_table(), run_record(score_table()), [])
    with pytest.raises(ValueError, match="absolute"):
        write_manifest(select(table), tmp_path, corpus_note=f"a crawl, see {path}")
    local = replace(table, frame=table.frame.assign(source=path))
    with pytest.raises(ValueError, match="absolute"):
        write_manifest(select(local), tmp_path)
    assert not list(tmp_path.iterdir())


def test_makes_the_folder_and_takes_scores_that_were_never_on_disk(tmp_path):
    table = ScoreTable(score_table(), run_record(score_table()), [])
    path = write_manifest(select(table), tmp_path / "new/folder", date=DATE)
    assert path == tmp_path / "new/folder/manifest.json"
    report = verify_manifest(path.parent)
    assert report.ok
    unseen = report.checks[report.checks["ok"].isna()]
    assert {"run.json", "rows are the scored rows", "model identity"} <= set(unseen["check"])
    assert unseen["detail"].str.startswith("not checked: ").all()


def test_documents_left_out_by_the_user_are_counted(tmp_path):
    table = lay_down_run(tmp_path / "run")
    kept = table.keep(table.frame["row"] > 4)
    path = write_manifest(select(kept), tmp_path / "run")
    assert json.loads(path.read_text())["aiw:documents"]["excluded"] == 5
    assert failures(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.assign(score=rows["score"] + 1e-12), "another score"),
        (lambda rows: rows.assign(row=rows["row"] + 1), "not in the score files"),
        (lambda rows: rows.assign(domain="all"), "another domain"),
    ],
)
def test_refuses_rows_that_the_run_did_not_score(change, message, tmp_path):
    table = lay_down_run(tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        write_manifest(select(change(table.frame)), tmp_path / "run")
    assert not (tmp_path / "run/selection.parquet").exists()


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    target = write_atomically(tmp_path / "file", b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"
