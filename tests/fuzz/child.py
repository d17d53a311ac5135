"""The process that runs the cases, under limits; it may die of one, and its parent then says so.

    python -m fuzz.child STATE SEED

STATE is a folder. In it: `plan` (JSON: a list of [target, first case, last case + 1]), `progress`
(shared memory: which line of the plan, which case), `outcomes` and `findings` (JSON
lines, which the child adds to).
"""

from __future__ import annotations

import collections
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Any

from fuzz.targets import target

SECONDS = 5.0  # of processor time a case may take
MEMORY = 512 << 20  # bytes that a case may add to what the process held before
ADDRESSES = 3 << 30  # bytes of address space beyond what the imports take
PROGRESS = struct.Struct("<qq")
DONE, AGAIN = 0, 3  # exit statuses: the plan is done; a new process should go on with the next case

# Where a container's limit on processor time stands, which DuckDB's number of threads keeps to.
CPU_LIMITS = (
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
)
# Pickles, connections, other programs: each of these events is a finding.
FORBIDDEN = (
    "pickle.find_class", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system",
    "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.rmdir", "ctypes.dlopen",
)  # fmt: skip


class Watch:
    """What Python's audit events told of the case that runs now."""

    def __init__(self) -> None:
        self.folder = ""
        self.seen: list[str] = []
        self.allowed = (sys.prefix, sys.base_prefix, "/usr/lib", "/proc/self", "/dev/null")

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.folder:
            return
        if event == "open":
            path = os.fsdecode(given[0]) if isinstance(given[0], str | bytes) else ""
            allowed = path in CPU_LIMITS or os.path.abspath(path).startswith(
                (self.folder, *self.allowed)
            )
            if path and not allowed:
                self.seen.append(f"opened {path!r:.200}")
        elif event in FORBIDDEN and not self._clears_away(event, given):
            self.seen.append(f"{event} {given!r:.200}")

    def _clears_away(self, event: str, given: tuple[Any, ...]) -> bool:
        """Whether something is removed that lies in the folder of the case."""
        if event not in ("os.remove", "os.rmdir"):
            return False
        path, folder = os.fsdecode(given[0]), given[1]
        where = os.getcwd() if folder == -1 else os.readlink(f"/proc/self/fd/{folder}")
        return os.path.normpath(os.path.join(where, path)).startswith(self.folder + os.sep)


def main(state: Path, seed: str) -> int:
    """Run the plan from its first case; DONE at its end, AGAIN where the memory asks for it."""
    warnings.simplefilter("ignore")
    plan = json.loads((state / "plan").read_text())
    makers = {name: target(name) for name, _, _ in plan}
    watch = Watch()
    sys.addaudithook(watch)
    with (state / "progress").open("r+b") as file:
        progress = mmap.mmap(file.fileno(), PROGRESS.size)
    folder = state / "case"
    for make in makers.values():  # imports and caches are no part of a case's memory
        for number in range(2):
            run_case(make, folder, Random(number), watch)
    used = _pages() * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES, used + ADDRESSES))
    before = _peak()
    for line, (name, first, last) in enumerate(plan):
        outcomes: collections.Counter[str] = collections.Counter()
        try:
            for number in range(first, last):
                PROGRESS.pack_into(progress, 0, line, number)
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                random = Random(f"{seed}/{name}/{number}")
                outcome, finding = run_case(makers[name], folder, random, watch)
                signal.setitimer(signal.ITIMER_PROF, 0)
                grown = _peak() - before
                if grown > MEMORY and not finding:
                    finding = f"memory rose by {grown >> 20} MB"
                outcomes["FINDING" if finding else outcome] += 1
                if finding:
                    _note(state / "findings", target=name, number=number, finding=finding)
                if grown > MEMORY:  # the peak does not go down again
                    return AGAIN
        finally:
            _note(state / "outcomes", target=name, outcomes=outcomes)
    return DONE


def _note(path: Path, **what: Any) -> None:
    with path.open("a") as file:
        file.write(json.dumps(what) + "\n")


def run_case(make: Any, folder: Path, random: Random, watch: Watch) -> tuple[str, str | None]:
    """Lay one case down, run it, and clear it away: its outcome, and the finding if it is one."""
    folder.mkdir()
    try:
        run = make(folder, random)
        watch.seen.clear()
        watch.folder = str(folder)
        try:
            outcome = run()
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-3:]
            trail = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(last))
            return "", f"{type(error).__name__}: {str(error)[:300]} [{trail}]"
        finally:
            watch.folder = ""
        return outcome, "; ".join(watch.seen) or None
    finally:
        shutil.rmtree(folder)


def _peak() -> int:
    """The most bytes that this process held; `ru_maxrss` would count what its parent held, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
