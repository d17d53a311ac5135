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
import time
from collections.abc import Sequence
from pathlib import Path

from fuzz.child import AGAIN, DONE, PROGRESS

_WAIT = 30.0  # seconds by the clock after which a case hangs, whatever its processor time
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
    room = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=room, prefix="fuzz-") as folder:
        state = Path(folder).resolve()
        rest = [list(line) for line in plan]
        while rest:
            ended = _child(state, rest, seed)
            line, number, _ = PROGRESS.unpack((state / "progress").read_bytes())
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
        for one in _lines(state / "outcomes"):
            results[one["target"]].outcomes.update(one["outcomes"])
        for one in _lines(state / "findings"):
            results[one["target"]].findings[one["number"]] = one["finding"]
    return results


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _child(state: Path, plan: list, seed: str) -> int:
    """Run one child to its end, which a case that waits for ever does not put off."""
    shutil.rmtree(state / "case", ignore_errors=True)  # of a child that died in it
    (state / "plan").write_text(json.dumps(plan))
    (state / "progress").write_bytes(PROGRESS.pack(-1, 0, time.time()))
    environment = os.environ | {
        "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0",
        "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "MALLOC_ARENA_MAX": "2",
    }  # fmt: skip
    command = [sys.executable, "-m", "fuzz.child", str(state), seed]
    child = subprocess.Popen(command, cwd=Path(__file__).parent.parent, env=environment)
    try:
        while True:
            try:
                return child.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                line, _, began = PROGRESS.unpack((state / "progress").read_bytes())
                if line >= 0 and time.time() - began > _WAIT:
                    child.kill()
    finally:
        child.kill()
        child.wait()


def _death(ended: int) -> str:
    if ended == -signal.SIGPROF:
        return "took more than its processor time"
    if ended == -signal.SIGKILL:
        return "waited for ever, or was killed for its memory"
    return f"the process died: {signal.Signals(-ended).name if ended < 0 else ended}"
