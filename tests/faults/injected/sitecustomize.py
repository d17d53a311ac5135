"""Loaded by Python at the start of every process that has this folder on PYTHONPATH: the workers of
a run under test. FAULTS in the environment says, as JSON, what happens in the process:

trace: a file to which every source file that is opened is added, a line each, with the process id;
deadly: names of source files; who opened one is killed, as by the out-of-memory killer, when it is
about to rename what it has written since;
clock: the wall clock jumps by days, back and forth, each time that it is looked at;
gate: a file (see `faults.gate`). While it is there, a process that is about to publish what it
names says so and waits until it is gone. It holds a number n (the n-th receipt of a process) or a
name (of a score file or receipt, or of a shard);
broken: a file that holds such a name. Who is about to publish it removes this file and gets an
input/output error, once.
"""

import contextlib
import errno
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
    if asked.get("gate") or asked.get("broken"):
        _watch_published(asked.get("gate"), asked.get("broken"))


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
        if not given[0].endswith(f"corpus/{name}") or not name.endswith(".jsonl"):
            return
        if trace is not None:
            os.write(line, f"{os.getpid()} {name}\n".encode())
        doomed = doomed or name in deadly

    sys.addaudithook(hear)


def _watch_published(gate: str | None, broken: str | None) -> None:
    receipts = 0

    def hear(event: str, given: tuple) -> None:
        nonlocal receipts
        if event != "os.rename":
            return
        folder, name = os.path.split(os.fspath(given[1]))
        folder, half = os.path.basename(folder), os.path.basename(os.fspath(given[0]))
        if folder not in ("scores", "receipts") or not half.startswith("."):
            return  # no file that is published: one that is set aside, or taken back
        receipts += folder == "receipts"
        if broken is not None and name.startswith(_content(broken)):
            os.unlink(broken)
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        if gate is None:
            return
        shut = _content(gate)
        if name.startswith(shut) or (folder == "receipts" and str(receipts) == shut):
            with open(f"{gate}.held", "a") as held:
                held.write(f"{os.getpid()}\n")
            while os.path.exists(gate):
                time.sleep(0.01)

    sys.addaudithook(hear)


def _content(path: str) -> str:
    with contextlib.suppress(FileNotFoundError), open(path) as file:
        return file.read()
    return "/"  # what no name begins with


def _jumping_clock() -> None:
    real, random_ = time.time_ns, random.Random(0)
    jumps = itertools.count()
    day = 24 * 3600 * 10**9

    def time_ns() -> int:
        sign = 1 if next(jumps) % 2 else -1
        return real() + sign * random_.randrange(1, 4000) * day

    time.time_ns, time.time = time_ns, lambda: time_ns() / 1e9


begin(json.loads(os.environ.get("FAULTS", "{}")))
