"""The score row, defined once: what its columns are called, their types, and what they hold.

Score files, receipts, score tables and manifests have these columns; `scoring.influence` makes the
rows.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

# Of run records, and with them of the score row. 1: lists the score files themselves; 2: the list
# of receipts in their place; 3: with the columns of `since` 3.
RECORD_FORMAT = 3
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
    ScoreColumn("loss_base", pa.float64(), "Mean loss of the model as it is, nats per token"),
    ScoreColumn("loss_ref", pa.float64(), "Mean loss with the heads masked, nats per token"),
    ScoreColumn("score", pa.float64(), FORMULA),
    ScoreColumn("rise", pa.float64(), "loss_ref - loss_base, nats per token", 3),
    ScoreColumn("predicted_novel", pa.int64(), "Predicted tokens that are novel: no repeats", 3),
    ScoreColumn("loss_base_novel", pa.float64(), "As loss_base, over the novel tokens", 3),
    ScoreColumn("loss_ref_novel", pa.float64(), "As loss_ref, over the novel tokens", 3),
    ScoreColumn("score_novel", pa.float64(), "The score over the novel tokens alone", 3),
    ScoreColumn("compression_ratio", pa.float64(), "Size after zlib over size; low: repetitive"),
    ScoreColumn("text_sha256", pa.string(), "SHA-256 of the text in UTF-8"),
)
# Of a score file, and of the table of `load_scores`.
SCHEMA = pa.schema([(column.name, column.type) for column in SCORE_ROW])
# What older runs lack. All but the rise may be null: where no token is novel, and in older runs.
ADDED = tuple(column.name for column in SCORE_ROW if column.since > 1)
NOVEL = tuple(name for name in ADDED if name != "rise")
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
