"""Damaged inputs in processes under limits (see tests/fuzz), and the watch itself."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from random import Random

import pytest
from fuzz import parent, records, targets
from fuzz.child import Watch, run_case
from fuzz.mutations import changed, damaged
from fuzz.trials import misbehaves

from workbench import verify_manifest


@pytest.mark.parametrize("cases", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_all_cases_have_documented_outcomes(cases):
    counts = targets.shares(cases)
    results = parent.run([(name, 0, count) for name, count in counts.items()], "tests")
    assert {name: result.findings for name, result in results.items() if result.findings} == {}
    assert sum(result.cases for result in results.values()) == cases
    for name, result in results.items():  # no target refuses everything, or nothing
        assert len(result.outcomes) > 1 or counts[name] < 20, name


@pytest.mark.parametrize("old", [False, True])
def test_what_the_manifests_are_damaged_from_is_sound(tmp_path, old):
    """Few cases are made of the old one, and all may end alike: so it must be said here."""
    for name, content in records._sound(old).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert verify_manifest(tmp_path, strict=False).ok


def test_a_case_is_the_same_whenever_it_is_made(tmp_path):
    for name in targets.TARGETS:
        found = []
        for place in ("a", "b"):
            folder = tmp_path / name.replace(" ", "-") / place
            folder.mkdir(parents=True)
            targets.target(name)(folder, Random(f"0/{name}/3"))
            found.append({p.name: p.is_file() and p.stat().st_size for p in folder.rglob("*")})
        assert found[0] == found[1], name


DEATHS = {
    "crash": "SIGSEGV", "spin": "processor time", "hang": "waited for ever", "swell": "memory rose"
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", DEATHS)
def test_a_crash_a_hang_and_a_swelling_process_are_found_and_the_rest_runs(name, monkeypatch):
    if name == "hang":
        monkeypatch.setattr(parent, "_LOOKS", 4)
    bad = {number for number in range(4) if misbehaves(Random(f"d/{name}/{number}"))}
    result = parent.run([(name, 0, 4)], "d")[name]
    assert set(result.findings) == bad
    assert all(DEATHS[name] in said for said in result.findings.values())
    assert 0 < len(bad) < result.cases == 4


@pytest.mark.slow
def test_a_case_that_hangs_once_is_run_again(monkeypatch):
    monkeypatch.setattr(parent, "_LOOKS", 4)
    assert any(misbehaves(Random(f"d/stall/{number}")) for number in range(4))
    result = parent.run([("stall", 0, 4)], "d")["stall"]
    assert result.findings == {}
    assert result.outcomes["value"] + result.outcomes[parent.LOST] == result.cases == 4


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: open("/etc/hostname").close(), "opened '/etc/hostname'"),
        (lambda: Path("/etc/hostname").read_bytes(), "opened '/etc/hostname'"),
        (lambda: socket.socket().connect(("127.0.0.1", 9)), "socket.connect"),
        (lambda: os.system("true"), "os.system"),
        (lambda: [].append(1), None),
    ],
)
def test_the_watch_sees_what_a_case_must_not_do(tmp_path, act, said):
    watch = Watch()
    sys.addaudithook(watch)

    def run():
        with contextlib.suppress(OSError):
            act()
        return "value"

    outcome, finding = run_case(lambda folder, random: run, tmp_path / "case", Random(0), watch)
    assert outcome == "value"
    assert (finding or "").startswith(said or "")
    assert bool(finding) == bool(said)


def test_damage_changes_nearly_everything_and_grows_nothing_without_end():
    random = Random(0)
    data = b'{"text": "sound", "id": 1}' * 20
    spoilt = [damaged(data, random) for _ in range(1000)]
    assert sum(content != data for content in spoilt) > 950
    assert max(map(len, spoilt)) < 100_000
    value = {"a": [1, {"b": "text"}], "c": None}
    assert sum(changed(value, random) != value for _ in range(1000)) > 700
    assert value == {"a": [1, {"b": "text"}], "c": None}
