"""What is fuzzed, and how large a share of the cases each target gets."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from random import Random

# A target lays a case down in an empty folder and returns what runs it; that returns an outcome.
Target = Callable[[Path, Random], Callable[[], str]]

# Where each target is, as module:function, and its share. Cheap targets get more: a verification
# takes a hundred times as long as a head set.
TARGETS: dict[str, tuple[str, float]] = {
    "JSON Lines": ("corpora:jsonl", 0.20),
    "JSON Lines .gz": ("corpora:gz", 0.06),
    "JSON Lines .zst": ("corpora:zst", 0.06),
    "JSON Lines .xz": ("corpora:xz", 0.02),
    "JSON Lines .bz2": ("corpora:bzip2", 0.02),
    "CSV": ("corpora:csv_rows", 0.04),
    "Parquet": ("corpora:parquet", 0.15),
    "texts, folders": ("corpora:texts", 0.08),
    "saved data set": ("corpora:saved", 0.03),
    "head set, text": ("records:head_text", 0.13),
    "head set, JSON": ("records:head_json", 0.13),
    "receipt": ("records:receipt", 0.05),
    "run folder": ("records:run_folder", 0.01),
    "run folder, old": ("records:old_run_folder", 0.005),
    "manifest": ("records:manifest", 0.012),
    "manifest, old": ("records:old_manifest", 0.003),
}
_TRIALS = {name: f"trials:{name}" for name in ("crash", "spin", "hang", "stall", "swell")}


def target(name: str) -> Target:
    """The target of that name; only then is its module imported."""
    place = _TRIALS.get(name) or TARGETS[name][0]
    module, function = place.split(":")
    return getattr(importlib.import_module(f"fuzz.{module}"), function)


def shares(cases: int) -> dict[str, int]:
    """How many of `cases` each target gets."""
    counts = {name: int(cases * share) for name, (_, share) in TARGETS.items()}
    counts[next(iter(counts))] += cases - sum(counts.values())
    return counts
