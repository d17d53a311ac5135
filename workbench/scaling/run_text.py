"""Tables of runs as text: a file that was chosen in a page, or cells copied from a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import pandas as pd

RUN_COLUMNS = (
    "run", "params", "params_all", "tokens", "batch_tokens", "learning_rate", "seed", "loss",
    "finished",
)  # fmt: skip
NUMBERS = {*RUN_COLUMNS, "compute", "steps", "batch_rows"} - {"run", "finished"}
MISSING = {"", "nan", "na", "n/a", "none", "null", "-"}
TRUTHS = {"true": True, "false": False}
EXAMPLE = "params,tokens,loss and then, a line a run, such as 1e7,2e8,3.91"


def parse_runs(content: str | bytes) -> pd.DataFrame:
    """The table in a text, its columns named as `training_runs` knows them.

    Args:
        content: lines of cells between tabs, semicolons or commas, quoted where a cell holds one;
            the first line names the columns. Of the known names case and spaces do not matter
            ("Learning rate" is learning_rate). Bytes are UTF-8, or UTF-16 with its mark, as
            spreadsheets write it.

    Returns:
        One row a run. Columns of numbers are numbers, missing ones NaN; others are text.

    Raises:
        ValueError: it is no such table; the line and the cell are named.
    """
    if not isinstance(content, str):
        content = _decoded(bytes(content))
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"the table of runs is empty: its first line is {EXAMPLE}")
    between = next((mark for mark in "\t;" if mark in lines[0]), ",")
    reader = csv.reader(io.StringIO(content), delimiter=between, strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} of the table of runs: {error}") from None
    names = [_name(cell) for cell in rows[0][1]]
    _check_header(names)
    for line, cells in rows[1:]:
        if len(cells) != len(names):
            raise ValueError(
                f"line {line} of the table of runs has {len(cells)} cells "
                f"({between.join(cells)!r:.60}), and the first line names {len(names)} columns "
                f"({', '.join(names):.200})"
            )
    table = {
        name: _column(name, [(line, cells[at]) for line, cells in rows[1:]])
        for at, name in enumerate(names)
        if name  # spreadsheets add columns without a name
    }
    return pd.DataFrame(table)


def _decoded(content: bytes) -> str:
    if content[:2] == b"PK" or content[:4] == b"\xd0\xcf\x11\xe0":
        raise ValueError(
            "this is a file of a spreadsheet program, and not text: save it as CSV, or copy its "
            "cells and paste them"
        )
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the table of runs is no text in UTF-8 (byte {error.start} is "
            f"{content[error.start]:#04x}): save it as CSV in UTF-8"
        ) from None


def _name(cell: str) -> str:
    known = re.sub(r"[\s\-]+", "_", cell.strip()).lower()
    return known if known in {*NUMBERS, *RUN_COLUMNS} else cell.strip()


def _check_header(names: Sequence[str]) -> None:
    words = ", ".join(names)
    if all(_number(name) is not None for name in names):
        raise ValueError(
            f"the first line of the table of runs holds numbers ({words:.80}), and no names of "
            f"columns: put one before it, {EXAMPLE}"
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ValueError(f"the table of runs names the columns {twice!r:.200} twice: keep one")
    lacking = [name for name in ("params", "tokens", "loss") if name not in names]
    if lacking:
        raise ValueError(
            f"the table of runs lacks the columns {', '.join(lacking)}: its first line names "
            f"{words:.200}. It should be {EXAMPLE}"
        )


def _column(name: str, cells: Sequence[tuple[int, str]]) -> pd.Series:
    """Numbers where all cells are, or must be; truths; else the text itself."""
    values = [_number(cell) for _, cell in cells]
    wrong = [at for at, value in enumerate(values) if value is None]
    if not wrong and name not in ("run", "finished"):
        whole = all(re.fullmatch(r"[+-]?\d{1,15}", cell) for _, cell in cells) and len(cells)
        return pd.Series(
            [int(cell) for _, cell in cells] if whole else values,
        )
    if name in NUMBERS or name.startswith("loss ("):
        line, cell = cells[wrong[0]]
        raise ValueError(
            f"column {name!r} of line {line} is {cell!r:.60}, and not a number: write 125M as "
            "125e6, a point before the decimals, and nothing between thousands"
        )
    words = [cell.lower() for _, cell in cells]
    if set(words) <= set(TRUTHS):
        return pd.Series([TRUTHS[word] for word in words])
    if name == "finished":
        at = next(at for at, word in enumerate(words) if word not in TRUTHS)
        raise ValueError(
            f"column 'finished' of line {cells[at][0]} is {cells[at][1]!r:.60}: write true or "
            "false, or leave the column out"
        )
    return pd.Series([cell for _, cell in cells], dtype=str)


def _number(cell: str) -> float | None:
    """What a cell says: a number, NaN where it is missing, None where it is something else."""
    if cell.lower() in MISSING:
        return float("nan")
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None


def runs_as_text(runs: pd.DataFrame, between: str = ",") -> str:
    """A table of runs as `parse_runs` reads it; what is missing of all runs is left out.

    Args:
        runs: one row a run.
        between: the mark between two cells; a tab for a spreadsheet.

    Returns:
        Lines, the names of the columns first; every number in full.
    """
    known = runs.dropna(axis="columns", how="all")
    return known.to_csv(index=False, sep=between, lineterminator="\n")
