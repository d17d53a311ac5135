"""The gate on `pytest --nbval notebooks`: what must really be compared before it may pass.

nbval passes a notebook without having compared anything: a cell that was never executed is run
and not compared, and neither is a cell without text. A green session therefore says little by
itself. This gate counts the cells whose stored text was compared and found equal, and fails the
session when a notebook has fewer of them than `MINIMUM` asks for.
"""

from __future__ import annotations

import copy
import os
import platform
import re
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode

# Notebook, as named from this folder -> the least number of its cells that must be compared. All of
# them are asked for when the folder is run, and those named on the command line otherwise.
MINIMUM = {
    "01_find_the_heads.ipynb": 8,
    "02_right_and_real.ipynb": 4,
    "03_mask_and_see.ipynb": 8,
    "04_score_and_select.ipynb": 14,
    "05_explore.ipynb": 10,
    "06_does_it_need_those_heads.ipynb": 13,
    "07_what_gets_chosen.ipynb": 9,
    "08_what_it_follows.ipynb": 7,
    "09_watch_heads_appear.ipynb": 5,
    "10_weak_to_strong.ipynb": 4,
    "11_scaling_curves.ipynb": 10,
    "12_scale_out.ipynb": 9,
    "13_from_shares_to_a_mixture.ipynb": 4,
    "14_beside_the_ranking.ipynb": 8,
}

# Goes on with the files of another, so both run in one process, one after the other.
GOES_ON_WITH = {"08_what_it_follows.ipynb": "07_what_gets_chosen.ipynb"}

HERE = Path(__file__).resolve().parent
FIGURE = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
TEXT = ("text/plain", "text/html")
NUMBER = re.compile(r"-?\d+\.\d+|-?\d+(?=%)")
COLOUR = re.compile(r"rgba\((\d+, ?\d+, ?\d+), ?(\d*\.?\d+)\)")
SHADE = 0.015  # of opacity, by which two shades may differ: one unit of the last printed place


@dataclass
class Notebook:
    cells: int = 0
    compared: int = 0
    figures: int = 0
    unrun: list[int] = field(default_factory=list)
    stored_by: str = ""  # the Python that stored the outputs, as "3.11.7"

    def count(self, notebook: str, number: int, compared: bool, figures: int, unrun: bool,
              stored_by: str) -> None:  # fmt: skip
        """Take in the facts of one cell of the notebook."""
        self.cells += 1
        self.compared += compared
        self.figures += figures
        self.unrun += [number] * unrun
        self.stored_by = stored_by

    @property
    def comparable(self) -> bool:
        """Stored text holds only for the Python that wrote it: the documents of the environment
        corpus are made of the standard library's sources, which every patch release changes."""
        return self.stored_by in ("", RUNNING)


RUNNING = platform.python_version()


gate = pytest.StashKey[dict[str, Notebook]]()
CELL = "notebook cell"


class Counter:
    """Counts the cells in their reports, which come here from every process of a session."""

    def __init__(self, notebooks: dict[str, Notebook]) -> None:
        self.notebooks = notebooks

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for cell in (value for key, value in report.user_properties if key == CELL):
            notebook = self.notebooks.setdefault(cell["notebook"], Notebook())  # type: ignore[index]
            notebook.count(**cell)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[gate] = {}
    config.pluginmanager.register(Counter(config.stash[gate]))
    # Notebooks whose stored outputs took long are run with the small settings of their own
    # parameter cell; what depends on the size is not compared there (tag nbval-ignore-output).
    os.environ["WORKBENCH_QUICK"] = "1"


def is_notebook_cell(item: pytest.Item) -> bool:
    return type(item).__name__ == "IPyNbCell"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    for item in filter(is_notebook_cell, items):
        if FIGURE not in item.parent.skip_compare:
            item.parent.skip_compare += (FIGURE,)
        if not Notebook(stored_by=python_of(item)).comparable:
            item.options["check"] = False
        compare_without_figures(item)
        # With `--dist loadgroup` the cells of a notebook stay together in one process.
        item.add_marker(pytest.mark.xdist_group(GOES_ON_WITH.get(name_of(item), name_of(item))))


def python_of(item: Any) -> str:
    """The Python that stored the outputs of the notebook, as "3.11.7"; "" where it is not said."""
    return item.parent.nb.metadata.get("language_info", {}).get("version", "")


def name_of(item: Any) -> str:
    path = item.path.resolve()
    return path.relative_to(HERE).as_posix() if path.is_relative_to(HERE) else str(path)


def is_figure(output: NotebookNode) -> bool:
    return FIGURE in output.get("data", {})


def compare_without_figures(item: Any) -> None:
    """Of a figure, hold only that it is there.

    The last digits of what it draws differ between machines, and the HTML beside it carries a
    random id. HTML in general stays compared: tables are HTML too.
    """
    compare = item.compare_outputs

    def without_figures(test: list[Any], stored: list[Any], *more: Any) -> bool:
        test, stored = list(map(plain, test)), list(map(plain, stored))
        if len(test) == len(stored):
            test = list(map(settled, test, stored))
        return compare(test, stored, *more)

    item.compare_outputs = without_figures


def plain(output: Any) -> Any:
    if not is_figure(output):
        return output
    return NotebookNode(output_type="display_data", data={"a plotly figure": "is shown"})


def settled(test: Any, stored: Any) -> Any:
    """The output of the run; a text in it that says the same as the stored one is that one."""
    found = copy.deepcopy(test)
    if found.output_type == stored.output_type == "stream" and agree(found.text, stored.text):
        found.text = stored.text
    for kind in TEXT:
        ours, theirs = found.get("data", {}).get(kind), stored.get("data", {}).get(kind)
        if ours is not None and theirs is not None and agree(ours, theirs):
            found.data[kind] = theirs
    return found


def agree(ours: str, theirs: str) -> bool:
    """Whether two texts are equal but for the last printed place of decimal numbers and percents.

    Another processor adds up in another order, so a rounded number may land one unit beside; two
    colours are the two signs of one value, whose distance is then the sum of both shades. Words,
    whole numbers and everything that is further away must be equal.
    """
    for (colour, a), (other, b) in zip(COLOUR.findall(ours), COLOUR.findall(theirs), strict=False):
        if abs(float(a) - (float(b) if colour == other else -float(b))) > SHADE:
            return False
    ours, theirs = COLOUR.sub("rgba()", ours), COLOUR.sub("rgba()", theirs)
    if NUMBER.sub("#", ours).split() != NUMBER.sub("#", theirs).split():
        return False
    for a, b in zip(NUMBER.findall(ours), NUMBER.findall(theirs), strict=True):
        places = len(a.partition(".")[2])
        if places != len(b.partition(".")[2]) or abs(float(a) - float(b)) > 1.5 * 10.0**-places:
            return False
    return True


def holds_text(output: NotebookNode) -> bool:
    if output.output_type == "stream":
        return bool("".join(output.text).strip())
    data = output.get("data", {})
    # The text beside a widget is only its name, so it does not count as something compared.
    return not (FIGURE in data or WIDGET in data) and any(
        "".join(data.get(kind, "")).strip() for kind in TEXT
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, Any]:
    report: Any = yield
    if report.when == "call" and is_notebook_cell(item):
        unrun = item.cell.execution_count is None
        checked = report.passed and not unrun and item.options["check"]
        facts = {
            "notebook": name_of(item),
            "number": item.cell_num,
            "compared": checked and any(map(holds_text, item.cell.outputs)),
            "figures": sum(map(is_figure, item.cell.outputs)),
            "unrun": unrun,
            "stored_by": python_of(item),
        }
        report.user_properties.append((CELL, facts))
    return report


def wanted(config: pytest.Config) -> set[str]:
    """The notebooks of MINIMUM that this session was asked to run."""
    paths = {(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args}
    return {name for name in MINIMUM if paths & {HERE / name, *(HERE / name).parents}}


def problems(config: pytest.Config) -> list[str]:
    notebooks = config.stash[gate]
    missing = wanted(config) - notebooks.keys()
    found = [f"{name} is listed in MINIMUM, and was not run" for name in missing]
    for name, notebook in notebooks.items():
        if name not in MINIMUM:
            found.append(f"{name} was run, and is not listed in MINIMUM of {Path(__file__).name}")
        elif notebook.comparable and notebook.compared < MINIMUM[name]:
            found.append(f"{name}: {notebook.compared} cells compared, {MINIMUM[name]} asked for")
        if notebook.unrun:
            found.append(f"{name}: never executed: cells {notebook.unrun}; run `make notebooks`")
        if not notebook.stored_by:
            found.append(f"{name} does not say which Python stored its outputs")
    return sorted(found)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if asked(session.config) and problems(session.config) and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def asked(config: pytest.Config) -> bool:
    return bool(config.getoption("nbval", False)) and not config.getoption("collectonly")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not asked(config):
        return
    notebooks = config.stash[gate]
    terminalreporter.section("notebooks")
    for name, notebook in sorted(notebooks.items()):
        line = f"{name}: {notebook.compared} of {notebook.cells} cells compared"
        if notebook.comparable:
            terminalreporter.line(line)
        else:
            terminalreporter.line(
                f"{name}: RUN ONLY, NOT COMPARED: its outputs were stored by Python "
                f"{notebook.stored_by}, this is {RUNNING}",
                yellow=True,
                bold=True,
            )
    compared = sum(notebook.compared for notebook in notebooks.values())
    figures = sum(notebook.figures for notebook in notebooks.values())
    terminalreporter.line(f"nbval: {compared} cells compared, {figures} figures not compared")
    for problem in problems(config):
        terminalreporter.line(f"nbval: FAILED: {problem}", red=True, bold=True)
