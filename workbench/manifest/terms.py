"""The statements of a manifest, put together the same way for a table and for files of any size."""

from __future__ import annotations

import datetime
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from workbench.core.files import is_absolute, mentions_absolute, sha256_of
from workbench.manifest.croissant import CLUSTERS_FILE, dataset, file_object
from workbench.selection.domain_quota import By
from workbench.selection.duplicates import Duplicates, policy_in_words
from workbench.selection.ranking import TIE_RULE

# 2: with the duplicate policy, and its figures in the domains
# 3: with the list of receipts in the place of the list of score files, where the run has one
FORMAT = 3
READ = (2, FORMAT)


def check_publishable(corpus_note: str | None, sources: Iterable[str]) -> None:
    """Raise ValueError when the note or a source name is an absolute path."""
    if corpus_note and mentions_absolute(corpus_note):
        raise ValueError("corpus_note holds an absolute path; name the corpus, not where it lies")
    local = sum(is_absolute(name) for name in sources)
    if local:
        raise ValueError(
            f"{local} sources are absolute paths, which a manifest must not publish; "
            "score the corpus with relative source names"
        )


def documents_term(
    record: dict[str, Any], excluded: int, ranked: int, selected: int
) -> dict[str, int]:
    """aiw:documents: the counts, which add up."""
    run = {key: record["documents"][key] for key in ("read", "scored", "skipped")}
    return {**run, "excluded": excluded, "ranked": ranked, "selected": selected}


def selection_term(
    fraction: float, by: By, duplicates: Duplicates, cap: int | None, clustered: bool
) -> dict[str, Any]:
    """aiw:selection: what was asked for, with the rules in words, and the file of clusters."""
    return {
        "fraction": fraction,
        "by": by,
        "duplicates": duplicates,
        "cap": cap,
        "clusters": CLUSTERS_FILE if clustered else None,
        "tie_rule": TIE_RULE,
        "duplicate_policy": policy_in_words(duplicates, cap, clustered),
    }


def described(folder: pathlib.Path, path: str) -> dict[str, Any]:
    """The FileObject of a file that is in `folder`."""
    return file_object(path, sha256_of(folder / path), (folder / path).stat().st_size)


def manifest_bytes(
    terms: dict[str, Any],
    files: list[dict[str, Any]],
    name: str,
    license: str | None,
    date: datetime.date | None,
) -> bytes:
    """The text of manifest.json; `files` are FileObjects, that of `selection.parquet` first."""
    terms = {"aiw:format": FORMAT, **terms}
    manifest = dataset(name, terms, files, license, date or datetime.date.today())
    return (json.dumps(manifest, indent=2, allow_nan=False) + "\n").encode()
