"""Materialising: every chosen text as it was scored, counts that add up, nothing outside, nothing
half-written that looks whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.hostile import TEXTS
from support.paths import TESTS
from support.run_folders import HOSTILE, lay_down_manifest, run_record
from support.run_folders import documents as scored

import workbench.core.progress
import workbench.manifest.export.shard_folders
import workbench.manifest.export.text_shards
from workbench.core.files import sha256_of
from workbench.core.progress import Cancelled
from workbench.corpus.reading import CorpusError, Document, read_corpus
from workbench.manifest.export.materialisation import (
    MaterialiseError,
    materialise,
    read_index,
)
from workbench.manifest.export.shard_columns import COLUMNS
from workbench.manifest.export.shard_folders import source_folder
from workbench.manifest.export.text_shards import FORMATS
from workbench.manifest.verification.report import VerificationError
from workbench.manifest.writing import write_manifest
from workbench.scoring.score_table import ScoreTable
from workbench.selection.ranking import select

DOMAINS = [
    "../../outside", "/etc", "a\x00b", "CON", "con", "x" * 300, "x" * 299 + "y", "", ".", "..",
    "Ärger/ß", "ÄRGER/ß", "a b;$(touch hacked)", "-rf", HOSTILE, "\\\\server\\share", "C:\\x",
]  # fmt: skip


def selection_of(folder):
    return pq.read_table(folder / "selection.parquet").to_pandas().query("selected")


def lines_of(out, index, format="jsonl"):
    """Every line of every shard, read by other means than they were written with."""
    lines = []
    for source in index["sources"]:
        for shard in source["shards"]:
            path = out / shard["path"]
            assert sha256_of(path) == shard["sha256"]
            assert path.stat().st_size == shard["bytes"]
            if format == "parquet":
                rows = pq.read_table(path).to_pylist()
            elif format == "jsonl.zst":
                rows = [json.loads(x) for x in pa.input_stream(path).read().decode().splitlines()]
            else:
                rows = [json.loads(x) for x in path.read_text().splitlines()]
            assert len(rows) == shard["lines"]
            assert sum(row["tokens"] for row in rows) == shard["tokens"]
            assert {row["domain"] for row in rows} == {source["domain"]}
            lines += [(source["repeat"], shard["path"], row) for row in rows]
    return lines


def chosen_folder(folder, texts, domains, fraction=1.0):
    """A run folder with a manifest over documents of these texts and domains, and the documents."""
    corpus = [
        Document(f"doc {i}", text, domain, "a.jsonl", i)
        for i, (text, domain) in enumerate(zip(texts, domains, strict=True))
    ]
    count = len(corpus)
    ref = np.linspace(2.5, 3.5, count)
    table = pd.DataFrame(
        {
            "doc_id": [d.doc_id for d in corpus], "domain": [d.domain for d in corpus],
            "source": "a.jsonl", "row": np.arange(count),
            "tokens": [len(d.text.split()) + 4 for d in corpus],
            "predicted": 4, "loss_base": 2.0, "loss_ref": ref, "score": (ref - 2.0) / 2.0,
            "compression_ratio": 2.0,
            "text_sha256": [hashlib.sha256(d.text.encode()).hexdigest() for d in corpus],
        }
    )  # fmt: skip
    run = run_record(table) | {"documents": {"read": count, "scored": count, "skipped": 0}}
    write_manifest(select(ScoreTable(table, run, []), fraction), folder)
    return corpus


@pytest.fixture
def manifest(tmp_path):
    return lay_down_manifest(tmp_path / "run")


@pytest.mark.parametrize("format", FORMATS)
def test_the_shards_hold_the_chosen_texts_and_no_others(manifest, tmp_path, format):
    index = materialise(manifest, scored(), tmp_path / "out", format=format)
    chosen = selection_of(manifest)
    lines = [row for _, _, row in lines_of(tmp_path / "out", index, format)]
    texts = {document.row: document.text for document in scored()}
    assert sorted(row["row"] for row in lines) == sorted(chosen["row"])
    for row in lines:
        assert set(row) == {column.name for column in COLUMNS}
        assert row["text"] == texts[row["row"]]
        stated = chosen.set_index("row").loc[row["row"]]
        assert (row["score"], row["rank"]) == (stated["score"], stated["rank"])
    tokens = chosen.groupby("domain")["tokens"].sum().to_dict()
    assert {s["domain"]: s["trained_tokens"] for s in index["sources"]} == tokens
    assert (index["documents"], index["lines"]) == (len(chosen), len(chosen))
    assert index["tokens"] == chosen["tokens"].sum()
    assert index == read_index(tmp_path / "out")


def test_the_same_input_gives_the_same_bytes(manifest, tmp_path):
    for name, corpus in (("one", scored()), ("two", scored())):
        materialise(manifest, corpus, tmp_path / name, shard_tokens=40)
    digests = [
        {p.relative_to(out).as_posix(): sha256_of(p) for p in out.rglob("*") if p.is_file()}
        for out in (tmp_path / "one", tmp_path / "two")
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) > 4


def test_shards_are_cut_by_tokens(manifest, tmp_path):
    index = materialise(manifest, scored(), tmp_path / "out", shard_tokens=50)
    lines_of(tmp_path / "out", index)
    for source in index["sources"]:
        assert [s["path"] for s in source["shards"]] == [
            f"{source['folder']}/shard-{n:05}.jsonl" for n in range(len(source["shards"]))
        ]
        assert all(shard["tokens"] >= 50 for shard in source["shards"][:-1])
        assert all(shard["tokens"] < 50 + 90 for shard in source["shards"])
    assert max(len(source["shards"]) for source in index["sources"]) > 1


def test_copies_lie_in_different_shards(manifest, tmp_path):
    index = materialise(manifest, scored(), tmp_path / "out", repeat={"code": 3, "math": 1})
    lines = lines_of(tmp_path / "out", index)
    chosen = selection_of(manifest)
    for row in chosen.itertuples():
        shards = [path for _, path, line in lines if line["row"] == row.row]
        assert len(shards) == len(set(shards)) == (3 if row.domain == "code" else 1)
    weights = chosen["tokens"] * np.where(chosen["domain"] == "code", 3, 1)
    assert index["trained_tokens"] == index["tokens"] == weights.sum()


def test_repetition_can_be_a_weight(manifest, tmp_path):
    index = materialise(manifest, scored(), tmp_path / "out", repeat=4, repeats="weight")
    lines = lines_of(tmp_path / "out", index)
    chosen = selection_of(manifest)
    assert sorted(row["row"] for _, _, row in lines) == sorted(chosen["row"])
    assert {repeat for repeat, _, _ in lines} == {4}
    assert index["tokens"] == chosen["tokens"].sum()
    assert index["trained_tokens"] == 4 * index["tokens"]
    assert all(source["folder"].endswith("-x4") for source in index["sources"])


def test_hostile_domains_stay_inside(tmp_path):
    corpus = chosen_folder(tmp_path / "run", [f"text {i}" for i in range(len(DOMAINS))], DOMAINS)
    (tmp_path / "deep").mkdir()
    out = tmp_path / "deep" / "out"
    index = materialise(tmp_path / "run", corpus, out)
    assert sorted(source["domain"] for source in index["sources"]) == sorted(DOMAINS)
    folders = [source["folder"] for source in index["sources"]]
    assert len({folder.casefold() for folder in folders}) == len(DOMAINS)
    assert all(re.fullmatch(r"[0-9]{3}[a-z0-9-]{0,60}", folder) for folder in folders)
    assert len(lines_of(out, index)) == len(DOMAINS)
    assert {p.name for p in tmp_path.iterdir()} == {"run", "deep"}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]


@pytest.mark.parametrize("format", FORMATS)
def test_hostile_texts_come_back_as_they_were(tmp_path, format):
    corpus = chosen_folder(tmp_path / "run", TEXTS, ["all"] * len(TEXTS))
    index = materialise(tmp_path / "run", corpus, tmp_path / "out", format=format)
    texts = {row["row"]: row["text"] for _, _, row in lines_of(tmp_path / "out", index, format)}
    assert [texts[i] for i in range(len(TEXTS))] == TEXTS
    if format == "jsonl":  # and as a corpus, whose rows are the lines
        shards = [str(tmp_path / "out" / s["path"]) for s in index["sources"][0]["shards"]]
        assert [d.text for d in read_corpus(shards)] == TEXTS


def test_no_path_of_the_machine_is_written(manifest, tmp_path):
    materialise(manifest, scored(), tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes()


def changed(row, text):
    return [replace(d, text=text) if d.row == row else d for d in scored()]


def test_a_changed_text_is_named_and_nothing_is_left(manifest, tmp_path):
    row = int(selection_of(manifest)["row"].iloc[-1])
    with pytest.raises(MaterialiseError, match=rf"'doc {row}' \('a.jsonl' row {row}\)"):
        materialise(manifest, changed(row, "other"), tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} <= {".lock"}


def test_a_missing_document_is_named_and_nothing_is_left(manifest, tmp_path):
    row = int(selection_of(manifest)["row"].iloc[0])
    corpus = [document for document in scored() if document.row != row]
    with pytest.raises(MaterialiseError, match=rf"1 of .* first \[\('a.jsonl', {row}\)\]"):
        materialise(manifest, corpus, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} <= {".lock"}


def test_a_text_that_cannot_be_read_any_more_is_named(manifest, tmp_path):
    row = int(selection_of(manifest)["row"].iloc[0])
    corpus = [vars(document) | {"id": document.doc_id} for document in changed(row, "\ud800")]
    lines = "\n".join(json.dumps(fields) for fields in corpus)
    (tmp_path / "a.jsonl").write_text(lines)
    with pytest.raises(MaterialiseError, match=f"'doc {row}' .* cannot be read: .*surrogate"):
        materialise(manifest, tmp_path / "a.jsonl", tmp_path / "out")


def test_a_changed_selection_is_refused(manifest, tmp_path):
    table = pq.read_table(manifest / "selection.parquet").to_pandas()
    table.loc[0, "repeat"] += 5
    pq.write_table(
        pa.Table.from_pandas(table, preserve_index=False), manifest / "selection.parquet"
    )
    with pytest.raises(VerificationError):
        materialise(manifest, scored(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_finished_folder_is_returned_without_reading_again(manifest, tmp_path):
    first = materialise(manifest, scored(), tmp_path / "out")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert materialise(manifest, [], tmp_path / "out") == first
    del times[tmp_path / "out" / ".lock"]
    assert all(path.stat().st_mtime_ns == when for path, when in times.items())
    with pytest.raises(MaterialiseError, match="they differ in repeat"):
        materialise(manifest, scored(), tmp_path / "out", repeat=2)


def test_a_folder_of_something_else_is_left_alone(manifest, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "000-photos").mkdir()
    (out / "000-photos" / "one.jpg").write_text("mine")
    with pytest.raises(MaterialiseError, match="not empty"):
        materialise(manifest, scored(), out)
    (out / ".materialising").touch()  # as if a run had been killed here
    with pytest.raises(MaterialiseError, match="not empty"):
        materialise(manifest, scored(), out)
    assert (out / "000-photos" / "one.jpg").read_text() == "mine"


def test_a_link_out_of_the_folder_is_not_followed(manifest, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "shard-00000.jsonl").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".materialising").touch()
    (out / "000-code").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MaterialiseError, match="not empty"):
        materialise(manifest, scored(), out)
    assert (tmp_path / "elsewhere" / "shard-00000.jsonl").read_text() == "mine"


def test_a_write_error_leaves_nothing(manifest, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workbench.manifest.export.text_shards.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        materialise(manifest, scored(), tmp_path / "out")
    left = {p.name for p in (tmp_path / "out").iterdir()}
    assert left <= {".lock", ".materialising"}
    monkeypatch.undo()
    assert materialise(manifest, scored(), tmp_path / "out")["documents"] > 0


def test_cancel_stops_it_and_leaves_nothing(manifest, tmp_path):
    stop = threading.Event()

    def hear(progress):
        if progress.done == 2:
            stop.set()

    with workbench.core.progress.cancellable(hear, stop), pytest.raises(Cancelled):
        materialise(manifest, scored(), tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} <= {".lock"}


KILLED = """
import os, signal, sys
from support.run_folders import documents
from workbench.manifest.export.materialisation import materialise
def corpus():
    for number, document in enumerate(documents()):
        if number == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        yield document
materialise(sys.argv[1], corpus(), sys.argv[2], shard_tokens=20)
"""


@pytest.mark.slow
def test_a_killed_run_is_no_finished_one_and_is_begun_again(manifest, tmp_path):
    out = tmp_path / "out"
    here = str(TESTS)
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(manifest), str(out)],
        env=os.environ | {"PYTHONPATH": paths}, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert list(out.glob("*/shard-*.jsonl"))  # it had written shards
    with pytest.raises(MaterialiseError, match="not a materialised folder"):
        read_index(out)
    index = materialise(manifest, scored(), out, shard_tokens=20)
    assert index == materialise(manifest, scored(), tmp_path / "whole", shard_tokens=20)
    on_disk = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert on_disk == {"index.json", "croissant.json", ".lock"} | {
        shard["path"] for source in index["sources"] for shard in source["shards"]
    }


def test_many_domains_do_not_exhaust_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(workbench.manifest.export.shard_folders, "_OPEN_SHARDS", 3)
    domains = [f"d{i % 9}" for i in range(45)]
    corpus = chosen_folder(tmp_path / "run", [f"text {i}" for i in range(45)], domains)
    index = materialise(tmp_path / "run", corpus, tmp_path / "out", repeat=2)
    assert len(lines_of(tmp_path / "out", index)) == 90
    assert all(len(source["shards"]) > 2 for source in index["sources"])  # closed before their end


@pytest.mark.parametrize(
    ("wrong", "says"),
    [({"format": "csv"}, "format must be"), ({"repeats": "twice"}, "repeats must be"),
     ({"shard_tokens": 0}, "shard_tokens must be"), ({"repeat": 0}, "repeat must be"),
     ({"repeat": {"cod": 2}}, "repeat names the domains")],
)  # fmt: skip
def test_refuses_wrong_settings(manifest, tmp_path, wrong, says):
    with pytest.raises(ValueError, match=says):
        materialise(manifest, scored(), tmp_path / "out", **wrong)


def test_folder_names_are_plain():
    assert source_folder(2, "Code & Math", 1) == "002-code-math"
    assert source_folder(12, "…", 3) == "012-x3"


# ---- columns of the corpus that go along --------------------------------------------------------


def written_corpus(path, extra):
    """The scored corpus as JSON Lines, with more columns: `extra` gives those of a document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"id": d.doc_id, "text": d.text, "domain": d.domain} | extra(d) for d in scored()]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("format", FORMATS)
def test_columns_of_the_corpus_go_along(manifest, tmp_path, format):
    corpus = written_corpus(
        tmp_path / "a.jsonl",
        lambda d: {"url": f"https://a.example/{d.row}", "meta": {"lang": ["de", None][d.row % 2]},
                   "share": [0.25, float("nan")][d.row % 2]},
    )  # fmt: skip
    carry = ["url", "meta.lang", "share"]
    index = materialise(manifest, corpus, tmp_path / "out", format=format, carry=carry)
    lines = [row for _, _, row in lines_of(tmp_path / "out", index, format)]
    assert len(lines) == index["documents"]
    for row in lines:
        metadata = json.loads(row["metadata"]) if format == "parquet" else row["metadata"]
        odd = row["row"] % 2
        assert metadata == {
            "url": f"https://a.example/{row['row']}", "meta.lang": ["de", None][odd],
            "share": [0.25, None][odd],
        }  # fmt: skip
    with pytest.raises(MaterialiseError, match="differ in carry"):
        materialise(manifest, corpus, tmp_path / "out", format=format)


def test_a_column_that_is_not_there_is_named_and_nothing_is_left(manifest, tmp_path):
    corpus = written_corpus(tmp_path / "a.jsonl", lambda d: {})
    with pytest.raises(CorpusError, match="no column 'url' to carry along; present"):
        materialise(manifest, corpus, tmp_path / "out", carry=["url"])
    assert left_in(tmp_path / "out") == set()


def test_a_value_that_json_does_not_hold_is_named(manifest, tmp_path):
    rows = [replace(d, carried={"thumbnail": b"\x89PNG"}) for d in scored()]
    with pytest.raises(MaterialiseError, match=r"row \d+\): JSON has no form .* bytes; leave"):
        materialise(manifest, rows, tmp_path / "out", carry=["thumbnail"])


def test_a_manifest_that_was_formatted_anew_is_the_same(manifest, tmp_path):
    first = materialise(manifest, scored(), tmp_path / "out")
    path = manifest / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True, indent=7))
    assert materialise(manifest, [], tmp_path / "out") == first


def left_in(folder):
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_says_where_a_text_stands_that_was_moved(manifest, tmp_path):
    turned = [replace(d, row=23 - d.row) for d in scored()]
    with pytest.raises(MaterialiseError, match=r"now stands at 'a.jsonl' row .*not changed"):
        materialise(manifest, turned, tmp_path / "out")
    renamed = [replace(d, source="a.jsonl.gz") for d in scored()]
    with pytest.raises(MaterialiseError, match=r"now stands at 'a.jsonl.gz' row \d+"):
        materialise(manifest, renamed, tmp_path / "out")
    with pytest.raises(MaterialiseError, match="nowhere else in the corpus"):
        materialise(manifest, changed(2, "other"), tmp_path / "out")
    with pytest.raises(MaterialiseError) as caught:  # a stream is gone and cannot be looked through
        materialise(manifest, iter(turned), tmp_path / "out")
    assert "elsewhere" not in str(caught.value)
    assert "now stands" not in str(caught.value)
    assert left_in(tmp_path / "out") == set()


def test_a_file_in_the_place_of_the_folder(manifest, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(MaterialiseError, match="is a file; give a new or empty folder"):
        materialise(manifest, scored(), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"
