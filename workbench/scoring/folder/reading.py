"""The scores of a finished run, read again from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from workbench.core.files import lines_of, read_json, resolve_inside
from workbench.core.parquet import read_table
from workbench.scoring.folder.receipts import check_files, score_files
from workbench.scoring.schema import columns_in, completed, schema_with, stored_columns
from workbench.scoring.score_table import ScoreTable


def load_scores(folder: str | Path) -> ScoreTable:
    """The table that `score_corpus(out=folder)` returned, read again from its files.

    Args:
        folder: the run folder.

    Returns:
        The table of `score_corpus`: its rows, the record of its run and its skipped documents. Of a
        run of an older version, whose files have fewer columns, those that came later are null,
        but for the rise.

    Raises:
        FileNotFoundError: no run was written to the folder.
        ValueError: the run is not finished, or its files were changed since.
    """
    folder = Path(folder)
    where = folder / "run.json"
    if not where.exists():
        raise FileNotFoundError(
            f"{folder} holds no run.json: expected a folder written by score_corpus(out=...)"
        )
    try:
        run = read_json(resolve_inside(folder, "run.json"))
    except ValueError as error:
        raise ValueError(f"{where} is not the record of a run: {error!s:.300}") from error
    try:
        if run["documents"] is None:
            raise ValueError(
                f"the run in {folder} is not finished: call score_corpus again with the same "
                "settings and it goes on where it stopped"
            )
        of_user = columns_in(run)
        columns = [*stored_columns(run["format"]), *(column.name for column in of_user)]
        files, listed = score_files(folder, run), run["skipped_file"]
        paths, (skipped,) = check_files(folder, files), check_files(folder, [listed])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} is not the record of a run: {error!r:.300}") from error
    tables, schema = [], schema_with(of_user)
    for path in paths:
        stored = read_table(path)
        if lacking := set(columns) - set(stored.column_names):
            raise ValueError(f"{path} lacks the columns {sorted(lacking)} of scores")
        tables.append(completed(stored.select(columns), schema))
    rows = pa.concat_tables(tables) if tables else schema.empty_table()
    return ScoreTable(rows.to_pandas(), run, _json_lines(skipped))


def _json_lines(path: Path) -> list[Any]:
    rows = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines_of(lines), 1):
            try:
                rows.append(json.loads(line or b""))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} of {path} is not JSON: {error!s:.200}") from error
    return rows
