"""The columns of materialised shards: what each holds, and the score that the documents are in by.

A selection ranks by the paper's score or by another column of its score files. The rows have the
paper's score and the rank in any case, and that other column under its own name besides. The
residual is in no file: their rank says all of it that a document has by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from workbench.scoring.schema import FORMULA
from workbench.selection.residual import RESIDUAL
from workbench.selection.schema import NEWEST, SelectionColumn, columns_of

COLUMNS = (
    SelectionColumn("id", pa.string(), "sc:Text", "Identifier of the document"),
    SelectionColumn("text", pa.string(), "sc:Text", "The text, as it was scored"),
    SelectionColumn("domain", pa.string(), "sc:Text", "Domain inside which it was ranked"),
    SelectionColumn("source", pa.string(), "sc:Text", "Source file of the document"),
    SelectionColumn("row", pa.int64(), "cr:Int64", "Row of the document in its source"),
    SelectionColumn("tokens", pa.int64(), "cr:Int64", "Tokens, as the scoring model counts them"),
    SelectionColumn("score", pa.float64(), "cr:Float64", FORMULA),
    SelectionColumn(
        "rank", pa.int64(), "cr:Int64", "Rank in the domain by the selecting score, 1 is highest"
    ),
)
# Columns of the corpus that were asked for: an object in JSON Lines, in Parquet the text of one,
# since their types may differ from shard to shard.
METADATA = SelectionColumn("metadata", pa.string(), "sc:Text", "Other columns of the corpus, JSON")


def shard_columns(by_score: Mapping[str, str], metadata: bool) -> list[SelectionColumn]:
    """The columns of the shards of a selection, in their order.

    Args:
        by_score: column and formula that the documents were ranked by, as the manifest states.
        metadata: whether other columns of the corpus go along.

    Returns:
        COLUMNS; behind the score, the column to rank by where it is none of these and in the
        selection; METADATA.

    Raises:
        ValueError: the column to rank by has the name of another column of the shards.
    """
    name, present = by_score["column"], [column.name for column in COLUMNS]
    columns = list(COLUMNS)
    if name in ("id", METADATA.name):
        raise ValueError(
            f"the documents are ranked by a column {name!r}, which in shards is the name of "
            "another: give the scorer another name and score again"
        )
    if name not in (*present, RESIDUAL):
        built_in = {column.name: column for column in columns_of(NEWEST)}
        kind = built_in[name][1:3] if name in built_in else (pa.float64(), "cr:Float64")
        columns.insert(
            present.index("score") + 1, SelectionColumn(name, *kind, by_score["formula"])
        )
    return [*columns, METADATA] if metadata else columns


def stated_columns(columns: list[SelectionColumn]) -> list[dict[str, Any]]:
    """What an index states of the columns.

    Args:
        columns: of `shard_columns`.

    Returns:
        One object of JSON a column: name, type (of Arrow) and meaning.
    """
    return [{"name": c.name, "type": str(c.arrow), "meaning": c.meaning} for c in columns]
