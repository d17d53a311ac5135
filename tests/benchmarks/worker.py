"""The process of one contestant: reads a request a line, computes, writes an answer a line.

Started as `python -m benchmarks.worker NAME SPEC` in the environment of the contestant, so nothing
here or above `contestants.load` may need more than torch. Loading and parsing are not timed, only
the contestant's own work is.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO


def main(name: str, spec: dict[str, Any], requests: TextIO, answers: TextIO) -> None:
    """Load the contestant, say so, and serve requests until the other side closes."""
    import torch

    from benchmarks import contestants

    torch.set_num_threads(spec["threads"])
    perform = contestants.load(name, spec)
    tell(answers, {"ready": name, "resident": resident(), "versions": versions()})
    for line in requests:
        request = json.loads(line)
        forget_peak()
        before, spent = resident(), time.process_time()
        start = time.perf_counter()
        found = perform(**request)
        seconds = time.perf_counter() - start
        measured = {"seconds": seconds, "cpu": time.process_time() - spent}
        tell(answers, {**found, **measured, "before": before, "peak": peak()})


def tell(answers: TextIO, message: dict[str, Any]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def versions() -> dict[str, str]:
    """The versions of what computes, as this environment has them."""
    from importlib import metadata

    found = {}
    for package in ("torch", "transformers", "transformer-lens", "nnsight"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


# ---- memory, in MiB -----------------------------------------------------------------------------


def forget_peak() -> None:
    """Let the kernel start the high-water mark anew (Linux), so that loading is not counted."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def resident() -> float:
    return _status("VmRSS") or _largest()


def peak() -> float:
    """The most that was resident since `forget_peak`; elsewhere than on Linux, since the start."""
    return _status("VmHWM") or _largest()


def _status(key: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:")), None)


def _largest() -> float:
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    # Ctrl-C goes to the whole terminal group; the driver alone decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not come between the answers.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    main(sys.argv[1], json.loads(sys.argv[2]), sys.stdin, replies)
