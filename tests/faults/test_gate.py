"""The gate of the tests of faults: nobody waits at it for a process that is gone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from faults.gate import Gate


def ended(status):
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({status})"])
    process.wait()
    return process


def test_who_has_ended_is_not_waited_for(tmp_path):
    with pytest.raises(AssertionError, match="ended before the gate: exit status 3"):
        Gate(tmp_path / "gate").wait(by=[ended(3)])
    with pytest.raises(AssertionError, match="exit status 1, exit status 2"):
        Gate(tmp_path / "gate").wait(by=[ended(1), ended(2)])


def test_who_came_and_ended_has_come(tmp_path):
    gate = Gate(tmp_path / "gate")
    (tmp_path / "gate.held").write_text("4711\n")
    assert gate.wait(by=[ended(0)]) == [4711]
