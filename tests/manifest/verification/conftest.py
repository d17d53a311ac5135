"""A run and its manifest, over a corpus of four files."""

from __future__ import annotations

import shutil

import pytest
from support.corpus_files import COLUMNS, NAMES, rows_of, write_source

import workbench as wb


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """A corpus of four files, scored for real, and the manifest of a selection from it."""
    folder = tmp_path_factory.mktemp("levels")
    for name in NAMES:
        write_source(folder / "corpus", name, rows_of(name))
    heads = wb.HeadSet.of([(1, 1)], tiny)
    table = wb.score_corpus(tiny, heads, folder / "corpus", out=folder / "run", **COLUMNS)
    wb.write_manifest(wb.select(table), folder / "run")
    return folder


@pytest.fixture
def corpus(made, tmp_path):
    return shutil.copytree(made / "corpus", tmp_path / "corpus")
