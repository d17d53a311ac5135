"""Loaded by Python at the start of every process that has this folder on PYTHONPATH: the workers of
a run under test. FAULTS in the environment says, as JSON, what happens in the process:

trace: a file to which every source file that is opened is added, a line each, with the process id;
deadly: names of source files; who opened one is killed, as by the out-of-memory killer, when it is
about to rename what it has written since;
clock: the wall clock jumps by days, back and forth, each time that it is looked at.
"""

import itertools
import json
import os
import random
import signal
import sys
import time


def begin(asked: dict) -> None:
    if asked.get("clock"):
        _jumping_clock()
    if asked.get("trace") or asked.get("deadly"):
        _watch_sources(asked.get("trace"), set(asked.get("deadly", ())))


def _watch_sources(trace: str | None, deadly: set[str]) -> None:
    if trace is not None:
        line = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    doomed = False

    def hear(event: str, given: tuple) -> None:
        nonlocal doomed
        if event == "os.rename" and doomed:
            os.kill(os.getpid(), signal.SIGKILL)
        if event != "open" or not isinstance(given[0], str):
            return
        name = os.path.basename(given[0])
        if not given[0].endswith(f"corpus/{name}"):
            return
        if trace is not None:
            os.write(line, f"{os.getpid()} {name}\n".encode())
        doomed = doomed or name in deadly

    sys.addaudithook(hear)


def _jumping_clock() -> None:
    real, random_ = time.time_ns, random.Random(0)
    jumps = itertools.count()
    day = 24 * 3600 * 10**9

    def time_ns() -> int:
        sign = 1 if next(jumps) % 2 else -1
        return real() + sign * random_.randrange(1, 4000) * day

    time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9


begin(json.loads(os.environ.get("FAULTS", "{}")))
