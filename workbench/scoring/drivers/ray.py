"""Workers on a Ray cluster: actors of Ray Data hold the model, and rows of JSON go in and out.

A row in is a shard's descriptor, a row out its receipt or why there is none; the text is read by
the actor and stays there. A shard that fails otherwise than by its text ends its actor, and so does
whatever kills one; Ray starts another and gives it the same row. An actor that is stuck
(`workbench.scoring.drivers.stuck`) is ended by a watchdog of its own. How often a shard was begun
stands in files, which outlive actors: after three times it is given up and the row answered.

All machines of the cluster must see the corpus and the run folder under the same paths and have
the same packages. The model is laid down in the run folder while the run goes.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.core.progress import stop_if_asked
from workbench.models.model import Model
from workbench.scoring.drivers.local import ATTEMPTS
from workbench.scoring.drivers.ray_cluster import cluster, import_ray
from workbench.scoring.drivers.shared_model import store
from workbench.scoring.drivers.stuck import Limit, Watchdog, stuck_reason
from workbench.scoring.receipts import Receipt, finished
from workbench.scoring.report import Failure
from workbench.scoring.shards import Shard
from workbench.scoring.worker import Job, ShardWorker, Step, ends_all, is_final

_MOST_BLOCKS = 10_000  # Ray Data keeps books on each; above, several rows share one
_GOING = "going"  # while this file is there; opened, not looked for, since network disks cache that


def drive(
    model: Model, job: Job, shards: Sequence[Shard], workers: int | Sequence[str] | None
) -> Iterator[Receipt | Failure | Step]:
    """Have the shards scored: a Receipt or a Failure for each as it comes, each after its Step.

    workers: how many actors (None: one), each with a CPU, and a GPU if the model is on one.

    Raises ImportError without Ray; ValueError for no workers or a device that Ray does not give
    out; RuntimeError if the cluster has no such device, workers cannot start, or Ray gives up.
    """
    count = 1 if workers is None else workers if isinstance(workers, int) else len(workers)
    if count < 1:
        raise ValueError("workers must be a number from 1, got none")
    device = model.device.type
    if device not in ("cpu", "cuda"):
        raise ValueError(f"Ray gives out CPUs and CUDA devices, and the model is on {device!r}")
    count = min(count, len(shards))
    ray = import_ray()
    with (
        tempfile.TemporaryDirectory(
            prefix=".model-", dir=job.folder, ignore_cleanup_errors=True
        ) as room,
        cluster(ray, count, device, Path(room)),
    ):
        store(model, Path(room))
        settings = {
            "job": replace(job, model=Path(room)).to_json(),
            "device": device,
            "actors": count,
        }
        yield from _outcomes(ray, Path(room), job, shards, settings)


def _outcomes(
    ray: ModuleType, room: Path, job: Job, shards: Sequence[Shard], settings: dict[str, Any]
) -> Iterator[Receipt | Failure | Step]:
    answers: queue.Queue[str | Exception | None] = queue.Queue()
    rows = [{"shard": json.dumps(one.to_json())} for one in shards]
    # In a thread, since Ray Data's wait for the next row cannot be left.
    listener = threading.Thread(
        target=_listen, args=(ray, rows, settings, answers), name="ray-answers", daemon=True
    )
    open_, ready = {one.number: one for one in shards}, False
    (room / _GOING).touch()
    listener.start()
    try:
        while open_:
            if not ready and (room / "ready").exists():
                ready = True
                yield Step(0, 0)
            try:
                answer = answers.get(timeout=0.2)
            except queue.Empty:
                stop_if_asked()
                continue
            if not isinstance(answer, str):
                raise RuntimeError(
                    f"Ray gave up with {len(open_)} shards not answered: {_told_by(answer)}"
                ) from answer
            said = json.loads(answer)
            if "unable" in said:
                raise RuntimeError(
                    f"a worker on {settings['device']} could not start: {said['unable']}"
                )
            if "stop" in said:
                raise OSError(f"{said['stop']}. What was finished is kept")
            shard = open_.pop(said["number"])
            if "receipt" in said:
                receipt = Receipt(**said["receipt"])
                yield Step(receipt.read, receipt.predicted)
                yield receipt
            else:
                yield _failure(shard, job, said["failed"], said["attempts"])
    finally:
        (room / _GOING).unlink()  # actors that still go see it, and end
        listener.join(timeout=20)


def _failure(shard: Shard, job: Job, reason: str, attempts: int) -> Failure:
    pieces = [[one.source, one.start, one.stop] for one in shard.pieces]
    rows = shard.documents + len(shard.refused)
    return Failure(shard.name(job.fingerprint), pieces, rows, reason, attempts)


def _told_by(error: Exception | None) -> str:
    if error is None:
        return "it took the job for done"
    return f"{type(error).__name__}: {error!s:.1000}"


def _listen(
    ray: ModuleType,
    rows: list[dict[str, str]],
    settings: dict[str, Any],
    answers: queue.Queue[str | Exception | None],
) -> None:
    """Run the rows through actors, and hand over each answer, then None or what went wrong."""
    try:
        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS))
        context = data.context  # a copy: the caller's own is left alone
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_no_progress_timeout_s = -1  # a shard takes as long as it takes
        data = data.map(
            Scorer,
            fn_constructor_args=[json.dumps(settings)],
            # One row at a time: none waits behind a long one while another actor is idle.
            compute=ray.data.ActorPoolStrategy(
                size=settings["actors"], max_tasks_in_flight_per_actor=1
            ),
            num_cpus=1,
            num_gpus=1 if settings["device"] == "cuda" else 0,
        )
        for row in data.iter_rows():
            answers.put(row["answer"])
    except Exception as error:
        answers.put(error)
    else:
        answers.put(None)


class Scorer:
    """What an actor runs: made with the settings as JSON, it answers a row with a row.

    {"shard": JSON} is answered with {"answer": JSON}, which has the shard's number and receipt, or
    failed (the reason) and attempts, or unable: why this actor cannot score anything, or stop: why
    nobody can.
    """

    def __init__(self, settings: str) -> None:
        given = json.loads(settings)
        self.room = Path(given["job"]["model"])
        self.watchdog = Watchdog(Limit(given["job"]["shard_timeout"]))
        self.unable: str | None = None
        threading.Thread(target=_end_with, args=(self.room / _GOING,), daemon=True).start()
        # Those that are starting have a file too. More than that are of actors that died of it.
        if not _began(self.room, "start", given["actors"] - 1 + ATTEMPTS):
            self.unable = f"{ATTEMPTS} workers were killed while they loaded the model (too large?)"
            return
        try:
            with self.watchdog.over(self.room / "stuck-start", starting=True):
                self.worker = ShardWorker.open(Job.from_json(given["job"]), given["device"])
        except Exception as error:  # whatever it is, the next row is told
            self.unable = f"{type(error).__name__}: {error!s:.500}"
            return
        (self.room / "ready").touch()
        for one in self.room.glob("start.*"):
            one.unlink(missing_ok=True)

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        return {"answer": json.dumps(self._answer(Shard.from_json(json.loads(row["shard"]))))}

    def _answer(self, shard: Shard) -> dict[str, Any]:
        if self.unable is not None:
            return {"unable": self.unable}
        job = self.worker.job
        name = shard.name(job.fingerprint)
        receipt = finished(job.folder, shard, job.fingerprint)  # by an actor that then died
        if receipt is not None:
            return {"number": shard.number, "receipt": asdict(receipt)}
        attempt = _began(self.room, name, ATTEMPTS)
        if not attempt:
            left = (self.room / f"{name}.{ATTEMPTS}").read_text(encoding="utf-8", errors="replace")
            reason = (
                stuck_reason(left)
                or "the worker was killed from outside (out of memory?) or crashed"
            )
            return {"number": shard.number, "failed": reason, "attempts": ATTEMPTS}
        try:
            with self.watchdog.over(self.room / f"{name}.{attempt}"):
                outcomes = self.worker.score(shard)
                receipt = next(one for one in outcomes if isinstance(one, Receipt))
        except Exception as error:
            reason = f"{type(error).__name__}: {error!s:.500}"
            if ends_all(error):
                return {"number": shard.number, "stop": reason}
            if is_final(error):
                return {"number": shard.number, "failed": reason, "attempts": attempt}
            (self.room / f"{name}.{attempt}").write_text(reason, encoding="utf-8")
            os._exit(1)  # a device that failed once is not trusted: Ray starts another process
        return {"number": shard.number, "receipt": asdict(receipt)}


def _began(room: Path, what: str, most: int) -> int:
    """Note that `what` is begun, and return for the how many-th time; 0 after `most` times."""
    for attempt in range(1, most + 1):
        with contextlib.suppress(FileExistsError):
            (room / f"{what}.{attempt}").touch(exist_ok=False)
            return attempt
    return 0


def _end_with(going: Path) -> None:
    """End this actor for good once the file is gone: the run has ended or was stopped."""
    import ray

    while True:
        try:
            going.open("rb").close()
        except FileNotFoundError:
            ray.kill(ray.get_runtime_context().current_actor)
        time.sleep(0.5)
