"""SIGKILL at random moments, until a run is through all the same, and an account of it."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from faults.corpora import Place
from faults.runs import Run, Runs, begun
from faults.whole import Account, account, stamps

Victim = Literal["run", "worker", "both"]
EVERY = 0.004  # seconds between two looks at a run's trace


@dataclass
class Figures:
    """What came of a number of kills. rewritten: finished shards (with a receipt) that were
    written again; redone: shards that were begun again, and most_a_kill, of one killed process."""

    kills: int = 0
    killed: int = 0  # processes that score: with two workers, two of a killed run
    rewritten: int = 0
    redone: int = 0
    most_a_kill: float = 0.0
    accounts: list[Account] = field(default_factory=list)


def kill_runs(
    runs: Runs, corpus: Path, places: set[Place], reference: Path, workdir: Path, kills: int,
    random_: random.Random, workers: int | None = None, clock: bool = False,
) -> Figures:  # fmt: skip
    """Kill a run (with its `workers`, which end by themselves) again and again while it scores, as
    often as is said; each folder that becomes finished before that is looked at, and the next
    begun. clock: the wall clock jumps all the while."""
    figures, folders = Figures(), 0
    while figures.kills < kills:
        folder, trace = workdir / f"folder-{folders}", workdir / f"trace-{folders}"
        folders += 1
        done = False
        while not done:
            before, so_far = _receipts(folder), begun(trace)
            faults = {"trace": str(trace)} | ({"clock": True} if clock else {})
            run = runs.start(corpus, folder, workers=workers, faults=faults)
            struck = figures.kills < kills and _strike_soon(run, trace, so_far, random_, workers)
            status = run.wait()
            _count(figures, begun(trace), so_far, _receipts(folder), before, workers or 1)
            if struck and status == -signal.SIGKILL:
                figures.kills += 1
                figures.killed += workers or 1
            else:
                assert status == 0, run.complaints()
                done = True
        figures.accounts.append(account(folder, reference, places, runs.tmp))
    return figures


def _strike_soon(
    run: Run, trace: Path, so_far: Counter, random_: random.Random, workers: int | None
) -> bool:
    """Wait for the first shard to be begun (or not even that, one time in eight), then a random
    while of up to about two shards, and strike; False if the run was over before."""
    if random_.random() > 1 / 8:
        _until_begun([run], trace, so_far)
        began = time.monotonic()
        pause = random_.random() * 0.12
    else:
        began, pause = time.monotonic(), random_.random() * (3 if workers else 0.3)
    while run.going and time.monotonic() - began < pause:
        time.sleep(0.0005)
    alive = run.going
    run.strike()
    return alive


def _receipts(folder: Path) -> dict:
    return {name: stamp for name, stamp in stamps(folder).items() if "receipts/" in name}


def _count(
    figures: Figures, now: Counter, so_far: Counter, receipts: dict, before: dict, processes: int,
    parts: int = 1,
) -> None:  # fmt: skip
    figures.rewritten += sum(receipts.get(name) != stamp for name, stamp in before.items())
    shards = Counter(name for name, _ in (now - so_far).elements())
    known = {name for name, _ in so_far}
    again = Counter[int]()  # of each part, whose shards are every n-th
    for name, count in shards.items():
        again[int(name[:2]) % parts] += count - (name not in known)
    figures.redone += again.total()
    if figures.kills:
        figures.most_a_kill = max(figures.most_a_kill, *(n / processes for n in again.values()), 0)


def crash_everywhere(
    runs: Runs,
    workdir: Path,
    prepare: Callable[[Path], tuple[Path, set[Place]]],
    random_: random.Random,
    step: int = 1,
) -> int:
    """Run, with a SIGKILL before the n-th touch of the folder, for each `step`-th n; finish each,
    assert that it is whole, and return how many crashed. `prepare` lays a folder down and returns
    the corpus to be scored into it, with its places."""
    corpus, places = prepare(workdir / "undisturbed")
    reference = workdir / "reference"
    runs.run(corpus, reference)
    crashes, number = 0, random_.randrange(step)
    while True:
        folder = workdir / f"crash-{number}"
        prepare(folder)
        run = runs.start(corpus, folder, faults={"crash_at": [str(folder), number]})
        status = run.wait()
        if status == 0:
            return crashes
        assert status == -signal.SIGKILL, run.complaints()
        before = _receipts(folder)
        report = runs.run(corpus, folder)
        after = _receipts(folder)
        # A shard whose receipt is there is never scored again.
        assert report["kept"] == sum(after.get(name) == stamp for name, stamp in before.items())
        made = account(folder, reference, places, runs.tmp)
        assert made.whole, (number, made)
        crashes += 1
        number += step


def kill_parts(
    runs: Runs, corpus: Path, places: set[Place], reference: Path, workdir: Path, kills: int,
    random_: random.Random, parts: int = 2,
) -> Figures:  # fmt: skip
    """Start all parts of a division at once and kill one or all of them, again and again."""
    figures, folders = Figures(), 0
    while figures.kills < kills:
        folder, trace = workdir / f"parts-{folders}", workdir / f"parts-trace-{folders}"
        folders += 1
        finished = False
        while not finished:
            before, so_far = _receipts(folder), begun(trace)
            going = [
                runs.start(corpus, folder, part=(i, parts), faults={"trace": str(trace)})
                for i in range(1, parts + 1)
            ]
            if figures.kills < kills:
                _until_begun(going, trace, so_far)
                time.sleep(random_.random() * 0.4)
                struck = random_.sample(going, random_.randint(1, parts))
                for run in struck[: kills - figures.kills]:
                    run.strike()
            ended = [run.wait() for run in going]
            assert set(ended) <= {0, -signal.SIGKILL}, [run.complaints() for run in going]
            figures.kills += ended.count(-signal.SIGKILL)
            figures.killed = figures.kills
            # A shard begun now and known before is one that a killed part had in hand.
            _count(figures, begun(trace), so_far, _receipts(folder), before, 1, parts)
            finished = any(run.said.get("report", {}).get("finished") for run in going)
        figures.accounts.append(account(folder, reference, places, runs.tmp))
    return figures


def kill_workers(
    runs: Runs, corpus: Path, places: set[Place], reference: Path, workdir: Path, kills: int,
    random_: random.Random, workers: int = 2,
) -> Figures:  # fmt: skip
    """Kill two single workers of a run that goes on, one time in four while they start, and so on
    with the next run."""
    figures, folders = Figures(), 0
    while figures.kills < kills:
        folder, trace = workdir / f"workers-{folders}", workdir / f"workers-trace-{folders}"
        folders += 1
        run = runs.start(corpus, folder, workers=workers, faults={"trace": str(trace)})
        here = 0
        while run.going and figures.kills < kills and here < 2:  # a third may hit the same shard
            _pause(run, trace, random_)
            alive = run.workers
            if not alive:
                continue
            with contextlib.suppress(psutil.NoSuchProcess):  # the run has just ended it itself
                random_.choice(alive).kill()
                here += 1
                figures.kills += 1
        assert run.wait() == 0, run.complaints()
        shards = Counter(name for name, _ in begun(trace).elements())
        redone = shards.total() - len(shards)
        figures.redone += redone
        figures.most_a_kill = max(figures.most_a_kill, redone / here if here else redone)
        figures.accounts.append(account(folder, reference, places, runs.tmp))
    figures.killed = figures.kills
    return figures


def _pause(run: Run, trace: Path, random_: random.Random) -> None:
    """Until another shard is begun, and a random while more; or just a while, one time in four."""
    if random_.random() < 1 / 4:
        time.sleep(random_.random() * 3)
        return
    _until_begun([run], trace, begun(trace))
    time.sleep(random_.random() * 0.05)


def _until_begun(runs: Sequence[Run], trace: Path, so_far: Counter) -> None:
    """Wait until another shard is begun, or no run goes any more."""
    while begun(trace) == so_far and any(run.going for run in runs):
        time.sleep(EVERY)
