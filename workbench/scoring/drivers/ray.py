"""Workers on a Ray cluster: actors that hold the model, and are given shards one at a time.

A shard's descriptor goes to an actor, its receipt or why there is none comes back; the text is read
by the actor and stays there. An actor whose shard fails otherwise than by its text is not used
again, and the shard is given to another, three times in all; so is that of an actor which was
killed. An actor that is stuck (`workbench.scoring.drivers.stuck`) is ended by its own watchdog.

All machines of the cluster must see the corpus and the run folder under the same paths and have
the same packages. The model is laid down in the run folder while the run goes.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from workbench.core.progress import check_cancelled
from workbench.models.model import Model
from workbench.scoring.drivers.attempts import ATTEMPTS, OpenShards
from workbench.scoring.drivers.ray_cluster import cluster, import_ray
from workbench.scoring.drivers.shared_model import store
from workbench.scoring.drivers.stuck import Limit, Watchdog, stuck_reason
from workbench.scoring.folder.receipts import Receipt, finished
from workbench.scoring.report import Failure
from workbench.scoring.shards import Shard
from workbench.scoring.worker import Job, ProgressDelta, ShardWorker, ends_all, is_permanent_error


def drive(
    model: Model, job: Job, shards: Sequence[Shard], workers: int | Sequence[str] | None
) -> Iterator[Receipt | Failure | ProgressDelta]:
    """Have shards scored on a Ray cluster.

    Args:
        model: the selector.
        job: the run.
        shards: the shards, one at least.
        workers: how many actors (None: one), each with a CPU, and a GPU if the model is on one.

    Yields:
        A Receipt or a Failure for each shard as it comes, each Receipt after its ProgressDelta.

    Raises:
        ImportError: Ray is not installed.
        ValueError: there are no workers, or the device is one that Ray does not give out.
        RuntimeError: the cluster has no such device, workers cannot start, or Ray gives up.
        OSError: the disk is full.
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
        ) as workdir,
        cluster(ray, count, device, Path(workdir)),
    ):
        store(model, Path(workdir))
        pool = _Pool(ray, replace(job, model=Path(workdir)), device)
        try:
            yield from pool.run(shards, count)
        except ray.exceptions.RayError as error:
            raise RuntimeError(f"Ray gave up: {type(error).__name__}: {error!s:.1000}") from error
        finally:
            pool.end()


class _Pool:
    """The actors of a run, and what each of them is at."""

    def __init__(self, ray: ModuleType, job: Job, device: str) -> None:
        self.ray, self.job, self.device = ray, job, device
        self.actor = ray.remote(num_cpus=1, num_gpus=int(device == "cuda"))(ShardActor)
        # What is awaited, of which actor, and its shard; None while it starts.
        self.awaited: dict[Any, tuple[Any, Shard | None]] = {}
        # All that live. Ray ends an actor without a handle only when Python collects the handle.
        self.actors: set[Any] = set()

    def run(
        self, shards: Sequence[Shard], count: int
    ) -> Iterator[Receipt | Failure | ProgressDelta]:
        """The outcomes of the shards, by `count` actors at a time.

        Raises:
            RuntimeError: a worker cannot start.
            OSError: the system refuses what every shard would need, such as room on the disk.
            Cancelled: the work was cancelled.
        """
        open_shards = OpenShards(self.job, shards)
        waiting = open_shards.waiting
        starts = 0  # of actors killed before they were ready, none ready in between
        for _ in range(count):
            self._start()
        while open_shards.left:
            check_cancelled()
            answered, _ = self.ray.wait(list(self.awaited), timeout=0.2)
            for awaited in answered:
                actor, shard = self.awaited.pop(awaited)
                answer = self._answer(awaited, shard)
                reason, killed = answer.get("failed"), answer.get("killed", False)
                if "receipt" in answer:
                    open_shards.done()
                    receipt = Receipt(**answer["receipt"])
                    yield ProgressDelta(receipt.read, receipt.predicted)
                    yield receipt
                elif reason is None:  # it is ready
                    starts = 0
                    yield ProgressDelta(0, 0)
                elif shard is None:
                    starts += 1
                    if not killed:
                        raise RuntimeError(f"a worker on {self.device} could not start: {reason}")
                    if starts == ATTEMPTS:
                        raise RuntimeError(
                            f"{ATTEMPTS} workers were killed while they loaded the model (too "
                            f"large?): {reason}"
                        )
                elif answer["stop"]:
                    raise OSError(f"{reason}. What was finished is kept")
                elif failure := open_shards.failed(shard, reason, answer["final"]):
                    yield failure
                if killed or (reason is not None and not answer["final"]):
                    self._kill(actor)  # a device that failed once is not trusted
                    if waiting:
                        self._start()
                elif waiting:
                    self._give(actor, waiting.popleft())

    def end(self) -> None:
        """End all actors at once, whatever they are at."""
        for actor in list(self.actors):
            self._kill(actor)

    def _start(self) -> None:
        actor = self.actor.remote(json.dumps(self.job.to_json()), self.device)
        self.actors.add(actor)
        self.awaited[actor.ready.remote()] = actor, None

    def _kill(self, actor: Any) -> None:
        self.actors.discard(actor)
        self.ray.kill(actor)

    def _give(self, actor: Any, shard: Shard) -> None:
        self.awaited[actor.score.remote(json.dumps(shard.to_json()))] = actor, shard

    def _answer(self, awaited: Any, shard: Shard | None) -> dict[str, Any]:
        """What an actor answered, or what can be said for one that is gone."""
        try:
            return json.loads(self.ray.get(awaited))
        except self.ray.exceptions.RayError as error:
            reason = f"{error!s:.300}"
        if shard is not None:
            receipt = finished(self.job.folder, shard, self.job.fingerprint)
            if receipt is not None:  # it had published the shard
                return {"receipt": asdict(receipt), "killed": True}
            reason = why_ended(traces_of(self.job, shard))
        return {"failed": reason, "final": False, "stop": False, "killed": True}


def traces_of(job: Job, shard: Shard) -> Path:
    """The file that the watchdog of a stuck actor leaves.

    Args:
        job: the run.
        shard: what the actor was at.

    Returns:
        The path, beside the model.
    """
    assert job.model is not None
    return job.model / f"{shard.name(job.fingerprint)}.stuck"


def why_ended(traces: Path) -> str:
    """Why an actor is gone that did not answer.

    Args:
        traces: the file of `traces_of`.

    Returns:
        The reason.
    """
    with contextlib.suppress(OSError):
        text = traces.read_text(encoding="utf-8", errors="replace")
        if text:
            return stuck_reason(text)
    return "the worker was killed from outside (out of memory?) or crashed"


class ShardActor:
    """What an actor runs. It is given and gives JSON, which holds no text of a document.

    Args:
        job: the run, as JSON.
        device: "cpu" or "cuda".
    """

    def __init__(self, job: str, device: str) -> None:
        self.job = Job.from_json(json.loads(job))
        self.watchdog = Watchdog(Limit(self.job.shard_timeout))
        self.unable: dict[str, Any] = {}
        assert self.job.model is not None
        try:
            with self.watchdog.over(self.job.model / "start.stuck", starting=True):
                self.worker = ShardWorker.open(self.job, device)
        except Exception as error:  # whatever it is, who asks whether it is ready hears of it
            self.unable = _refusal(error)

    def ready(self) -> str:
        """Answered once the model is loaded: {}, or why that failed, as `score` says it."""
        return json.dumps(self.unable)

    def score(self, shard: str) -> str:
        """Score a shard.

        Args:
            shard: its descriptor, as JSON.

        Returns:
            JSON: {"receipt": ...}, or {"failed": reason, "final": whether every actor would fail
            on it, "stop": whether on any other shard too}.
        """
        task = Shard.from_json(json.loads(shard))
        try:
            with self.watchdog.over(traces_of(self.job, task)):
                outcomes = self.worker.score(task)
                receipt = next(outcome for outcome in outcomes if isinstance(outcome, Receipt))
        except Exception as error:
            return json.dumps(_refusal(error))
        return json.dumps({"receipt": asdict(receipt)})


def _refusal(error: Exception) -> dict[str, Any]:
    return {
        "failed": f"{type(error).__name__}: {error!s:.500}",
        "final": is_permanent_error(error),
        "stop": ends_all(error),
    }
