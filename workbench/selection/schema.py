"""The columns of what is ranked and of a selection: what they must hold, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.parquet import check_pages
from workbench.scoring.schema import (
    ADDED,
    SCORE_ROW,
    ScoreColumn,
    format_of,
    lacking_columns,
    schema_with,
)

# What a table of scores must hold to be ranked.
TEXT_COLUMNS = ("doc_id", "domain", "source", "text_sha256")
INTEGER_COLUMNS = ("row", "tokens", "predicted")
FLOAT_COLUMNS = ("loss_base", "loss_ref", "score", "compression_ratio")
SCORE_COLUMNS = TEXT_COLUMNS + INTEGER_COLUMNS + FLOAT_COLUMNS

_CROISSANT = {
    pa.string(): "sc:Text",
    pa.int64(): "cr:Int64",
    pa.float64(): "cr:Float64",
    pa.bool_(): "sc:Boolean",
}
_SCORED = {column.name: column for column in SCORE_ROW}
# What says where the document is comes first.
_ORDER = (
    "source", "row", "doc_id", "text_sha256", "domain", "tokens", "predicted", "read", "loss_base",
    "loss_ref", "score", "rise", "predicted_novel", "loss_base_novel", "loss_ref_novel",
    "score_novel", "contrast", "rise_controls", "spread_controls", "excess", "excess_relative",
    "compression_ratio",
)  # fmt: skip
# The `aiw:format` of manifests that is written now: each has the columns of the run records that
# were of the format before it.
NEWEST = 5
_CHOICE = (
    ("rank", pa.int64(), "Rank in the domain, 1 is the highest score"),
    ("selected", pa.bool_(), "Whether the document is chosen"),
    ("repeat", pa.int64(), "How often to train on it: 1 if selected, else 0"),
)


class SelectionColumn(NamedTuple):
    """A column of a selection.

    Attributes:
        name: the name of the column.
        arrow: its Arrow type.
        croissant: its type in Croissant.
        meaning: what it holds.
    """

    name: str
    arrow: pa.DataType
    croissant: str
    meaning: str


def columns_of(
    manifest_format: int = NEWEST, of_user: Iterable[ScoreColumn] = ()
) -> list[SelectionColumn]:
    """The columns of `selection.parquet`.

    Args:
        manifest_format: `aiw:format` of the manifest; the one that is written now by default.
        of_user: the columns of the user that the run has.

    Returns:
        The columns in their order.
    """
    columns = [_SCORED[name] for name in _ORDER if _SCORED[name].since < max(manifest_format, 2)]
    rows = [*(column[:3] for column in (*columns, *of_user)), *_CHOICE]
    return [SelectionColumn(name, type, _CROISSANT[type], meaning) for name, type, meaning in rows]


def schema_of(manifest_format: int = NEWEST, of_user: Iterable[ScoreColumn] = ()) -> pa.Schema:
    """The Arrow schema of `selection.parquet`.

    Args:
        manifest_format: `aiw:format` of the manifest; the one that is written now by default.
        of_user: the columns of the user that the run has.

    Returns:
        The schema.
    """
    return pa.schema(
        [(column.name, column.arrow) for column in columns_of(manifest_format, of_user)]
    )


def require_score_columns(path: Path, of_user: Sequence[ScoreColumn] = ()) -> int:
    """Refuse a score file whose columns are missing, doubled or of another kind.

    And one whose columns expand beyond bounds.

    Args:
        path: the file.
        of_user: columns of the user that it must have.

    Returns:
        The record format whose columns it has, all of them.

    Raises:
        ValueError: it is no such file.
    """
    schema = pq.read_schema(path)
    names = [name.lower() for name in schema.names]  # DuckDB's names know no case
    record_format = format_of(names)
    lacking = lacking_columns(record_format)
    later = [name for name in ADDED if name not in lacking] + [column.name for column in of_user]
    wanted = (*SCORE_COLUMNS, *later)
    odd = [name for name in wanted if names.count(name) != 1 or name not in schema.names]
    for columns, fits in (
        (TEXT_COLUMNS, lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind)),
        (INTEGER_COLUMNS, pa.types.is_integer),
        (FLOAT_COLUMNS, pa.types.is_floating),
    ):
        odd += [c for c in columns if c not in odd and not fits(schema.field(c).type)]
    kinds = schema_with(of_user)
    odd += [c for c in later if c not in odd and schema.field(c).type != kinds.field(c).type]
    if odd:
        raise ValueError(
            f"score file {path.name!r:.100} lacks the columns {odd}, or has them in another type; "
            "expected a file that score_corpus wrote"
        )
    check_pages(path, wanted)
    return record_format


def lacks_value(column: str, kind: str, source: object, row: object) -> str:
    """The message about a score table with a row that lacks what ranking needs.

    Args:
        column: the column.
        kind: what it must hold, such as "text".
        source: of the first such document.
        row: its row there.
    """
    return (
        f"column {column!r} must hold {kind} in every row; the document of source {source!r:.100}, "
        f"row {row} has none: leave such documents out, or score the corpus again"
    )


def lacks_tokens(doc_id: object, tokens: object) -> str:
    """The message about a score table with a document of no tokens.

    Args:
        doc_id: of the first such document.
        tokens: what its row holds.
    """
    return (
        f"a scored document has at least one token, but 'tokens' holds less (first: document "
        f"{doc_id!r:.100} with {tokens}); leave such documents out, or score them again"
    )
