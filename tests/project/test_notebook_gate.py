"""The gate on the notebooks (notebooks/conftest.py), shown on tiny notebooks of our own."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence

import nbformat
import pytest
from nbformat import v4
from support.paths import ROOT

pytest_plugins = ["pytester"]

GATE = ROOT / "notebooks" / "conftest.py"
PLOTLY = "application/vnd.plotly.v1+json"
SHOW = "from IPython.display import display\ndisplay({data!r}, raw=True)"
FIGURE = {PLOTLY: {"data": [{"y": [1.0]}], "layout": {}}, "text/html": "<div id='a1'></div>"}


def printing(source: str, text: str, count: int | None = 1) -> nbformat.NotebookNode:
    shown = [v4.new_output("stream", name="stdout", text=text)] if text else []
    return v4.new_code_cell(source, outputs=shown, execution_count=count)


def showing(data: dict[str, object], stored: dict[str, object]) -> nbformat.NotebookNode:
    output = v4.new_output("display_data", data=stored)
    return v4.new_code_cell(SHOW.format(data=data), outputs=[output], execution_count=1)


@pytest.fixture
def run(pytester, monkeypatch):
    """What nbval makes of one notebook `tiny.ipynb` under the gate, in this process."""
    monkeypatch.setenv("WORKBENCH_QUICK", "")  # the gate sets it; here it is restored
    pytester.makeconftest(GATE.read_text(encoding="utf-8"))

    def run(
        *cells: nbformat.NotebookNode,
        minimum: dict[str, int],
        version: str = platform.python_version(),
        only: str = "",
        more: Sequence[str] = (),
    ) -> tuple[int, str]:
        notebook = v4.new_notebook(cells=list(cells))
        if version:
            notebook.metadata["language_info"] = {"name": "python", "version": version}
        nbformat.write(notebook, pytester.path / "tiny.ipynb")
        with (pytester.path / "conftest.py").open("a", encoding="utf-8") as gate:
            gate.write(f"\nMINIMUM = {minimum!r}\n")
        options = ["--nbval", "--nbval-current-env", "--color=no", "-p", "no:cacheprovider"]
        done = pytester.runpytest_inprocess(*options, *more, pytester.path / only)
        return done.ret, done.stdout.str() + done.stderr.str()

    return run


def test_passes_when_enough_cells_are_compared(run):
    table = {"text/plain": "a b", "text/html": "<table></table>"}
    status, output = run(
        printing("print('one')", "one\n"),
        printing("quiet = 1", ""),
        printing("# NBVAL_IGNORE_OUTPUT\nprint('other')", "something\n"),
        showing(table, table),
        minimum={"tiny.ipynb": 2},
    )
    assert status == 0, output
    assert "nbval: 2 cells compared, 0 figures not compared" in output
    assert "4 passed" in output


@pytest.mark.slow
def test_a_figure_is_not_compared_and_does_not_count(run):
    other = {PLOTLY: {"data": [{"y": [1.5]}], "layout": {}}, "text/html": "<div id='b2'></div>"}
    cells = printing("print('one')", "one\n"), showing(FIGURE, other)
    status, output = run(*cells, minimum={"tiny.ipynb": 1})
    assert status == 0, output
    assert "nbval: 1 cells compared, 1 figures not compared" in output

    status, output = run(*cells, minimum={"tiny.ipynb": 2})
    assert status == 1
    assert "2 passed" in output
    assert "tiny.ipynb: 1 cells compared, 2 asked for" in output


@pytest.mark.slow
def test_fails_when_a_figure_is_no_longer_shown(run):
    gone = v4.new_code_cell("quiet = 1", outputs=showing(FIGURE, FIGURE).outputs, execution_count=1)
    status, output = run(gone, minimum={"tiny.ipynb": 0})
    assert status == 1
    assert "Missing output fields" in output


def test_fails_when_a_text_or_a_table_differs(run):
    status, output = run(
        printing("print('one')", "two\n"),
        showing({"text/html": "<b>one</b>"}, {"text/html": "<b>two</b>"}),
        minimum={"tiny.ipynb": 0},
    )
    assert status == 1
    assert "2 failed" in output
    # Not counted: where CI is set, pytest's summary repeats what it printed above.
    assert "Cell 0: Cell outputs differ" in output
    assert "Cell 1: Cell outputs differ" in output
    assert "nbval: 0 cells compared" in output


@pytest.mark.slow
def test_fails_on_a_cell_that_was_never_executed(run):
    cells = printing("print('one')", "one\n"), printing("print('two')", "", count=None)
    status, output = run(*cells, minimum={"tiny.ipynb": 1})
    assert status == 1
    assert "2 passed" in output  # nbval alone would let it through
    assert "tiny.ipynb: never executed: cells [1]" in output


@pytest.mark.slow
def test_fails_when_the_list_and_the_folder_differ(run):
    status, output = run(printing("print(1)", "1\n"), minimum={"absent.ipynb": 0})
    assert status == 1
    assert "absent.ipynb is listed in MINIMUM, and was not run" in output
    assert "tiny.ipynb was run, and is not listed" in output


@pytest.mark.slow
def test_a_notebook_that_was_not_asked_for_is_not_missed(run):
    cell = printing("print(1)", "1\n")
    status, output = run(cell, minimum={"absent.ipynb": 0, "tiny.ipynb": 1}, only="tiny.ipynb")
    assert status == 0, output


@pytest.mark.slow
def test_cells_that_other_processes_run_are_counted(run):
    cells = printing("print('one')", "one\n"), printing("print('two')", "", count=None)
    apart = ["--numprocesses=1", "--dist=loadgroup"]
    status, output = run(*cells, minimum={"tiny.ipynb": 2}, more=apart)
    assert status == 1
    assert "2 passed" in output
    assert "nbval: 1 cells compared, 0 figures not compared" in output
    assert "tiny.ipynb: 1 cells compared, 2 asked for" in output
    assert "tiny.ipynb: never executed: cells [1]" in output


@pytest.mark.slow
def test_the_cells_of_a_notebook_stay_in_one_process(run):
    cells = printing("x = 0", ""), *(printing("x += 1; print(x)", f"{i}\n") for i in (1, 2, 3, 4))
    shared = ["--numprocesses=2", "--dist=loadgroup", "--no-loadscope-reorder"]
    status, output = run(*cells, minimum={"tiny.ipynb": 4}, more=shared)
    assert status == 0, output


@pytest.mark.slow
def test_fails_when_no_python_is_named(run):
    status, output = run(printing("print(1)", "1\n"), minimum={"tiny.ipynb": 1}, version="")
    assert status == 1
    assert "does not say which Python" in output


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.9.1", f"{platform.python_version()}1"])
def test_another_python_only_runs_the_notebook_and_says_so(run, version):
    cells = [printing("print('one')", "two\n")]
    status, output = run(*cells, minimum={"tiny.ipynb": 1}, version=version)
    assert status == 0, output
    assert "tiny.ipynb: RUN ONLY, NOT COMPARED" in output
    assert "nbval: 0 cells compared" in output

    cells.append(printing("1 / 0", ""))
    status, output = run(*cells, minimum={"tiny.ipynb": 1}, version=version)
    assert status == 1
    assert "ZeroDivisionError" in output


LAST_PLACE = [
    ("loss 0.94 of 7", "loss 0.95 of 7", True),  # one unit in the last printed place
    ("19% and -0.10", "20% and -0.11", True),
    ("loss  9.99", "loss 10.00", True),
    ("loss 0.93", "loss 0.95", False),
    ("12 of 14 heads", "13 of 14 heads", False),  # whole numbers are counts
    ("loss 0.9", "loss 0.94", False),
    ("L17H3 0.85", "L17H4 0.85", False),
    ("rgba(213,94,0,0.45)", "rgba(213,94,0,0.46)", True),
    ("rgba(213,94,0,0.00)", "rgba(0,114,178,0.01)", True),  # a value on either side of zero
    ("rgba(213,94,0,0.01)", "rgba(0,114,178,0.01)", False),
    ("rgba(213,94,0,0.45)", "rgba(0,114,178,0.45)", False),
    ("rgba(213,94,0,0.45)", "rgba(213,94,0,0.47)", False),
]


def test_only_the_last_printed_place_may_differ(run):
    cells = [printing(f"print({printed!r})", f"{stored}\n") for printed, stored, _ in LAST_PLACE]
    _, output = run(*cells, minimum={"tiny.ipynb": 0})
    failed = {int(number) for number in re.findall(r"FAILED .*::Cell (\d+)", output)}
    assert failed == {n for n, (*_, passes) in enumerate(LAST_PLACE) if not passes}
    assert "5 passed" in output
