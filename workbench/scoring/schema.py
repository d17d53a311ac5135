"""The score row, defined once: what its columns are called, their types, and what they hold.

Score files, receipts, score tables and manifests have these columns; `scoring.influence` makes the
rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

# Of run records, and with them of the score row. 1: lists the score files themselves; 2: the list
# of receipts in their place; 3: with the columns of `since` 3; 4: also with those of 4, and with
# any of the user's.
RECORD_FORMAT = 4
# The score (arXiv 2505.07293, equation 5), as records and manifests state it.
FORMULA = "(loss_ref - loss_base) / loss_base"


class ScoreColumn(NamedTuple):
    """A column of the score row.

    Attributes:
        name: the name of the column.
        type: its Arrow type.
        meaning: what it holds.
        since: the format of run records that it came with; files of older runs lack it.
    """

    name: str
    type: pa.DataType
    meaning: str
    since: int = 1


SCORE_ROW = (
    ScoreColumn("doc_id", pa.string(), "Identifier of the document"),
    ScoreColumn("domain", pa.string(), "Domain inside which the document is ranked"),
    ScoreColumn("source", pa.string(), "Source file of the document, relative name"),
    ScoreColumn("row", pa.int64(), "Row of the document in its source"),
    ScoreColumn("tokens", pa.int64(), "Tokens of the document"),
    ScoreColumn("predicted", pa.int64(), "Tokens that the mean losses are over"),
    ScoreColumn(
        "read",
        pa.string(),
        "First character and end of each passage that was read, such as 0:400,812:1203",
        4,
    ),
    ScoreColumn("loss_base", pa.float64(), "Mean loss of the model as it is, nats per token"),
    ScoreColumn("loss_ref", pa.float64(), "Mean loss with the heads masked, nats per token"),
    ScoreColumn("score", pa.float64(), FORMULA),
    ScoreColumn("rise", pa.float64(), "loss_ref - loss_base, nats per token", 3),
    ScoreColumn("predicted_novel", pa.int64(), "Predicted tokens that are novel: no repeats", 3),
    ScoreColumn("loss_base_novel", pa.float64(), "As loss_base, over the novel tokens", 3),
    ScoreColumn("loss_ref_novel", pa.float64(), "As loss_ref, over the novel tokens", 3),
    ScoreColumn("score_novel", pa.float64(), "The score over the novel tokens alone", 3),
    ScoreColumn(
        "contrast",
        pa.float64(),
        "Mean rise on tokens that came before, but not after the same token, less that on tokens "
        "that come for the first time, nats",
        4,
    ),
    ScoreColumn("rise_controls", pa.float64(), "Mean rise under the control sets, nats", 4),
    ScoreColumn("spread_controls", pa.float64(), "Their standard deviation over the sets, nats", 4),
    ScoreColumn("excess", pa.float64(), "rise - rise_controls, nats per token", 4),
    ScoreColumn("excess_relative", pa.float64(), "excess / loss_base", 4),
    ScoreColumn("compression_ratio", pa.float64(), "Size after zlib over size; low: repetitive"),
    ScoreColumn("text_sha256", pa.string(), "SHA-256 of the text in UTF-8"),
)
# Of a score file without columns of the user, and of the table of `load_scores`.
SCHEMA = pa.schema([(column.name, column.type) for column in SCORE_ROW])
# What older runs lack. All but the rise may be null.
ADDED = tuple(column.name for column in SCORE_ROW if column.since > 1)
NULLABLE = tuple(name for name in ADDED if name != "rise")
NOVEL = tuple(name for name in ADDED if name.endswith("_novel"))
# Names that no column of a user may have: of every table, of a selection, and of statements.
RESERVED = frozenset(
    {*SCHEMA.names, "rank", "selected", "repeat", "cluster", "place", "text", "text_key",
     "cluster_key", "difference", "residual", "perplexity", "length", "compression", "random",
     "novel"}
)  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# What a receipt states of each domain: how many documents, and the sums of these columns over them.
SUMMED_COLUMNS = ("tokens", "loss_base", "loss_ref", "score")
DOMAIN_SUMS = ("documents", *SUMMED_COLUMNS)


def stored_columns(record_format: int) -> list[str]:
    """The columns that the score files of a run have.

    Args:
        record_format: `format` of the record of the run.

    Returns:
        Their names, in the order of SCORE_ROW.
    """
    return [column.name for column in SCORE_ROW if column.since <= max(record_format, 1)]


def column_name(name: Any) -> str:
    """Refuse what is no name of a column.

    Args:
        name: of a column of the user.

    Returns:
        The name.

    Raises:
        ValueError: it is not made of small letters, digits and underscores, or is too long.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"the name of a column is small letters, digits and underscores, a letter first, 64 at "
            f"most; got {name!r:.100}"
        )
    return name


def lacking_columns(record_format: Any) -> tuple[str, ...]:
    """The columns that score files of a record format lack.

    Args:
        record_format: of the run; none are lacking of what is no format.
    """
    if not isinstance(record_format, int):
        return ()
    return tuple(column.name for column in SCORE_ROW if column.since > record_format)


def columns_in(record: Mapping[str, Any]) -> list[ScoreColumn]:
    """The columns of the user that the files of a run have.

    Args:
        record: of the run; it may be anybody's.

    Returns:
        The columns, all of float64; none for a run without.

    Raises:
        ValueError: what the record states are no columns.
    """
    stated = record.get("columns", [])
    if not isinstance(stated, list) or not all(isinstance(entry, dict) for entry in stated):
        raise ValueError("columns of a run record is a list of objects with name and formula")
    columns: list[ScoreColumn] = []
    for entry in stated:
        name, formula = column_name(entry.get("name")), entry.get("formula")
        if name in lacking_columns(record.get("format")):
            raise ValueError(
                f"the run has a column {name!r} of its user; since then there is one of the "
                "package by that name. Read the run with the version that wrote it, or score again"
            )
        if name in RESERVED or any(name == column.name for column in columns):
            raise ValueError(f"the run record states a second column {name!r}")
        if not isinstance(formula, str):
            raise ValueError(f"the run record states no formula of column {name!r}")
        columns.append(ScoreColumn(name, pa.float64(), formula, RECORD_FORMAT))
    return columns


def schema_with(columns: Iterable[ScoreColumn] = ()) -> pa.Schema:
    """The schema of score files with columns of the user behind the others.

    Args:
        columns: of the user.

    Returns:
        The schema.
    """
    return pa.schema([*SCHEMA, *((column.name, column.type) for column in columns)])


def format_of(names: Sequence[str]) -> int:
    """The format of run records that columns came with.

    Args:
        names: of the columns of a file.

    Returns:
        The newest `since` among them, 1 for those of the first format.
    """
    return max((c.since for c in SCORE_ROW if c.name in names), default=1)


def completed(rows: pa.Table, schema: pa.Schema = SCHEMA) -> pa.Table:
    """Rows with all columns, where those of an older run lack the ones that came later.

    Args:
        rows: with the columns of the first format at least.
        schema: of what is returned; columns that are not in it are dropped.

    Returns:
        The rows. The rise, where it was lacking, is that of the losses; the rest is null.

    Raises:
        KeyError: another column is lacking.
    """

    def column(field: pa.Field) -> pa.Array | pa.ChunkedArray:
        if field.name in rows.column_names or field.name not in ADDED:
            return rows[field.name].cast(field.type)
        if field.name == "rise":
            return pc.subtract(rows["loss_ref"], rows["loss_base"])
        return pa.nulls(len(rows), field.type)

    return pa.table([column(field) for field in schema], schema=schema)
