"""Runs children until a plan is done; counts a child's death as a finding of its last case."""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from fuzz.child import AGAIN, DONE, PROGRESS

_LOOKS = 60  # after so many, in all of which the process slept over the same case, it hangs
_BETWEEN = 0.5  # seconds
LOST = "(not known: the process died later)"


@dataclasses.dataclass
class Result:
    """What came of one target: how often each outcome, and what was found by number of the case."""

    target: str
    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    findings: dict[int, str] = dataclasses.field(default_factory=dict)

    @property
    def cases(self) -> int:
        return sum(self.outcomes.values())


def run(plan: Sequence[tuple[str, int, int]], seed: str) -> dict[str, Result]:
    """Run the cases of a plan (target, first case, last case + 1) in one process after another.

    A case that hangs is a finding if it does so twice: the first time the whole machine may have.
    """
    results = {target: Result(target) for target, _, _ in plan}
    hung: set[tuple[str, int]] = set()
    memory_folder = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory_folder, prefix="fuzz-") as folder:
        state = Path(folder).resolve()
        rest = [list(line) for line in plan]
        while rest:
            ended = _child(state, rest, seed)
            line, number = PROGRESS.unpack((state / "progress").read_bytes())
            if ended not in (DONE, AGAIN):  # it did not end by itself
                if line < 0:
                    raise RuntimeError(f"the fuzzer does not start (status {ended})")
                target, first, _ = rest[line]
                results[target].outcomes[LOST] += number - first
                if ended == -signal.SIGKILL and (target, number) not in hung:
                    hung.add((target, number))
                    rest = [[target, number, rest[line][2]], *rest[line + 1 :]]
                    continue
                results[target].findings[number] = _death(ended)
                results[target].outcomes["FINDING"] += 1
            if ended == DONE:
                break
            rest = [[rest[line][0], number + 1, rest[line][2]], *rest[line + 1 :]]
        for outcome in _lines(state / "outcomes"):
            results[outcome["target"]].outcomes.update(outcome["outcomes"])
        for finding in _lines(state / "findings"):
            results[finding["target"]].findings[finding["number"]] = finding["finding"]
    return results


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _child(state: Path, plan: list, seed: str) -> int:
    """Run one child to its end, which a case that waits for ever does not put off."""
    shutil.rmtree(state / "case", ignore_errors=True)  # of a child that died in it
    (state / "plan").write_text(json.dumps(plan))
    (state / "progress").write_bytes(PROGRESS.pack(-1, 0))
    environment = os.environ | {
        "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0",
        "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "MALLOC_ARENA_MAX": "2",
    }  # fmt: skip
    command = [sys.executable, "-m", "fuzz.child", str(state), seed]
    child = subprocess.Popen(command, cwd=Path(__file__).parent.parent, env=environment)
    asleep, before = 0, None
    try:
        while True:
            try:
                return child.wait(timeout=_BETWEEN)
            except subprocess.TimeoutExpired:
                now = _slept_over(child.pid, state)
                asleep = asleep + 1 if now is not None and now == before else 0
                before = now
                if asleep >= _LOOKS:
                    child.kill()
    finally:
        child.kill()
        child.wait()


def _slept_over(pid: int, state: Path) -> tuple[int, int, float] | None:
    """The case that a child sleeps over, with the processor time that it has had so far; None if it
    computes, or would if a busy machine let it."""
    line, number = PROGRESS.unpack((state / "progress").read_bytes())
    child = psutil.Process(pid)
    if line < 0 or child.status() not in (psutil.STATUS_SLEEPING, psutil.STATUS_DISK_SLEEP):
        return None
    spent = child.cpu_times()
    return line, number, spent.user + spent.system


def _death(ended: int) -> str:
    if ended == -signal.SIGPROF:
        return "took more than its processor time"
    if ended == -signal.SIGKILL:
        return "waited for ever, or was killed for its memory"
    return f"the process died: {signal.Signals(-ended).name if ended < 0 else ended}"
