"""The folder that a run goes to where nobody names one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from typing import Any

from workbench.corpus.document import Document
from workbench.corpus.reading import read_corpus


def default_folder(corpus: Any = None) -> str:
    """A folder for the run of a corpus, such that two corpora do not meet in one.

    Args:
        corpus: what `score_corpus` is given; None: text of the Python environment.

    Returns `run-NAME-DIGEST`: for the same paths the same, whatever their files hold; what lies in
    memory is told apart by its first document, if that can be read.
    """
    if corpus is None:
        return "run-environment"
    given = [corpus] if isinstance(corpus, str | os.PathLike) else corpus
    if isinstance(given, list | tuple) and all(isinstance(p, str | os.PathLike) for p in given):
        paths = [_place(os.fsdecode(one)) for one in given]
        name, told = paths[0].rstrip("/").split("/")[-1].split(".")[0], "\n".join(paths)
    else:
        name, told = "memory", ""
        if hasattr(corpus, "__len__"):  # else it can be read only once
            with contextlib.suppress(ValueError):  # whoever scores it is told
                found = (one.text for one in read_corpus(corpus) if isinstance(one, Document))
                told = next(found, "")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "corpus"
    return f"run-{name}-{hashlib.sha256(told.encode('utf-8', 'replace')).hexdigest()[:6]}"


def _place(path: str) -> str:
    """A path as it is called from everywhere; of a URL without the query, which may be signed."""
    return path.split("?")[0] if "://" in path else os.path.abspath(path)
