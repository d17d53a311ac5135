"""Runs with workers: workers killed, run and workers killed, a shard that kills, a full disk."""

from __future__ import annotations

import json
import shutil
import signal

import psutil
import pytest

from faults.disks import mountable, resize, small_disk
from faults.gate import Gate
from faults.kills import kill_workers
from faults.runs import HANGS, begun
from faults.whole import account, require_whole, stamps

MARK = "workbench.scoring.drivers.local_process"


def gone(workers):
    """Assert that the workers end, without anybody's doing."""
    _, alive = psutil.wait_procs(workers, timeout=HANGS)
    assert not alive


def test_one_worker_then_four_then_two(runs, job, tmp_path):
    """The run is killed twice on the way, with a wall clock that jumps by days from life to life
    and inside the second. When it is killed, each worker is about to publish a receipt."""
    folder, trace = tmp_path / "run", tmp_path / "trace"
    done = 0
    for workers, clock, at in ((1, False, 3), (4, True, 2), (2, False, 0)):
        before = stamps(folder)
        gate = Gate(tmp_path / f"gate-{workers}", at)
        faults = {"trace": str(trace), **gate.faults} | ({"clock": True} if clock else {})
        run = runs.start(job.corpus, folder, workers=workers, faults=faults)
        if at:
            held = gate.wait(workers, by=[run])
            its = [worker for worker in run.workers if MARK in worker.cmdline()]
            assert {it.pid for it in its} == set(held)
            run.strike()
            assert run.wait() == -signal.SIGKILL
            gone(its)
            done += workers * (at - 1)
            assert sum("receipts/" in name for name in stamps(folder)) == done
        else:
            assert run.wait() == 0, run.complaints()
            assert run.said["report"]["kept"] == done
        now = stamps(folder)
        assert all(now[name] == stamp for name, stamp in before.items() if "receipts/" in name)
    assert sum(begun(trace).values()) == 20 + 1 + 4  # one more a killed worker
    require_whole(runs, job.corpus, folder, job.reference, job.places)


def test_killed_workers_cost_a_shard_each_at_most(runs, job, moments, tmp_path):
    figures = kill_workers(runs, job.corpus, job.places, job.reference, tmp_path, 2, moments)
    assert figures.kills == 2
    assert figures.redone <= 2
    assert all(account.whole for account in figures.accounts), figures
    require_whole(runs, job.corpus, tmp_path / "workers-0", job.reference, job.places)


def test_a_shard_that_kills_and_a_text_that_changes_while_the_run_goes(runs, job, tmp_path):
    """Two runs side by side. In one every worker that writes a certain shard is killed; in the
    other a source is changed after the shard index was made. All other shards are done, and the
    next call does the rest."""
    deadly = tmp_path / "deadly"
    run = runs.start(job.corpus, deadly, workers=1, faults={"deadly": ["17.jsonl"]})
    corpus, changed = shutil.copytree(job.corpus, tmp_path / "corpus"), tmp_path / "changed"
    gate = Gate(tmp_path / "gate")
    other = runs.start(corpus, changed, workers=1, faults=gate.faults)
    gate.wait(by=[other])
    source = corpus / "19.jsonl"
    source.write_text(source.read_text().replace("word1", "word2"))

    gate.open()
    assert other.wait() == 1
    assert (
        "19.jsonl rows 0 to 5: the text was changed while the run was going" in other.said["error"]
    )
    failed_once(other, changed, 1)
    runs.run(corpus, tmp_path / "reference")
    assert runs.run(corpus, changed)["kept"] == 19
    assert not (changed / "failures.jsonl").exists()
    require_whole(runs, corpus, changed, tmp_path / "reference", job.places)

    assert run.wait() == 1
    assert "signal 9" in run.said["error"]
    assert "The same call tries these shards again" in run.said["error"]
    failed_once(run, deadly, 3)
    assert not list(deadly.rglob("*.tmp"))  # they were killed with one half published
    assert runs.run(job.corpus, deadly)["kept"] == 19
    require_whole(runs, job.corpus, deadly, job.reference, job.places)


def failed_once(run, folder, attempts):
    """Assert that the run ended as ScoringFailed with one shard, and that all others are kept."""
    assert run.said["error"].startswith("ScoringFailed: 1 shards could not be scored")
    report = run.said["report"]
    (failure,) = report["failures"]
    assert failure["attempts"] == attempts
    assert (report["read"], report["shards"], report["finished"]) == (120, 20, False)
    lines = (folder / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [failure]
    assert sum("receipts/" in name for name in stamps(folder)) == 19


def test_workers_on_a_full_disk_end_the_run_at_once(runs, job, tmp_path):
    disk = tmp_path / "disk"
    if not mountable(disk):
        pytest.skip("mounting is refused here; test_disk.py has the full disk of this machine")
    with small_disk(disk, 128):
        run = runs.start(job.corpus, disk / "run", workers=1)
        assert run.wait() == 1
        assert "No space left on device" in run.said["error"]
        assert "What was finished is kept" in run.said["error"]
        done = stamps(disk / "run")
        assert 0 < len(done) < 40
        assert not list(disk.rglob("*.tmp"))
        resize(disk, 4096)
        report = runs.run(job.corpus, disk / "run")
        assert report["kept"] == sum("receipts/" in name for name in done)
        assert account(disk / "run", job.reference, job.places, runs.tmp).whole
