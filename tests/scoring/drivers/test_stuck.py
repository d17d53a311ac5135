"""Workers that hang are ended, and their shards tried elsewhere, a stated number of times.

What hangs is real: a source that is a pipe into which nobody writes. Whoever reads it stands still
until somebody does, and the test knows that a worker reads it, since only then can it be opened for
writing. The clock of the driver is set forward once that is so, and stands still otherwise.
"""

from __future__ import annotations

import itertools
import math

import psutil
import pytest
from support.corpora import FIFTY, write
from support.pipes_of_sources import Pipe

import workbench as wb
from workbench.scoring.drivers import local as local_driver
from workbench.scoring.drivers import stuck
from workbench.scoring.folder import run_folder
from workbench.scoring.folder.receipts import Receipt
from workbench.scoring.folder.shard_index import shard_index_of
from workbench.scoring.report import Failure
from workbench.scoring.worker import Job, ProgressDelta

COLUMNS = {"id": "id", "text": "text", "domain": "domain"}


def clock_of(pipes, step):
    """A clock that goes on by `step` seconds a look while somebody stands still at a pipe."""
    now = 0.0

    def monotonic():
        nonlocal now
        now += step if any(pipe.is_read for pipe in pipes) else 0
        return now

    return monotonic


def pipes_at(patched, path, number, readers):
    """Have the first so many workers that get shard `number` find a pipe at `path`."""
    pipes, give = [], local_driver._Worker.give

    def given(worker, shard):
        if shard.number == number and len(pipes) < readers:
            for pipe in pipes:
                pipe.thread.join()
            pipes.append(Pipe(path))
        give(worker, shard)

    patched.setattr(local_driver._Worker, "give", given)
    return pipes


@pytest.fixture
def given(tiny, heads, tmp_path):
    """The job, with the files of a corpus and the shards of it, one a file."""
    paths = [write(tmp_path / f"{n}.jsonl", FIFTY[n * 5 : n * 5 + 5]) for n in range(3)]
    folder = tmp_path / "run"
    for name in ("scores", "receipts"):
        (folder / name).mkdir(parents=True)
    settings = wb.scoring.ScoringSettings(heads).resolved(tiny)
    record = run_folder.run_record(tiny, settings, settings.certified(tiny))
    given = [str(path) for path in paths]
    job = Job(settings, run_folder.fingerprint(record), given, COLUMNS, folder, 3600.0)
    return job, paths, shard_index_of(given, COLUMNS, 5, folder).shards


@pytest.mark.slow
def test_a_stuck_worker_is_ended_and_its_shard_done_by_another(tiny, given, monkeypatch):
    job, paths, shards = given
    pipes = pipes_at(monkeypatch, paths[1], 1, 1)
    monkeypatch.setattr(local_driver, "monotonic", clock_of(pipes, 1000))
    outcomes = list(local_driver.drive(tiny, job, shards, 1))
    pipes[0].thread.join()
    assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 3
    assert not [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert (
        sum(outcome.documents for outcome in outcomes if isinstance(outcome, ProgressDelta)) == 15
    )
    assert not [p for p in psutil.Process().children() if "local_process" in str(p.cmdline())]


@pytest.mark.slow
def test_a_run_says_which_shards_were_stuck_and_the_next_call_does_them(
    tiny, heads, tmp_path, monkeypatch
):
    paths = [write(tmp_path / f"{n}.jsonl", FIFTY[n * 5 : n * 5 + 5]) for n in range(3)]
    with monkeypatch.context() as patched:
        pipes = pipes_at(patched, paths[1], 1, 3)
        patched.setattr(local_driver, "monotonic", clock_of(pipes, 1))
        with pytest.raises(wb.ScoringFailed, match=r"tried 3 times\): stuck: ") as failed:
            wb.run_scoring(
                tiny, heads, paths, tmp_path / "run", shard_size=5, workers=1, shard_timeout=2.5
            )
    pipes[2].thread.join()
    report = failed.value.report
    assert report.counts == {"read": 15, "scored": 10, "skipped": 0, "failed": 5}
    (failure,) = report.failures
    assert (failure.pieces, failure.attempts) == ([["1.jsonl", 0, 5]], 3)
    assert failure.reason == "stuck: the worker gave no sign of life for 2.5 seconds, and was ended"
    assert failure.reason in (tmp_path / "run/failures.jsonl").read_text()
    again = wb.run_scoring(tiny, heads, paths, tmp_path / "run", shard_size=5)
    assert (again.kept, again.scored, again.finished) == (2, 15, True)


@pytest.mark.slow
def test_workers_are_not_blamed_for_a_machine_that_slept(tiny, given, monkeypatch):
    """The clock leaps by a year at each of the first looks, while the worker is starting."""
    looks = itertools.count()
    monkeypatch.setattr(local_driver, "monotonic", lambda: min(next(looks), 5) * 3e7)
    outcomes = list(local_driver.drive(tiny, given[0], given[2], 1))
    assert sum(isinstance(outcome, Receipt) for outcome in outcomes) == 3


def test_the_limit_grows_with_the_longest_silence():
    limit = stuck.Limit(None)
    assert limit.seconds == limit.at_start == 1800
    limit.heard(600)
    limit.heard(3)
    assert limit.seconds == limit.at_start == 12_000
    given = stuck.Limit(5)
    given.heard(600)
    assert (given.seconds, given.at_start) == (5, 12_000)
    assert stuck.Limit(math.inf).at_start == math.inf


@pytest.mark.parametrize("wrong", [0, -1, "5", math.nan])
def test_a_limit_that_is_none_is_refused(tiny, heads, tmp_path, wrong):
    with pytest.raises(ValueError, match="shard_timeout must be a number of seconds above 0"):
        wb.run_scoring(tiny, heads, FIFTY, tmp_path / "run", shard_timeout=wrong)
    with pytest.raises(ValueError, match="give workers=1 or more with it"):
        wb.run_scoring(tiny, heads, FIFTY, tmp_path / "run", shard_timeout=5)
