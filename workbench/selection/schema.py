"""The columns of a selection: those of `selection.parquet`, and what a manifest says of each."""

from __future__ import annotations

import pyarrow as pa

# column, Arrow type, Croissant type, what it holds
COLUMNS = (
    ("source", pa.string(), "sc:Text", "Source file of the document, relative name"),
    ("row", pa.int64(), "cr:Int64", "Row of the document in its source"),
    ("doc_id", pa.string(), "sc:Text", "Identifier of the document"),
    ("text_sha256", pa.string(), "sc:Text", "SHA-256 of the text in UTF-8"),
    ("domain", pa.string(), "sc:Text", "Domain inside which the document is ranked"),
    ("tokens", pa.int64(), "cr:Int64", "Tokens of the document"),
    ("predicted", pa.int64(), "cr:Int64", "Tokens that the mean losses are over"),
    ("loss_base", pa.float64(), "cr:Float64", "Mean loss of the model as it is, nats per token"),
    ("loss_ref", pa.float64(), "cr:Float64", "Mean loss with the heads masked, nats per token"),
    ("score", pa.float64(), "cr:Float64", "(loss_ref - loss_base) / loss_base"),
    ("compression_ratio", pa.float64(), "cr:Float64", "Size after zlib over size; low: repetitive"),
    ("rank", pa.int64(), "cr:Int64", "Rank in the domain, 1 is the highest score"),
    ("selected", pa.bool_(), "sc:Boolean", "Whether the document is chosen"),
    ("repeat", pa.int64(), "cr:Int64", "How often to train on it: 1 if selected, else 0"),
)
SELECTION_SCHEMA = pa.schema([(name, arrow) for name, arrow, _, _ in COLUMNS])
