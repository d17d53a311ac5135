"""Cases that misbehave on purpose: what the fuzzer is tried with."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random


def misbehaves(random: Random) -> bool:
    """Whether a case of a trial does; those that a child warms up with, Random(0) and Random(1),
    do not."""
    return 0.3 < random.random() < 0.7


def crash(folder: Path, random: Random) -> Callable[[], str]:
    return _kill if misbehaves(random) else _nothing


def spin(folder: Path, random: Random) -> Callable[[], str]:
    return _spin if misbehaves(random) else _nothing


def swell(folder: Path, random: Random) -> Callable[[], str]:
    return _swell if misbehaves(random) else _nothing


def hang(folder: Path, random: Random) -> Callable[[], str]:
    return _hang if misbehaves(random) else _nothing


def stall(folder: Path, random: Random) -> Callable[[], str]:
    """Hangs as `hang` does, but the first time only, as if the machine had stood still."""
    before = folder.parent / "stalled"
    if not misbehaves(random) or before.exists():
        return _nothing
    before.touch()
    return _hang


def _nothing() -> str:
    return "value"


def _kill() -> str:
    os.kill(os.getpid(), signal.SIGSEGV)
    return ""


def _spin() -> str:
    while True:
        pass


def _hang() -> str:
    time.sleep(3600)
    return ""


def _swell() -> str:
    return f"{len(bytearray(b'x' * (600 << 20)))} bytes"
