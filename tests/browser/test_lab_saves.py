"""A reader opens a notebook, looks at it and saves it: git shows no change."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from browser.lab import PATIENCE, Lab, menu

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
VERSION = re.compile(r'(?<="pygments_lexer": "ipython3",\n   "version": ")[^"]*')


@pytest.mark.slow
def test_opening_and_saving_changes_no_notebook(chromium, tmp_path):
    lab = Lab(tmp_path)
    try:
        for original in sorted(NOTEBOOKS.glob("*.ipynb")):
            file = Path(shutil.copy(original, lab.folder))
            copied = file.stat().st_mtime_ns
            # A page of its own: JupyterLab tells its layout a little later, to whoever listens.
            page = chromium.new_page()
            lab.open(page, file.name)
            # The kernel, once it is there, tells the notebook what it is.
            status = page.locator(".jp-StatusBar-Left", has_text="(ipykernel) | Idle")
            status.wait_for(timeout=PATIENCE)
            # The last that a save asks for, when the file is written.
            with page.expect_response(
                lambda response: "/checkpoints" in response.url, timeout=PATIENCE
            ):
                menu(page, "File", "Save Notebook")
            page.close()
            before, after = (path.read_text(encoding="utf-8") for path in (original, file))
            assert file.stat().st_mtime_ns > copied
            # Another Python is another reader's, and rightly said.
            assert VERSION.sub("", after) == VERSION.sub("", before), file.name
    finally:
        lab.close()
