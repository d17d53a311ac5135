"""CONTRIBUTING.md: its examples run as they stand, and the files that it names are there."""

from __future__ import annotations

import ast
import re
import runpy

import pytest
from support.paths import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = {
    heading: text for heading, text in re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", PAGE, re.M)
}
ADDITIONS = [heading for heading in SECTIONS if heading.startswith("A new ")]


def example(heading: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", SECTIONS[heading], re.S)
    return code


def test_every_kind_of_addition_has_a_section():
    kinds = {heading.removeprefix("A new ") for heading in ADDITIONS}
    assert kinds == {"scorer column", "reader", "figure", "scaling law", "widget"}


@pytest.mark.parametrize("heading", ADDITIONS)
def test_the_example_runs_and_holds_what_it_asserts(heading, tmp_path, monkeypatch):
    code = example(heading)
    assert any(isinstance(node, ast.Assert) for node in ast.parse(code).body)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    runpy.run_path(str(tmp_path / "example.py"))


@pytest.mark.parametrize("heading", ADDITIONS)
def test_the_files_to_touch_are_there(heading):
    steps = re.findall(r"^\d\. .*(?:\n   .*)*", SECTIONS[heading], re.M)
    assert 2 <= len(steps) <= 3
    named = re.findall(r"`((?:workbench|widgets|tests)/[\w/.]+)`", "\n".join(steps))
    assert len(named) >= 2
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_file_that_the_page_names_is_there():
    named = set(re.findall(r"\b((?:workbench|widgets|tests)/[\w/]+\.\w+)", PAGE))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_two_test_commands_are_named():
    assert {"make test", "make test-slow"} <= set(re.findall(r"^(make [\w-]+)", PAGE, re.M))
