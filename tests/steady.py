"""Every test that starts a process, again and again while all cores are kept busy by other work.

    cd tests && ../.venv/bin/python -m steady --times 20

Prints the tests that failed, and how often; the exit status is that of pytest. Words behind `--` go
to pytest, such as `-k workers`, or `--numprocesses 4` for so many tests at once; with `--beside 0`
these tests are one another's other work. The figures are in tests/FAULTS.md.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Who uses one of these names starts a process, and who gives a keyword `workers`, does too.
STARTS = {"subprocess", "Lab", "pytester", "local_driver", "ray_driver", "processes"}
HERE_ONLY = {"faults": {"runs"}, "test_fuzz.py": {"parent"}}  # names that say it in these alone
TIMES = "STEADY_TIMES"
# No longer than this process.
WORK = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"
# Installs the whole project anew each time.
LEFT_OUT = {"browser/test_newcomer.py"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test so many times, one after the other: `-p steady`, for xdist's workers too."""
    metafunc.fixturenames.append("turn")
    turns = range(int(os.environ[TIMES]))
    metafunc.parametrize("turn", turns, ids=lambda turn: f"turn{turn}")


class Count:
    """What came of the tests."""

    def __init__(self) -> None:
        self.ran, self.failed = Counter[str](), Counter[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("turn")[0].rstrip("[-")
        self.ran[name] += report.when == "call"
        self.failed[name] += report.failed


def starting() -> list[str]:
    """The tests that start a process, as pytest names them."""
    found = []
    for path in sorted(HERE.glob("**/test_*.py")):
        name = path.relative_to(HERE).as_posix()
        if name not in LEFT_OUT:
            starts = STARTS.union(*(HERE_ONLY.get(part, ()) for part in name.split("/")))
            found += [
                f"{name}::{test}" for test in starting_in(ast.parse(path.read_text()), starts)
            ]
    return found


def starting_in(module: ast.Module, starts: set[str]) -> list[str]:
    """The tests of a file that use what starts a process, themselves or through their helpers."""
    functions = {
        function.name: used(function)
        for function in module.body
        if isinstance(function, ast.FunctionDef)
    }
    before = 0
    while len(starts) != before:
        before = len(starts)
        starts = starts | {name for name, names in functions.items() if names & starts}
    return [name for name in functions if name.startswith("test_") and name in starts]


def used(function: ast.FunctionDef) -> set[str]:
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and any(key.arg == "workers" for key in node.keywords):
            names |= STARTS
    return names


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    words = [sys.executable, "-c", WORK, str(os.getpid())]
    work = [subprocess.Popen(words) for _ in range(processes)]
    try:
        yield
    finally:
        for process in work:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m steady", description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--beside", type=int, default=os.cpu_count(), help="processes that compute")
    parser.add_argument("--list", action="store_true", help="only say which tests")
    parser.add_argument("pytest", nargs="*", help="words for pytest, behind --")
    asked = parser.parse_args()
    if asked.list:
        print(*starting(), sep="\n")
        return 0
    count, began = Count(), time.monotonic()
    os.environ[TIMES] = str(asked.times)
    with busy(asked.beside):
        words = ["-q", "--no-header", "-p", "steady", *asked.pytest]
        words += [str(HERE / name) for name in starting()]
        status = pytest.main(words, plugins=[count])
        load = os.getloadavg()[2]
    for name, failures in count.failed.items():
        if failures:
            print(f"FAILED {failures} of {count.ran[name]} times: {name}")
    print(
        f"{len(count.ran)} tests, {count.ran.total()} runs, {count.failed.total()} failures, "
        f"{(time.monotonic() - began) / 60:.0f} minutes on {os.cpu_count()} cores, load {load:.1f}"
    )
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
