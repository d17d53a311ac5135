"""The columns of a selection: those of `selection.parquet`, and what a manifest says of each."""

from __future__ import annotations

import pyarrow as pa

from workbench.scoring.schema import SCORE_ROW

_CROISSANT = {
    pa.string(): "sc:Text",
    pa.int64(): "cr:Int64",
    pa.float64(): "cr:Float64",
    pa.bool_(): "sc:Boolean",
}
_SCORED = {column.name: column for column in SCORE_ROW}
# What says where the document is comes first.
_ORDER = (
    "source", "row", "doc_id", "text_sha256", "domain", "tokens", "predicted", "loss_base",
    "loss_ref", "score", "compression_ratio",
)  # fmt: skip
_CHOICE = (
    ("rank", pa.int64(), "Rank in the domain, 1 is the highest score"),
    ("selected", pa.bool_(), "Whether the document is chosen"),
    ("repeat", pa.int64(), "How often to train on it: 1 if selected, else 0"),
)
# column, Arrow type, Croissant type, what it holds
COLUMNS = tuple(
    (name, arrow, _CROISSANT[arrow], meaning)
    for name, arrow, meaning in (*(_SCORED[name] for name in _ORDER), *_CHOICE)
)
SELECTION_SCHEMA = pa.schema([(name, arrow) for name, arrow, _, _ in COLUMNS])
