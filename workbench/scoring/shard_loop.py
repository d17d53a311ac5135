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

from workbench.core.files import write_atomically
from workbench.core.progress import stop_if_asked
from workbench.corpus.sources import sources_of
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring import run_folder as runs
from workbench.scoring.receipts import Receipt, finished, receipt_path
from workbench.scoring.report import (
    Failure,
    Hear,
    RunReport,
    ScoringFailed,
    Tally,
    Told,
    report_of,
    told,
)
from workbench.scoring.run_folder import Part
from workbench.scoring.shards import CATALOGUE, Catalogue, Shard, documents_of, is_current
from workbench.scoring.superseded import SetAside, done_before
from workbench.scoring.worker import Job, Settings, Step, score_shard

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
    notes: Sequence[str] = (),
) -> RunReport:
    """Score what is not done of the shards of this part, and complete the run if that was the last
    of it. Raises ScoringFailed if some shards could not be scored."""
    folder = Path(job.folder)
    mine = catalogue.shards[part[0] - 1 :: part[1]]
    rows = sum(one.documents + len(one.refused) for one in mine)
    before, tally = runs.numbers_in(folder), Tally()
    with told(rows, hear) as state:
        left = []
        for shard in mine:
            receipt = done_before(folder, shard, job.fingerprint)
            if receipt is None:
                left.append(shard)
            else:
                tally.add(receipt)
                state.step(receipt.read, kept=True)
            stop_if_asked()
        kept = tally.shards
        failures = _score(model, job, left, workers, driver, tally, state)
    _note(failures, folder, part)
    given_up = {one.shard for one in failures}
    redone = sum(one.number in before and one.name(job.fingerprint) not in given_up for one in left)
    run["domain_from"] = dict(
        sum((Counter(one.domain_from) for one in catalogue.shards), Counter())
    )
    report = report_of(
        tally, failures, rows, state, kept=kept, redone=redone, notes=notes,
        domain_from=run["domain_from"],
    )  # fmt: skip
    if failures:
        if part != (1, 1):  # which did not hash the corpus: the next call makes a new catalogue
            (folder / CATALOGUE).unlink(missing_ok=True)
        raise ScoringFailed(report)
    aside = _complete(folder, job, run, catalogue, mine)
    return report if aside is None else report.completed(aside)


def _score(
    model: Model,
    job: Job,
    shards: Sequence[Shard],
    workers: Workers,
    driver: Driver,
    tally: Tally,
    state: Told,
) -> list[Failure]:
    """Add the receipts of the shards to `tally`; return the failures."""
    failures: list[Failure] = []
    if not shards:
        return failures
    # Closed before anything else is done, so that no worker outlives an error or a Ctrl-C.
    with contextlib.closing(_drive(model, job, shards, workers, driver)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome, Receipt):
                tally.add(outcome)
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
        from workbench.scoring.drivers import ray

        yield from ray.drive(model, job, shards, workers)
    elif workers is None:
        yield from _here(model, job, shards)
    else:
        from workbench.scoring.drivers import local

        yield from local.drive(model, job, shards, workers)


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
    folder: Path, job: Job, run: dict[str, Any], catalogue: Catalogue, mine: Sequence[Shard]
) -> SetAside | None:
    """Complete the run if all shards are done, those of other parts too; None if they are not.

    Each part looks after its own last shard, so the one that ends last sees all of them.
    """
    names = [one.name(job.fingerprint) for one in catalogue.shards]
    if not all(receipt_path(folder, name).exists() for name in names):
        return None
    own = {one.number for one in mine}
    others = (one for one in catalogue.shards if one.number not in own)
    if any(finished(folder, one, job.fingerprint) is None for one in others):
        return None
    if not is_current(catalogue, folder):
        # Another part saw a source change: its new shards are not to be removed for the old ones.
        return None
    return runs.finish(folder, run, names)
