"""What one run of the benchmark was asked to do, and on which machine it does it."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WORKDIR = ROOT / ".bench"  # environments of the peers, logs, quick results; git ignores it

# The heads (5 %) that the lookup probes find in the default model, best first (workbench/METHOD.md,
# "Retrieval score" and "Head choice").
HEADS = (
    (18, 6), (17, 3), (20, 6), (17, 4), (23, 2), (18, 7), (23, 7), (22, 7), (23, 8), (21, 8),
    (20, 5), (24, 4), (23, 1), (24, 2),
)  # fmt: skip

NAMES = {
    "workbench": "workbench",
    "naive-eager": "naive eager",
    "naive-sdpa": "naive SDPA",
    "transformer-lens": "TransformerLens",
    "nnsight": "nnsight",
}


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """model: its folder; rounds, documents and longest (tokens): of the scoring section; rows: of
    the selection section; quick: a run of a few minutes that shows only that everything works;
    device: of the device section; price: of an hour of it, in any currency."""

    model: Path | None
    rounds: int = 7
    documents: int = 56
    longest: int = 1024
    rows: int = 2_000_000
    quick: bool = False
    device: str = "cpu"
    price: float | None = None
    contestants: tuple[str, ...] = tuple(NAMES)
    threads: int = cores()

    @property
    def out(self) -> Path:
        """Where results go: quick ones are noise and must not replace the real ones."""
        return WORKDIR / "quick" if self.quick else HERE

    def spec(self, **more: Any) -> dict[str, Any]:
        """What a worker is told when it starts."""
        return {"model": str(self.model), "threads": self.threads, **more}


def circumstances(settings: Settings) -> dict[str, Any]:
    """The machine, the versions, the date and the command, to be shown with every section."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{processor()}, {cores()} cores, {memory()}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": {name: metadata.version(name) for name in ("torch", "transformers")},
        "threads": settings.threads,
        "numbers": "float32" if settings.device == "cpu" else f"on {settings.device}",
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def memory() -> str:
    import psutil

    return f"{psutil.virtual_memory().total / 2**30:.0f} GiB of memory"
