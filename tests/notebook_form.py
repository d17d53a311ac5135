"""The form in which JupyterLab saves a notebook, so that opening and saving one changes nothing.

Run it on notebooks to give them that form: `python tests/notebook_form.py notebooks/*.ipynb`.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat

SAFE = 2**53  # from here on not every integer is a JavaScript number
LONG = 1e21  # from here on JavaScript writes an exponent
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def as_saved(text: str) -> str:
    """A notebook as JupyterLab would save it.

    Numbers take the form that they have after a way through JavaScript, the kernel the name that
    ipykernel gives itself. Times of execution go, which would change at every run.
    """
    notebook = _through_javascript(nbformat.reads(text, as_version=4))
    notebook.metadata["kernelspec"] = KERNEL
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return nbformat.writes(notebook) + "\n"


def _through_javascript(value: Any) -> Any:
    if isinstance(value, dict):
        return type(value)({key: _through_javascript(item) for key, item in value.items()})
    if isinstance(value, list):
        return [_through_javascript(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= SAFE:
        value = float(value)
    if isinstance(value, float):
        if value in (float("inf"), float("-inf")) or value != value:
            raise ValueError(f"{value} is no JSON: a browser cannot open this notebook")
        if value.is_integer() and abs(value) < LONG:
            return int(Decimal(repr(value)))  # the shortest digits, as JavaScript has it
    return value


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(as_saved(path.read_text(encoding="utf-8")), encoding="utf-8")
