"""Runs as the tests see them: started, struck, waited for, and what is left of them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

TESTS = Path(__file__).parents[1]
SHARD = 4  # documents; a file of `corpora.lay_down` is one shard
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
HANGS = 900  # seconds after which what is waited for is taken not to come; nothing waits for a time


@dataclass
class Run:
    """A run in a process of its own."""

    runs: Runs
    pid: int
    log: Path
    status: int | None = None
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def going(self) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        return False

    @property
    def workers(self) -> list[psutil.Process]:
        """Its worker processes that live."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children()
        return []

    def strike(self, kind: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, kind)

    def wait(self, seconds: float = HANGS) -> int:
        """Its exit status, or minus the signal that ended it; `said` is then what it said."""
        ends = time.monotonic() + seconds
        while self.going:
            if time.monotonic() > ends:
                self.strike()
                raise TimeoutError(f"a run did not end in {seconds} s: {self.complaints()}")
            time.sleep(0.005)
        self.status = self.runs.ask(wait=self.pid)["status"]
        self.said = json.loads(self.log.read_text()) if self.log.exists() else {}
        return self.status

    def complaints(self) -> str:
        return Path(f"{self.log}.err").read_text(errors="replace")[-2000:]


class Runs:
    """Starts runs by `faults.child`, which has everything imported. tmp: their temporary folder,
    where nothing may be left."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tmp = folder, folder / "tmp"
        self.tmp.mkdir()
        self.numbers = itertools.count()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "faults.child"],
            cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | QUIET,
        )  # fmt: skip

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(
        self, corpus: Path | list[Path], out: Path, *, faults: Any = None, **given: Any
    ) -> Run:
        log = self.folder / f"run-{next(self.numbers)}.json"
        faults = {"tmp": str(self.tmp)} | (faults or {})
        paths = [str(document) for document in ([corpus] if isinstance(corpus, Path) else corpus)]
        asked = {"shard_size": SHARD} | given | {"corpus": paths, "out": str(out)}
        pid = self.ask(run={"log": str(log), "faults": faults, **asked})["pid"]
        return Run(self, pid, log)

    def run(self, corpus: Path | list[Path], out: Path, **given: Any) -> dict[str, Any]:
        """The report of an undisturbed run."""
        run = self.start(corpus, out, **given)
        assert run.wait() == 0, run.complaints()
        return run.said["report"]

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def begun(trace: Path) -> Counter[tuple[str, int]]:
    """How often each (source, process) of a trace was begun: a shard is a file there."""
    lines = trace.read_text().splitlines() if trace.exists() else []
    return Counter((name, int(pid)) for pid, name in map(str.split, lines))


def wait_until(true: Callable[[], object], seconds: float = HANGS) -> None:
    """Look a thousand times a second whether `true()`."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.001)
