"""Worker processes from the driver's side: one a contestant, and only one computes at a time."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil

from benchmarks.environments import Unavailable, python_of, without_places
from benchmarks.settings import HERE, WORKDIR


class WorkerDied(RuntimeError):
    """The process of a contestant ended before it answered."""


class Worker:
    """A process that has loaded one contestant. `ready` waits until it has."""

    def __init__(self, contestant: str, spec: dict[str, Any]) -> None:
        self.contestant = contestant
        python = python_of(contestant)
        self.log = WORKDIR / "logs" / f"{contestant}.txt"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [python, "-m", "benchmarks.worker", contestant, json.dumps(spec)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=_environment(spec["threads"]),
            )

    def ready(self) -> dict[str, Any]:
        """What the worker says once its model is in memory."""
        return self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to one request, with `seconds`, `cpu` and memory in MiB."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise WorkerDied(self._last_error()) from None
        return self._answer()

    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def end(self) -> None:
        """Kill the process (it holds nothing that must be kept) and wait until its memory is free.

        A computation does not look at its input, so closing it alone would take too long.
        """
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerDied(self._last_error())
        return json.loads(line)

    def _last_error(self) -> str:
        code = self.process.wait()
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = without_places(lines[-1])[-300:] if lines else "it said nothing"
        return f"{self.contestant} ended with exit status {code}: {last}"


@contextmanager
def workers(
    contestants: Sequence[str], spec: dict[str, Any], absent: dict[str, str]
) -> Iterator[dict[str, Worker]]:
    """Processes of the contestants, loaded; killed at the end, however it comes.

    One that cannot be had is noted in `absent` with the reason, and the others go on.
    """
    found: dict[str, Worker] = {}
    try:
        for name in contestants:  # before anything is loaded: it may take minutes
            try:
                python_of(name)
            except Unavailable as error:
                absent[name] = str(error)
        for name in contestants:
            if name not in absent:
                found[name] = Worker(name, spec)
        for name in list(found):
            try:
                found[name].ready()
            except WorkerDied as error:
                absent[name] = str(error)
                found.pop(name).end()
        yield found
    finally:
        for worker in found.values():
            worker.end()


def fresh(contestant: str, spec: dict[str, Any], *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers of a process that is started for these requests alone."""
    worker = Worker(contestant, spec)
    try:
        worker.ready()
        return [worker.ask(**request) for request in requests]
    finally:
        worker.end()


def busy_seconds() -> float:
    """Processor time that the whole machine has spent on anything, or lost to its host."""
    times = psutil.cpu_times()
    return sum(getattr(times, kind, 0.0) for kind in ("user", "system", "nice", "irq", "steal"))


def rotated(names: list[str], number: int) -> list[str]:
    """The names in order, beginning at another one each round."""
    at = number % len(names) if names else 0
    return names[at:] + names[:at]


def _environment(threads: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return {
        **kept,
        "PYTHONPATH": str(HERE.parent),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "WANDB_MODE": "disabled",  # TransformerLens brings it along
    }
