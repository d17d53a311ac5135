"""The Ray driver, on a real Ray: the bytes of the other drivers, whatever happens to its actors."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from faults.gate import Gate, environment
from faults.runs import HANGS, wait_until
from support.models import make_model
from support.paths import TESTS
from support.pipes_of_sources import Pipe

import workbench as wb
from workbench.core.progress import Cancelled, cancellable
from workbench.scoring.drivers import ray as ray_driver
from workbench.scoring.drivers import ray_cluster
from workbench.scoring.folder import run_folder
from workbench.scoring.folder.receipts import Receipt
from workbench.scoring.folder.shard_index import shard_index_of
from workbench.scoring.report import Failure
from workbench.scoring.run import run_scoring
from workbench.scoring.worker import Job, ProgressDelta

ray = pytest.importorskip("ray")

MARKER = "zebrafinch"  # in every document, and nowhere else
COLUMNS = {"id": "id", "text": "text", "domain": "domain"}
HEADS = "L1H1 L2H0"


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def heads(model):
    return wb.HeadSet.parse(HEADS, model)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """The files that make a fault in the actors of the cluster, once they are there."""
    workdir = tmp_path_factory.mktemp("faults")
    return {name: workdir / name for name in ("gate", "broken")}


@pytest.fixture(scope="module")
def cluster(faulty, tmp_path_factory):
    """A cluster that the program has started itself: the driver has to leave it up."""
    with (
        ray_cluster._environment(environment(**{k: str(path) for k, path in faulty.items()})),
        ray_cluster.cluster(ray, 2, "cpu", tmp_path_factory.mktemp("cluster")),
    ):
        yield
        assert ray.is_initialized()


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.jsonl"
    write_corpus(path)
    return path


def write_corpus(path, change=lambda number, text: text, count=30):
    lines = []
    for number in range(count):
        text = change(number, f"document {number} of the {MARKER} " + "abc def " * (number % 7))
        row = {"id": f"d{number}", "text": text, "domain": "ab"[number % 2]}
        lines.append(json.dumps(row if number != 13 else {**row, "text": None}) + "\n")
    path.write_text("".join(lines))


def files_of(folder):
    """All that a finished run leaves, by name."""
    paths = [*folder.glob("scores/*"), *folder.glob("receipts/*"), folder / "run.json"]
    return {path.name: path.read_bytes() for path in paths}


def actors():
    """The processes of the actors that hold a model."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.cmdline() and child.cmdline()[0].startswith("ray::ShardActor"):
                found.append(child)
    return found


def alone(act):
    """Run `act` in a thread beside the test."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def nothing_left(folder):
    wait_until(lambda: not actors())
    return not list(folder.glob(".model-*"))


def job_of(model, heads, corpus, folder):
    """The job and the shards, as run_scoring gives them to a driver."""
    folder.mkdir()
    for name in ("scores", "receipts"):
        (folder / name).mkdir()
    settings = wb.scoring.ScoringSettings(heads).resolved(model)
    record = run_folder.run_record(model, settings, settings.certified(model))
    job = Job(settings, run_folder.fingerprint(record), [str(corpus)], COLUMNS, folder)
    return job, shard_index_of([str(corpus)], COLUMNS, 6, folder).shards


@pytest.mark.slow
def test_all_drivers_write_the_same_bytes_also_after_a_fault(
    cluster, faulty, model, heads, corpus, tmp_path, monkeypatch
):
    given = {"shard_size": 6}
    run_scoring(model, heads, corpus, tmp_path / "one", **given)
    run_scoring(model, heads, corpus, tmp_path / "two", workers=2, **given)
    ours = tmp_path / "ray"
    # A device that fails once, a disk here.
    faulty["broken"].write_text(sorted((tmp_path / "one/scores").iterdir())[2].stem)
    report = run_scoring(model, heads, corpus, ours, workers=2, driver="ray", **given)
    assert not faulty["broken"].exists()  # it has happened
    assert report.counts == {"read": 30, "scored": 29, "skipped": 1, "failed": 0}
    assert files_of(ours) == files_of(tmp_path / "two") == files_of(tmp_path / "one")
    assert nothing_left(ours)
    assert MARKER.encode() not in object_store()
    # All is done, so nobody is asked again.
    monkeypatch.setattr(ray_driver, "drive", None)
    again = run_scoring(model, heads, corpus, ours, workers=2, driver="ray", **given)
    assert again.kept == again.shards == 5
    assert files_of(ours) == files_of(tmp_path / "one")


def object_store():
    """The bytes of the store that all objects of more than a few kilobytes go through."""
    for child in psutil.Process().children(recursive=True):
        for link in Path(f"/proc/{child.pid}/fd").glob("*"):
            with contextlib.suppress(OSError):
                if "/plasma" in os.readlink(link):
                    return link.read_bytes()
    raise AssertionError("no object store found")


@pytest.mark.slow
def test_a_deadly_shard_and_a_changed_text_fail_alone(
    cluster, faulty, model, heads, corpus, tmp_path
):
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    deadly, changed = shards[1].name(job.fingerprint), shards[3].name(job.fingerprint)
    write_corpus(corpus, lambda n, text: text.upper() if 19 <= n < 25 else text)
    gate, killed = Gate(faulty["gate"], at=deadly), []

    def kill():  # whoever is about to publish the shard
        for attempt in (1, 2, 3):
            killed.append(gate.wait(attempt)[-1])
            os.kill(killed[-1], signal.SIGKILL)
        gate.open()

    killer = alone(kill)
    outcomes = list(ray_driver.drive(model, job, shards, 1))
    killer.join()
    failures = {outcome.shard: outcome for outcome in outcomes if isinstance(outcome, Failure)}
    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    assert len(set(killed)) == 3
    assert set(failures) == {deadly, changed}
    assert failures[deadly].attempts == 3
    assert "killed" in failures[deadly].reason
    assert failures[deadly].documents == 6
    assert failures[changed].attempts == 1
    assert "text was changed" in failures[changed].reason
    done = [shard.name(job.fingerprint) for shard in (shards[0], shards[2], shards[4])]
    assert sorted(receipt.shard for receipt in receipts) == done
    assert (
        sum(outcome.documents for outcome in outcomes if isinstance(outcome, ProgressDelta)) == 18
    )
    assert nothing_left(job.folder)


STUCK = """
import sys
from workbench.scoring.drivers.ray import ShardActor
actor = ShardActor(sys.argv[1], "cpu")
print("ready", flush=True)
actor.score(sys.stdin.readline())
"""


def stored(job, model, workdir):
    """The job with its model laid down in a folder."""
    ray_driver.store(model, workdir)
    return replace(job, model=workdir)


def actor_of(job):
    """What an actor runs, in this process."""
    return ray_driver.ShardActor(json.dumps(job.to_json()), "cpu")


@pytest.mark.slow
def test_an_actor_that_is_stuck_ends_itself_and_its_traces_say_so(model, heads, corpus, tmp_path):
    """As any other end of an actor it costs the shard one of three tries."""
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    impatient = stored(replace(job, shard_timeout=0.5), model, tmp_path / "model")
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, json.dumps(impatient.to_json())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    pipe = Pipe(corpus)
    process.communicate(json.dumps(shards[0].to_json()) + "\n")
    assert process.returncode == 1
    pipe.thread.join()
    why = ray_driver.why_ended(ray_driver.traces_of(impatient, shards[0]))
    assert why.startswith("stuck: the worker gave no sign of life for 0:00:00")
    actor = actor_of(stored(job, model, tmp_path / "other"))
    answer = json.loads(actor.score(json.dumps(shards[0].to_json())))
    assert answer["receipt"]["read"] == 6


def test_an_actor_that_left_no_traces_was_killed(tmp_path):
    assert "killed from outside" in ray_driver.why_ended(tmp_path / "none")
    (tmp_path / "empty").touch()
    assert "killed from outside" in ray_driver.why_ended(tmp_path / "empty")


def test_a_full_disk_ends_the_run_and_not_shard_after_shard(
    model, heads, corpus, tmp_path, monkeypatch
):
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    actor = actor_of(stored(job, model, tmp_path / "model"))

    def full(shard):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(actor.worker, "score", full)
    answer = json.loads(actor.score(json.dumps(shards[0].to_json())))
    assert answer["stop"]
    assert "No space left on device" in answer["failed"]


@pytest.mark.slow
def test_other_packages_than_the_run_end_it(cluster, model, heads, corpus, tmp_path):
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    job.fingerprint["torch"] = "1.0"
    with pytest.raises(RuntimeError, match=r"could not start: ValueError: .* torch differ"):
        list(ray_driver.drive(model, job, shards, 1))
    assert nothing_left(tmp_path / "run")


@pytest.mark.slow
def test_stopped_work_leaves_no_actor(cluster, faulty, model, heads, corpus, tmp_path):
    stop, gate = threading.Event(), Gate(faulty["gate"], at=2)

    def press():
        gate.wait()  # the actor is at its second shard, and stays there
        stop.set()

    presser = alone(press)
    with pytest.raises(Cancelled), cancellable(lambda progress: None, stop):
        run_scoring(model, heads, corpus, tmp_path / "run", workers=1, driver="ray", shard_size=1)
    presser.join()
    gate.open()
    assert nothing_left(tmp_path / "run")


SCRIPT = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
import workbench as wb
from support.models import make_model
from workbench.scoring.run import run_scoring
model = make_model()
run_scoring(
    model, wb.HeadSet.parse({HEADS!r}, model), sys.argv[1], sys.argv[2], workers=1, driver="ray",
    shard_size=1,
)
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_ray_of_our_own_and_another_driver_goes_on(model, heads, corpus, tmp_path):
    ours, gate = tmp_path / "run", Gate(tmp_path / "gate", at=4)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, corpus, ours], stderr=subprocess.PIPE, text=True,
        start_new_session=True, env=os.environ | environment(**gate.faults),
        # A shell that starts the tests in its background has them ignore it, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    wait_until(lambda: gate.held or process.poll() is not None)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, complaints = process.communicate(timeout=HANGS)
    # Not what it complains of: where Ray's own processes end first, that may be anything.
    assert process.returncode != 0, complaints
    assert len(family) > 4
    _, alive = psutil.wait_procs(family, timeout=HANGS)
    assert not alive
    done = len(list(ours.glob("receipts/part-*")))
    report = run_scoring(model, heads, corpus, ours, shard_size=1)
    assert not list(ours.glob(".model-*"))
    assert report.kept == done == 3
    assert report.counts == {"read": 30, "scored": 29, "skipped": 1, "failed": 0}


def test_actors_are_given_descriptors_and_give_receipts(model, heads, corpus, tmp_path):
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    job = stored(job, model, tmp_path / "model")
    actor = actor_of(job)
    assert json.loads(actor.ready()) == {}
    given = [json.dumps(shard.to_json()) for shard in shards]
    answers = [actor.score(shard) for shard in given]
    assert all(MARKER not in text for text in [json.dumps(job.to_json()), *given, *answers])
    assert all(len(shard) < 600 for shard in given)
    receipts = [json.loads(answer)["receipt"] for answer in answers]
    assert [receipt["shard"] for receipt in receipts] == [
        shard.name(job.fingerprint) for shard in shards
    ]
    assert sum(receipt["read"] for receipt in receipts) == 30
    assert all(len(answer) < 3000 for answer in answers)


@pytest.mark.slow
def test_a_model_that_kills_whoever_loads_it_is_said(cluster, model, heads, corpus, tmp_path):
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    ended = threading.Event()

    def kill():  # whoever comes, before it has loaded anything
        while not ended.is_set():
            for process in actors():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(0.02)

    killer = alone(kill)
    try:
        with pytest.raises(RuntimeError, match="3 workers were killed while they loaded the model"):
            list(ray_driver.drive(model, job, shards, 1))
    finally:
        ended.set()
        killer.join()
    assert nothing_left(job.folder)


def test_what_cannot_be_is_said_before_ray_starts(model, heads, corpus, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="workers must be a number from 1"):
        run_scoring(model, heads, corpus, tmp_path / "run", workers=0, driver="ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"workbench\[ray\]"):
        run_scoring(model, heads, corpus, tmp_path / "run", workers=1, driver="ray")
