"""The commands that the README gives: they exist, and a shell can read what they would run.

`tests/browser/test_newcomer.py` runs them.
"""

from __future__ import annotations

import re
import subprocess

import pytest
from support.clones import clone, newcomer
from support.paths import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.M))


def named_targets() -> set[str]:
    """Those of the README. Only code counts: "make sure" in a sentence is no target."""
    code = re.findall(r"```.*?```|`[^`\n]+`", README, re.S)
    return {target for part in code for target in re.findall(r"\bmake ([a-z][a-z-]*)", part)}


def made(folder, *words):
    command = ["make", "--no-print-directory", *words]
    return subprocess.run(command, cwd=folder, env=newcomer(), capture_output=True, text=True)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return clone(tmp_path_factory.mktemp("clone"))


def test_make_offers_what_it_says(fresh):
    listing = made(fresh, "help")
    assert set(re.findall(r"^ +make ([a-z-]+)", listing.stdout, re.M)) == make_targets()
    assert made(fresh).stdout == listing.stdout


def test_the_readme_names_the_targets_and_they_exist():
    assert {"demo", "lab", "test", "test-slow", "check", "clean"} <= named_targets()
    assert named_targets() <= make_targets()
    assert "conda env create -f environment.yml" in README


@pytest.mark.parametrize("target", sorted(make_targets()))
def test_a_shell_can_read_what_a_target_runs_in_a_fresh_clone(fresh, target):
    plan = made(fresh, "--dry-run", target)
    assert plan.returncode == 0, plan.stderr
    read = subprocess.run(["sh", "-n"], input=plan.stdout, capture_output=True, text=True)
    assert read.returncode == 0, read.stderr


def test_make_lab_opens_the_notebook_that_is_the_start(fresh):
    opened = made(fresh, "--dry-run", "lab").stdout.split()[-1]
    assert (fresh / opened).is_file()
    assert opened == "notebooks/00_start_here.ipynb"
    assert f"]({opened})" in README  # which calls it the start


EXTRAS = {
    "demo": ".",
    "lab": ".[eval,ray,scale]",
    "test": ".[test]",
    "notebooks": ".[dev]",
    "docs": ".[test]",
}


@pytest.mark.parametrize(("target", "asked"), EXTRAS.items())
def test_an_installation_asks_for_all_of_its_extras(fresh, target, asked):
    plan = made(fresh, "--dry-run", target).stdout
    assert f"pip install --quiet --constraint constraints.txt --editable '{asked}'" in plan
    assert "-m venv .venv" in plan


def test_no_call_of_timed_is_cut_at_a_comma():
    """Its text and its command are two arguments; a comma more would be the end of the command."""
    calls = [call for line in MAKEFILE.splitlines() for call in calls_of("timed", line)]
    assert len(calls) > 3
    assert [call for call in calls if call.count(",") != 1] == []


def calls_of(name, line):
    """The arguments of each $(call name,...) of a line, without what inner parentheses hold."""
    for part in line.split(f"$(call {name},")[1:]:
        depth, outer = 1, ""
        for letter in part:
            depth += {"(": 1, ")": -1}.get(letter, 0)
            if not depth:
                break
            outer += letter if depth == 1 else ""
        yield outer


def test_tests_that_make_test_leaves_out_are_those_of_make_test_slow(fresh):
    for target, notebooks in (("test", "0[1-4]"), ("test-slow", "0[5-9]|1")):
        plan = made(fresh, "--dry-run", target).stdout
        runs = re.findall(r'-m ("not slow"|slow) .*?(tests.*)$', plan, re.M)
        assert (
            runs
            == {
                "test": [('"not slow"', "tests")],
                "test-slow": [("slow", "tests")],
            }[target]
        )  # all tests, each once
        found = re.findall(r"notebooks/(\d\d)_\w+\.ipynb", plan)
        assert found
        assert all(re.match(notebooks, number) for number in found)


def test_clean_removes_what_was_made_and_nothing_else(tmp_path):
    fresh = clone(tmp_path)
    before = {path for path in fresh.rglob("*") if ".git" not in path.parts}
    for name in (".venv/bin", "demo-run", "workbench/__pycache__", "notebooks/.ipynb_checkpoints"):
        (fresh / name).mkdir(parents=True)
    done = made(fresh, "clean")
    assert done.returncode == 0, done.stderr
    assert {path for path in fresh.rglob("*") if ".git" not in path.parts} == before
