"""Notebooks are committed as JupyterLab saves them: opening and saving one changes no file."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbformat import v4
from notebook_form import as_saved
from support.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PLOTLY = "application/vnd.plotly.v1+json"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_committed_notebook_is_as_it_would_be_saved(path):
    text = path.read_text(encoding="utf-8")
    assert as_saved(text) == text, f"give it that form: python tests/notebook_form.py {path.name}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_progress_bar_is_stored(path):
    """It would stand there at 0 %, and nothing that is compared would have one."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [out for cell in cells for out in cell.get("outputs", ())]
    texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in outputs]
    assert [text for text in texts if re.search(r"\d+%\|", text)] == []


def stored(number: str) -> str:
    """A notebook whose figure holds this number, written as Python would."""
    figure = v4.new_output("display_data", data={PLOTLY: {"data": [{"y": [12345]}]}})
    notebook = v4.new_notebook(cells=[v4.new_code_cell("", outputs=[figure])])
    notebook.cells[0].metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
    return nbformat.writes(notebook).replace("12345", number)


@pytest.mark.parametrize(
    ("python", "javascript"),  # the second column: JSON.stringify(JSON.parse(...)), read again
    [
        ("500000000.0", "500000000"),
        ("0.0", "0"),
        ("-0.0", "0"),
        ("0.1", "0.1"),
        ("1e-07", "1e-07"),  # 1e-7, which Python reads and writes as before
        ("1e+16", "10000000000000000"),
        ("1.2345678901234567e+19", "12345678901234567000"),
        ("1e+21", "1e+21"),
        ("9007199254740991", "9007199254740991"),
        ("9007199254740993", "9007199254740992"),
        ("true", "true"),
    ],
)
def test_numbers_take_the_form_of_javascript(python, javascript):
    saved = as_saved(stored(python))
    assert f"       {javascript}\n" in saved
    assert as_saved(saved) == saved
    assert "iopub" not in saved
    assert '"display_name": "Python 3 (ipykernel)"' in saved


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_what_no_browser_reads_is_refused(number):
    with pytest.raises(ValueError, match="is no JSON"):
        as_saved(stored(number))
