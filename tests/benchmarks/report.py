"""results.json keeps what each section measured last; RESULTS.md is made from all of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

INTRODUCTION = """\
# Benchmarks

Written by `make bench` from results.json; do not edit. Each section says where and when it was
measured, since a run of some sections leaves the others as they were. Times of a shared machine
vary: compare ratios of the same round.
"""


def keep(folder: Path, section: str, measured: dict[str, Any], where: dict[str, Any]) -> None:
    """Put a section's results (complete or so far) in the place of its earlier ones."""
    results = stored(folder)
    results[section] = {"where": where, "measured": measured}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1) + "\n"
    beside = folder / "results.json.part"
    beside.write_text(text, encoding="utf-8")
    beside.replace(folder / "results.json")


def stored(folder: Path) -> dict[str, Any]:
    path = folder / "results.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write(folder: Path, sections: Iterable[ModuleType]) -> str:
    """RESULTS.md anew from results.json; its text."""
    results = stored(folder)
    parts = [INTRODUCTION]
    for section in sections:
        if section.NAME in results:
            kept = results[section.NAME]
            body = section.render(kept["measured"])
            parts.append(f"## {section.TITLE}\n\n{body}\n\n{_place(kept['where'])}\n")
        elif hasattr(section, "UNMEASURED"):
            parts.append(f"## {section.TITLE}\n\n{section.UNMEASURED}\n")
    text = "\n".join(parts)
    (folder / "RESULTS.md").write_text(text, encoding="utf-8")
    return text


def _place(where: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return (
        f"*{where['date']}; {where['machine']}; {where['system']}; {versions}; "
        f"{where.get('numbers', 'float32')}, {where['threads']} threads; `{where['command']}`*"
    )
