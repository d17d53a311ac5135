"""A run over a catalogue's shards: which of them are done, who scores the others, and when the run
is complete, though several calls may share it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal

from workbench import runs
from workbench.files import write_atomically
from workbench.heads import HeadSet
from workbench.models import Model
from workbench.progress import stop_if_asked
from workbench.receipts import Receipt, finished, receipt_path
from workbench.run_progress import Failure, Hear, RunReport, ScoringFailed, Told, report_of, told
from workbench.runs import Part
from workbench.shard_worker import Job, Settings, Step, score_shard
from workbench.shards import CATALOGUE, Catalogue, Shard, documents_of, is_current
from workbench.sources import sources_of

Driver = Literal["local", "ray"]
Workers = int | Sequence[str] | None


def score_catalogue(
    model: Model,
    job: Job,
    catalogue: Catalogue,
    run: dict[str, Any],
    part: Part,
    workers: Workers,
    driver: Driver,
    hear: Hear | None,
) -> RunReport:
    """Score what is not done of the shards of this part, and complete the run if that was the last
    of it. Raises ScoringFailed if some shards could not be scored."""
    folder = Path(job.folder)
    mine = catalogue.shards[part[0] - 1 :: part[1]]
    rows = sum(one.documents + len(one.refused) for one in mine)
    receipts: dict[str, Receipt] = {}
    with told(rows, hear) as state:
        left = []
        for shard in mine:
            receipt = finished(folder, shard, job.fingerprint)
            if receipt is None:
                left.append(shard)
            else:
                receipts[receipt.shard] = dataclasses.replace(receipt, fingerprint=job.fingerprint)
                state.step(receipt.read, kept=True)
            stop_if_asked()
        kept = len(receipts)
        failures = _score(model, job, left, workers, driver, receipts, state)
    _note(failures, folder, part)
    names = [one.name(job.fingerprint) for one in catalogue.shards]
    ordered = [receipts[name] for name in names if name in receipts]
    domain_from = sum((Counter(one.domain_from) for one in catalogue.shards), Counter())
    run["domain_from"] = dict(domain_from)
    report = report_of(ordered, failures, rows, kept, state, domain_from)
    if failures:
        if part != (1, 1):  # which did not hash the corpus: the next call makes a new catalogue
            (folder / CATALOGUE).unlink(missing_ok=True)
        raise ScoringFailed(report)
    finished_now = _complete(folder, job, run, catalogue, names, receipts)
    return dataclasses.replace(report, finished=finished_now)


def _score(
    model: Model,
    job: Job,
    shards: Sequence[Shard],
    workers: Workers,
    driver: Driver,
    receipts: dict[str, Receipt],
    state: Told,
) -> list[Failure]:
    """Add the receipts of the shards to `receipts`; return the failures."""
    failures: list[Failure] = []
    if not shards:
        return failures
    # Closed before anything else is done, so that no worker outlives an error or a Ctrl-C.
    with contextlib.closing(_drive(model, job, shards, workers, driver)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Receipt):  # one fingerprint in memory, not one a shard
                receipts[outcome.shard] = dataclasses.replace(outcome, fingerprint=job.fingerprint)
            elif isinstance(outcome, Failure):
                failures.append(outcome)
                state.step(0, failed=outcome.documents)
            else:
                state.step(outcome.documents, outcome.tokens)
    return failures


def _drive(
    model: Model, job: Job, shards: Sequence[Shard], workers: Workers, driver: Driver
) -> Generator[Receipt | Failure | Step]:
    if driver == "ray":
        from workbench import ray_driver

        yield from ray_driver.drive(model, job, shards, workers)
    elif workers is None:
        yield from _here(model, job, shards)
    else:
        from workbench import local_driver

        yield from local_driver.drive(model, job, shards, workers)


def _here(model: Model, job: Job, shards: Sequence[Shard]) -> Generator[Receipt | Step]:
    """Score shards in this process; the first error ends it."""
    sources = {one.name: one for one in sources_of(job.corpus)}
    settings = Settings(HeadSet.from_json(job.heads), job.mode, job.window, job.max_tokens)
    for shard in shards:
        yield Step(0, 0)
        documents = documents_of(shard, sources, job.columns)
        receipt = score_shard(model, settings, job.fingerprint, shard, documents, Path(job.folder))
        yield Step(receipt.read, receipt.predicted)
        yield receipt


def _note(failures: Sequence[Failure], folder: Path, part: Part) -> None:
    """Leave the failures of this part in a file of their own, or none."""
    name = "failures.jsonl" if part == (1, 1) else f"failures-{part[0]}-of-{part[1]}.jsonl"
    lines = "".join(json.dumps(dataclasses.asdict(one)) + "\n" for one in failures)
    if lines:
        write_atomically(folder / name, lines.encode())
    else:
        (folder / name).unlink(missing_ok=True)


def _complete(
    folder: Path,
    job: Job,
    run: dict[str, Any],
    catalogue: Catalogue,
    names: Sequence[str],
    receipts: dict[str, Receipt],
) -> bool:
    """Complete the run if all shards are done, those of other parts too.

    Each part looks after its own last shard, so the one that ends last sees all of them.
    """
    if not all(receipt_path(folder, name).exists() for name in names):
        return False
    everybodys = [
        receipts.get(name) or finished(folder, shard, job.fingerprint)
        for name, shard in zip(names, catalogue.shards, strict=True)
    ]
    done = [one for one in everybodys if one is not None]
    if len(done) < len(names):
        return False
    if not is_current(catalogue, folder):
        # Another part saw a source change: its new shards are not to be removed for the old ones.
        return False
    runs.finish(folder, run, done)
    return True
