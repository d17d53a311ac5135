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
from workbench.core.progress import Cancelled, watched
from workbench.scoring import run_folder
from workbench.scoring.drivers import ray as ray_driver
from workbench.scoring.drivers import ray_cluster
from workbench.scoring.receipts import Receipt
from workbench.scoring.report import Failure
from workbench.scoring.run import run_scoring
from workbench.scoring.shards import catalogue_of
from workbench.scoring.worker import Job, Step

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

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
    room = tmp_path_factory.mktemp("faults")
    return {name: room / name for name in ("gate", "broken")}


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
        one = {"id": f"d{number}", "text": text, "domain": "ab"[number % 2]}
        lines.append(json.dumps(one if number != 13 else {**one, "text": None}) + "\n")
    path.write_text("".join(lines))


def files_of(folder):
    """All that a finished run leaves, by name."""
    paths = [*folder.glob("scores/*"), *folder.glob("receipts/*"), folder / "run.json"]
    return {path.name: path.read_bytes() for path in paths}


def actors():
    """The processes of the actors that hold a model."""
    found = []
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if one.cmdline() and one.cmdline()[0].startswith("ray::MapWorker"):
                found.append(one)
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
    return job, catalogue_of([str(corpus)], COLUMNS, 6, folder).shards


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
    # Ray Data counts nobody's usage: where it does, this thread asks for the figures.
    assert "data-usage-metrics-poller" not in [one.name for one in threading.enumerate()]
    # All is done, so nobody is asked again.
    monkeypatch.setattr(ray_driver, "drive", None)
    again = run_scoring(model, heads, corpus, ours, workers=2, driver="ray", **given)
    assert again.kept == again.shards == 5
    assert files_of(ours) == files_of(tmp_path / "one")


def object_store():
    """The bytes of the store that all objects of more than a few kilobytes go through."""
    for one in psutil.Process().children(recursive=True):
        for link in Path(f"/proc/{one.pid}/fd").glob("*"):
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
    outcomes, begun = [], set()
    for one in ray_driver.drive(model, job, shards, 1):
        outcomes.append(one)
        begun |= {path.name for path in job.folder.glob(".model-*/part-*")}
    killer.join()
    failures = {one.shard: one for one in outcomes if isinstance(one, Failure)}
    receipts = [one for one in outcomes if isinstance(one, Receipt)]
    assert len(set(killed)) == 3
    assert set(failures) == {deadly, changed}
    assert failures[deadly].attempts == 3
    assert "killed" in failures[deadly].reason
    assert failures[deadly].documents == 6
    assert failures[changed].attempts == 1
    assert "text was changed" in failures[changed].reason
    # All others once, and only the deadly one was begun again.
    done = [one.name(job.fingerprint) for one in (shards[0], shards[2], shards[4])]
    assert sorted(one.shard for one in receipts) == done
    assert {name.partition(".")[0] for name in begun if not name.endswith(".1")} == {deadly}
    assert sum(one.documents for one in outcomes if isinstance(one, Step)) == 18
    assert nothing_left(job.folder)


STUCK = """
import sys
from workbench.scoring.drivers.ray import Scorer
scorer = Scorer(sys.argv[1])
print("ready", flush=True)
scorer({"shard": sys.stdin.readline()})
"""


def test_an_actor_that_is_stuck_ends_itself(model, heads, corpus, tmp_path):
    """As any other end of an actor it costs the shard one of three tries."""
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    room = tmp_path / "room"
    settings = settings_of(model, replace(job, shard_timeout=0.5), room)
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, settings],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    pipe = Pipe(corpus)
    process.communicate(json.dumps(shards[0].to_json()) + "\n")
    assert process.returncode == 1
    pipe.thread.join()
    left = (room / f"{shards[0].name(job.fingerprint)}.1").read_text()
    assert left.startswith("Timeout (0:00:00")
    scorer = ray_driver.Scorer(settings_of(model, job, tmp_path / "other"))
    said = json.loads(scorer({"shard": json.dumps(shards[0].to_json())})["answer"])
    assert said["receipt"]["read"] == 6


def test_a_shard_that_was_stuck_three_times_is_given_up_for_that(model, heads, corpus, tmp_path):
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    scorer = ray_driver.Scorer(settings_of(model, job, tmp_path / "room"))
    for attempt in (1, 2, 3):  # as the watchdog leaves them
        left = tmp_path / f"room/{shards[0].name(job.fingerprint)}.{attempt}"
        left.write_text("Timeout (0:00:05)!\nThread 0x1 (most recent call first):\n  File ...\n")
    said = json.loads(scorer({"shard": json.dumps(shards[0].to_json())})["answer"])
    assert said["failed"].startswith("stuck: the worker gave no sign of life for 0:00:05 ")
    assert said["attempts"] == 3


def test_a_full_disk_ends_the_run_and_not_shard_after_shard(
    model, heads, corpus, tmp_path, monkeypatch
):
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    scorer = ray_driver.Scorer(settings_of(model, job, tmp_path / "room"))

    def full(shard):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scorer.worker, "score", full)
    said = json.loads(scorer({"shard": json.dumps(shards[0].to_json())})["answer"])
    assert "No space left on device" in said["stop"]


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
    with pytest.raises(Cancelled), watched(lambda progress: None, stop):
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


def test_rows_hold_descriptors_and_receipts(model, heads, corpus, tmp_path):
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    settings = settings_of(model, job, tmp_path / "room")
    scorer = ray_driver.Scorer(settings)
    rows = [{"shard": json.dumps(shard.to_json())} for shard in shards]
    answers = [scorer(row) for row in rows]
    assert all(MARKER not in json.dumps(one) for one in [settings, *rows, *answers])
    assert all(len(row["shard"]) < 600 for row in rows)
    said = [json.loads(one["answer"]) for one in answers]
    assert [one["number"] for one in said] == [shard.number for shard in shards]
    assert sum(one["receipt"]["read"] for one in said) == 30
    assert all(len(one["answer"]) < 3000 for one in answers)
    # A row that comes again, its actor having died after the receipt, is not scored again.
    marks = len(list((tmp_path / "room").glob("part-*")))
    assert scorer(rows[0]) == answers[0]
    assert len(list((tmp_path / "room").glob("part-*"))) == marks == len(shards)


def test_a_model_that_kills_whoever_loads_it_is_said(model, heads, corpus, tmp_path):
    job, shards = job_of(model, heads, corpus, tmp_path / "run")
    settings = settings_of(model, job, tmp_path / "room")
    for number in (1, 2, 3):  # of actors that are gone
        (tmp_path / f"room/start.{number}").touch()
    scorer = ray_driver.Scorer(settings)
    answer = scorer({"shard": json.dumps(shards[0].to_json())})["answer"]
    assert "killed while they loaded the model" in json.loads(answer)["unable"]


def settings_of(model, job, room):
    ray_driver.store(model, room)
    (room / "going").touch()
    given = job.to_json() | {"model": str(room)}
    return json.dumps({"job": given, "device": "cpu", "actors": 1})


def test_what_cannot_be_is_said_before_ray_starts(model, heads, corpus, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="workers must be a number from 1"):
        run_scoring(model, heads, corpus, tmp_path / "run", workers=0, driver="ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"workbench\[ray\]"):
        run_scoring(model, heads, corpus, tmp_path / "run", workers=1, driver="ray")
