"""The README and the pages beside the code: what they state is there, and commands are real."""

from __future__ import annotations

import re
import runpy
import subprocess
from functools import cache
from pathlib import Path

import nbformat
import pytest
from support.clones import newcomer
from support.paths import ROOT
from typer.main import get_command

import widgets
import workbench as wb
from workbench.cli.main import app

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    path
    for folder in ("workbench", "widgets", "tests/benchmarks", ".")
    for path in (ROOT / folder).glob("**/*.md" if folder in ("workbench", "widgets") else "*.md")
)
LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")


def section(heading: str) -> str:
    (part,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.M | re.S)
    return part


def table(heading: str) -> list[list[str]]:
    """The rows below the heading of the one table of a section."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def anchors(path: Path) -> set[str]:
    """The headings of a page as GitHub names them in links."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@cache
def stored_parts(path: Path) -> list[str]:
    """What a notebook's cells printed, cell by cell, or a page of measurements says, by section."""
    if path.suffix != ".ipynb":
        return re.split(r"^#+ .*$", path.read_text(encoding="utf-8"), flags=re.M)
    parts = []
    for cell in nbformat.read(path, as_version=4).cells:
        outputs = cell.get("outputs", [])
        printed = [(o.get("text", ""), o.get("data", {}).get("text/plain", "")) for o in outputs]
        parts.append("\n".join(text for both in printed for text in both))
    return parts


def linked(cell: str) -> Path:
    (target,) = LINK.findall(cell)
    return ROOT / target


def test_the_readme_has_at_most_120_lines():
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page):
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


def test_the_commands_are_those_of_make_help():
    (listed,) = re.findall(r"```text\n(.*?)```", section("Commands"), re.S)
    offered = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT, env=newcomer(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert listed == offered.stdout


NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
RESULTS = table("Results")


@pytest.mark.parametrize("row", RESULTS, ids=lambda row: row[0][:40])
def test_every_figure_of_the_results_stands_in_the_stored_output_named(row):
    _, count, result, source = row
    assert re.search(r"\d", count), "a result says how many it comes from"
    figures = NUMBER.findall(result)
    assert len(figures) >= 2
    stored = [{*map(float, NUMBER.findall(part))} for part in stored_parts(linked(source))]
    for measured in result.split(";"):  # its figures stand together
        own = {*map(float, NUMBER.findall(measured))}
        assert any(own <= part for part in stored), measured


def test_the_results_say_where_they_are_stored():
    assert len(RESULTS) > 5
    assert len({linked(row[-1]) for row in RESULTS}) > 4


def test_the_course_names_every_notebook_with_calls_that_it_makes():
    course = table("Course")
    assert [linked(row[0]) for row in course] == sorted((ROOT / "notebooks").glob("*.ipynb"))
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    for name, calls, command in course:
        code = "\n".join(
            cell.source
            for cell in nbformat.read(linked(name), as_version=4).cells
            if cell.cell_type == "code"
        )
        for call in re.findall(r"`([^`]+)`", calls):
            assert hasattr(widgets if call.startswith("widgets.") else wb, call.split(".")[-1])
            assert re.search(rf"\b{call.split('.')[-1]}\b", code), (name, call)
        assert set(re.findall(r"`workbench (\w+)`", command)) <= commands


def test_every_package_has_its_line():
    named = set(re.findall(r"`((?:workbench/\w+|widgets|notebooks|tests))`", README))
    packages = {f"workbench/{path.parent.name}" for path in ROOT.glob("workbench/*/__init__.py")}
    assert named >= packages | {"widgets", "notebooks", "tests"}
    assert {name for name in named if name.startswith("workbench/")} == packages


def test_the_moving_picture_is_one_and_small():
    (picture,) = re.findall(r"^!\[.+\]\((.+\.webp)\)$", README, re.M)
    content = (ROOT / picture).read_bytes()
    assert content[:4] == b"RIFF"
    assert content[8:12] == b"WEBP"
    assert content.count(b"ANMF") >= 5  # one a frame
    assert len(content) < 3_000_000


@pytest.mark.slow
def test_the_five_minutes_run_as_pasted(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", section("Five minutes"), re.S)
    monkeypatch.chdir(tmp_path)
    Path("pasted.py").write_text(code, encoding="utf-8")
    variables = runpy.run_path("pasted.py")
    assert capsys.readouterr().out.splitlines()[-1] == "True"
    assert len(variables["heads"]) == 14
    assert (tmp_path / "run" / "manifest.json").is_file()
