"""The score row, defined once: what its columns are called, their types, and what they hold.

Score files, receipts, score tables and manifests have these columns; `scoring.influence` makes the
rows.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

# The score (arXiv 2505.07293, equation 5), as records and manifests state it.
FORMULA = "(loss_ref - loss_base) / loss_base"


class ScoreColumn(NamedTuple):
    """A column of the score row.

    Attributes:
        name: the name of the column.
        type: its Arrow type.
        meaning: what it holds.
    """

    name: str
    type: pa.DataType
    meaning: str


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
    ScoreColumn("compression_ratio", pa.float64(), "Size after zlib over size; low: repetitive"),
    ScoreColumn("text_sha256", pa.string(), "SHA-256 of the text in UTF-8"),
)
# Of a score file, and of the table of `load_scores`.
SCHEMA = pa.schema([(column.name, column.type) for column in SCORE_ROW])
# What a receipt states of each domain: how many documents, and the sums of these columns over them.
SUMMED_COLUMNS = ("tokens", "loss_base", "loss_ref", "score")
DOMAIN_SUMS = ("documents", *SUMMED_COLUMNS)
