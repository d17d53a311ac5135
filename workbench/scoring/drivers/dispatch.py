"""Who scores the shards of a run: this process, other processes of this machine, or a Ray cluster.

Every driver takes the shards that are left and gives back the same outcomes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Literal

from workbench.corpus.document import Document
from workbench.models.model import Model
from workbench.scoring.drivers import local, ray
from workbench.scoring.folder.receipts import Receipt
from workbench.scoring.report import Failure
from workbench.scoring.shards import Shard
from workbench.scoring.worker import Job, ProgressDelta, ShardWorker

Driver = Literal["local", "ray"]
Workers = int | Sequence[str] | None
# A shard and its documents, or None where whoever scores it reads them from the corpus.
Work = tuple[Shard, Sequence[Document] | None]


def drive(
    model: Model, job: Job, work: Iterable[Work], workers: Workers, driver: Driver
) -> Generator[Receipt | Failure | ProgressDelta]:
    """Have shards scored.

    Args:
        model: the selector.
        job: the run.
        work: the shards that are left. This process takes them one by one as it comes to them;
            other drivers take all of them before they start, and leave the documents alone.
        workers: see `workbench.scoring.run_scoring`.
        driver: see there.

    Yields:
        A Receipt or a Failure for each shard, and ProgressDeltas on the way. In this process there
        are no failures: the first error ends the run.
    """
    if workers is None and driver == "local":
        worker = ShardWorker(model, job)
        for shard, documents in work:
            yield ProgressDelta(0, 0)
            yield from worker.score(shard, documents)
        return
    shards = [shard for shard, _ in work]
    if not shards:
        return
    if driver == "ray":
        yield from ray.drive(model, job, shards, workers)
    elif workers is not None:
        yield from local.drive(model, job, shards, workers)


def require_workers(
    model: Model, workers: Workers, driver: Driver, shard_timeout: float | None
) -> None:
    """Refuse workers that cannot score with a model.

    Args:
        model: the selector.
        workers: see `workbench.scoring.run_scoring`.
        driver: see there.
        shard_timeout: see there.

    Raises:
        ValueError: they cannot.
    """
    if driver not in ("local", "ray"):
        raise ValueError(f"driver must be 'local' or 'ray', got {driver!r}")
    if shard_timeout is not None and workers is None and driver == "local":
        raise ValueError(
            "shard_timeout ends workers that are stuck, and this process cannot be ended: give "
            "workers=1 or more with it"
        )
    possible = isinstance(workers, int) and workers >= 1
    if isinstance(workers, list | tuple):
        possible = bool(workers) and all(isinstance(device, str) for device in workers)
    if workers is not None and not possible:
        raise ValueError(
            "workers must be a number from 1 or a list of devices such as ['cuda:0'], got "
            f"{workers!r}"
        )
    here = model.device.type
    devices = ["cpu"] if isinstance(workers, int) else workers or [here]
    kinds = {device.split(":")[0] for device in devices}
    if driver == "local" and workers is not None and kinds != {here}:
        raise ValueError(
            f"workers={workers!r} would score on {', '.join(sorted(kinds))}, but the model is on "
            f"{here}, and scores of different devices are not mixed: load it with device="
            f"{min(kinds)!r}, or give devices of its kind"
        )
