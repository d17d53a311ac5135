"""Runs by several workers and in parts: the same files as in one process, nothing lost."""

from __future__ import annotations

import itertools
import json
import os
import resource
import signal
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from support.corpora import FIFTY, write
from support.models import make_model

import workbench as wb
from workbench.core.progress import Cancelled, cancellable
from workbench.scoring.drivers import local as local_driver
from workbench.scoring.drivers.shared_model import open_stored, store
from workbench.scoring.folder.run_folder import acquire_run_folder, run_record
from workbench.scoring.folder.shard_index import shard_index_of
from workbench.scoring.worker import Job

ROOT = Path.cwd()


@pytest.fixture
def corpus(tmp_path):
    write(tmp_path / "corpus/a.jsonl", [*FIFTY[:20], {"id": "x", "text": " "}, {"id": "y"}])
    write(tmp_path / "corpus/b.jsonl", FIFTY[20:])
    return tmp_path / "corpus"


def files(folder):
    """Every published file and its bytes."""
    published = [*folder.glob("scores/*"), *folder.glob("receipts/*"), folder / "skipped.jsonl"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in [*published, folder / "run.json"]}


def record(folder):
    """The run record without what the certificate measured, whose last digits may differ."""
    run = json.loads((folder / "run.json").read_text())
    del run["certificate"]["checks"]
    return run


def test_workers_write_the_files_that_one_process_writes(heads, corpus, tmp_path):
    """From the weights that are in memory, not those that were once loaded."""
    tiny = make_model()
    with torch.no_grad():
        tiny.hf.get_input_embeddings().weight.mul_(1.5)
    alone = wb.run_scoring(tiny, heads, corpus, tmp_path / "alone", shard_size=8)
    messages = []
    many = wb.run_scoring(
        tiny, heads, corpus, tmp_path / "many", shard_size=8, workers=2, on_progress=messages.append
    )
    one, other = files(tmp_path / "alone"), files(tmp_path / "many")
    assert one.keys() == other.keys()
    assert {k for k in one if one[k] != other[k]} <= {"run.json"}
    assert record(tmp_path / "alone") == record(tmp_path / "many")
    assert many.counts == alone.counts == {"read": 52, "scored": 50, "skipped": 2, "failed": 0}
    pd.testing.assert_frame_equal(many.domains, alone.domains)
    assert messages[0]["event"] == "started"
    assert (messages[-1]["event"], messages[-1]["documents"], messages[-1]["of"]) == (
        "ended",
        52,
        52,
    )
    scores = wb.load_scores(tmp_path / "many").frame
    assert messages[-1]["tokens"] == many.tokens == scores["predicted"].sum()
    assert not [
        child for child in psutil.Process().children() if "local_process" in str(child.cmdline())
    ]
    again = wb.run_scoring(tiny, heads, corpus, tmp_path / "many", shard_size=8, workers=2)
    assert (again.kept, again.tokens, again.finished) == (again.shards, 0, True)
    assert files(tmp_path / "many") == other
    # And a notebook goes on where the workers were.
    assert wb.run_scoring(tiny, heads, corpus, tmp_path / "many", shard_size=8).kept == many.shards


def test_the_report_means_are_those_of_the_scores(tiny, heads, corpus, tmp_path):
    report = wb.run_scoring(tiny, heads, corpus, tmp_path, shard_size=8)
    scores = wb.load_scores(tmp_path).frame
    means = scores.groupby("domain")[["loss_base", "loss_ref", "score"]].mean()
    found = report.domains.set_index("domain")[["loss_base", "loss_ref", "score"]]
    pd.testing.assert_frame_equal(found, means)
    json.dumps(report.to_json())
    assert "52 documents read = 50 scored + 2 skipped + 0 failed" in repr(report)


def test_parts_share_a_folder_and_the_last_completes_it(tiny, heads, corpus, tmp_path):
    wb.run_scoring(tiny, heads, corpus, tmp_path / "alone", shard_size=8)
    reports = [
        wb.run_scoring(tiny, heads, corpus, tmp_path / "run", shard_size=8, part=(i, 3))
        for i in (2, 3)
    ]
    assert not any(report.finished for report in reports)
    with pytest.raises(ValueError, match="is not finished"):
        wb.load_scores(tmp_path / "run")
    with acquire_run_folder(tmp_path / "run", (2, 3)):  # another of them is still at work
        with pytest.raises(RuntimeError, match="another run is writing"):
            wb.run_scoring(tiny, heads, corpus, tmp_path / "run", shard_size=8)
        with pytest.raises(RuntimeError, match="another run is writing"):
            wb.run_scoring(tiny, heads, corpus, tmp_path / "run", shard_size=8, part=(1, 4))
        last = wb.run_scoring(tiny, heads, corpus, tmp_path / "run", shard_size=8, part=(1, 3))
    assert last.finished
    assert sum(report.read for report in [*reports, last]) == 52
    assert record(tmp_path / "run") == record(tmp_path / "alone")


def test_a_model_opened_from_its_store_is_the_same(tiny, tmp_path):
    store(tiny, tmp_path)
    opened = open_stored(tmp_path)
    assert opened.identity == tiny.identity
    assert opened.context == tiny.context
    text = "the same sum in the same order"
    (mine,), (other,) = wb.token_losses(tiny, [text])[0], wb.token_losses(opened, [text])[0]
    assert mine.tobytes() == other.tobytes()


def test_no_room_for_the_model_is_an_error_of_the_system(tiny, tmp_path):
    """Files of this process may have 10 kB here, as on a disk that is full."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"too large|TMPDIR"):
            store(tiny, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_an_opened_model_lies_in_the_file_that_other_processes_map_too(tiny, tmp_path):
    store(tiny, tmp_path)
    opened = open_stored(tmp_path)
    spans = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(tmp_path / "weights.safetensors")):
            spans.append([int(end, 16) for end in line.split()[0].split("-")])
    for name, parameter in opened.hf.named_parameters():
        assert any(start <= parameter.data_ptr() < end for start, end in spans), name


@pytest.mark.slow
def test_cancel_ends_the_workers_and_keeps_what_is_done(tiny, heads, corpus, tmp_path):
    import threading

    stop, seen = threading.Event(), []

    def hear(progress):
        seen.append(progress)
        if progress.title == "scoring" and progress.done:
            stop.set()

    with pytest.raises(Cancelled), cancellable(hear, stop):
        wb.run_scoring(tiny, heads, corpus, tmp_path, shard_size=2, workers=1)
    assert not [
        child for child in psutil.Process().children() if "local_process" in str(child.cmdline())
    ]
    report = wb.run_scoring(tiny, heads, corpus, tmp_path, shard_size=2)
    assert report.finished
    assert report.counts["scored"] == 50


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"corpus": FIFTY, "workers": 2}, "given as a path or a list of paths; got a list"),
        ({"workers": 0}, "workers must be"),
        ({"workers": []}, "workers must be"),
        ({"part": (0, 3)}, r"part must be \(i, n\) with i from 1 to n, got \(0, 3\)"),
        ({"part": (4, 3)}, "part must be"),
        ({"driver": "slurm"}, "driver must be 'local' or 'ray', got 'slurm'"),
        ({"workers": ["cuda:7"]}, "would score on cuda, but the model is on cpu"),
        ({"workers": "cuda:0"}, "workers must be"),
    ],
)
def test_what_cannot_be_shared_is_named(tiny, heads, corpus, tmp_path, given, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        wb.run_scoring(
            tiny, heads, **({"corpus": corpus, "shard_size": 40} | given), out=tmp_path / "run"
        )


@pytest.mark.slow
def test_a_worker_that_would_score_otherwise_refuses(tiny, heads, corpus, tmp_path):
    """As another version of a package on another machine would make it."""
    store(tiny, tmp_path / "model")
    settings = wb.scoring.ScoringSettings(heads).resolved(tiny)
    columns = {"id": "id", "text": "text", "domain": "domain"}
    prints = {"mode": "zero"}
    job = Job(settings, prints, [str(corpus)], columns, tmp_path)
    shards = shard_index_of([str(corpus)], columns, 40, tmp_path).shards
    with pytest.raises(RuntimeError, match=r"other settings than the run: .*mode"):
        list(local_driver.drive(tiny, job, shards, 1))


@pytest.mark.slow
def test_a_shard_that_raises_is_tried_three_times_and_the_others_are_kept(
    tiny, heads, corpus, tmp_path
):
    """Its score file's name is taken by a folder, so that it cannot be published. The folder that
    the user stands in holds a module of a name that Python imports, which is not run."""
    folder, here = tmp_path / "run", tmp_path / "here"
    wb.run_scoring(tiny, heads, corpus, tmp_path / "alone", shard_size=20)
    taken = sorted((tmp_path / "alone/scores").iterdir())[1].name
    (folder / "scores" / taken).mkdir(parents=True)
    write(here / "queue.py", f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    os.chdir(here)
    try:
        with pytest.raises(wb.ScoringFailed, match=f"{taken[:-8]}.*tried 3 times") as failed:
            wb.run_scoring(tiny, heads, corpus, folder, shard_size=20, workers=1)
    finally:
        os.chdir(ROOT)
    assert not (tmp_path / "ran").exists()
    report = failed.value.report
    assert [failure.attempts for failure in report.failures] == [3]
    assert report.read == 52
    assert report.scored + report.skipped + report.failed == 52
    assert taken[:-8] in (folder / "failures.jsonl").read_text()
    (folder / "scores" / taken).rmdir()
    again = wb.run_scoring(tiny, heads, corpus, folder, shard_size=20)
    assert (again.kept, again.shards, again.finished) == (2, 3, True)
    assert not (folder / "failures.jsonl").exists()


def test_counts_that_do_not_add_up_publish_nothing(tiny, heads, corpus, tmp_path, monkeypatch):
    from workbench.scoring import run as scoring

    whole = scoring.cut
    monkeypatch.setattr(scoring, "cut", lambda *given: itertools.islice(whole(*given), 2))
    with pytest.raises(RuntimeError, match=r"had 52 rows when it was counted, .* speak of 16"):
        wb.run_scoring(tiny, heads, corpus, tmp_path, shard_size=8)
    with pytest.raises(ValueError, match="is not finished"):
        wb.load_scores(tmp_path)


def test_parts_of_other_settings_do_not_meet_in_one_folder(tiny, heads, corpus, tmp_path):
    settings = wb.scoring.ScoringSettings(heads, max_tokens=9).resolved(tiny)
    record = run_record(tiny, settings, wb.certify(tiny))
    with (
        acquire_run_folder(tmp_path, (1, 2), record),  # it has not scored anything yet
        pytest.raises(ValueError, match="max_tokens: 9 then, None now"),
    ):
        wb.run_scoring(tiny, heads, corpus, tmp_path, part=(2, 2), overwrite=True)


@pytest.mark.parametrize("count", [4, 8])
def test_a_shard_in_which_everything_is_skipped_is_a_shard(tiny, heads, tmp_path, count):
    documents = [
        {"id": str(i), "text": "x" if i < 4 else f"a longer text {i}", "domain": "d"}
        for i in range(count)
    ]
    table = wb.score_corpus(tiny, heads, documents, tmp_path, shard_size=4)
    assert len(table) == count - 4
    assert len(table.skipped) == 4
    if count > 4:
        wb.write_manifest(wb.select(table), tmp_path)
        assert wb.verify_manifest(tmp_path).ok
        wb.select_files(tmp_path)
        assert wb.verify_manifest(tmp_path).ok
