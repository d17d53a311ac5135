"""The columns of a selection: those of `selection.parquet`, and what a manifest says of each."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from workbench.scoring.schema import ADDED, SCORE_ROW

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
    "loss_ref", "score", "rise", "predicted_novel", "loss_base_novel", "loss_ref_novel",
    "score_novel", "compression_ratio",
)  # fmt: skip
# Manifests of an older `aiw:format` than this one have no columns but those of the first scores.
_WITH_ADDED = 4
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


def columns_of(manifest_format: int = _WITH_ADDED) -> list[SelectionColumn]:
    """The columns of `selection.parquet`.

    Args:
        manifest_format: `aiw:format` of the manifest; the one that is written now by default.

    Returns:
        The columns in their order.
    """
    names = [name for name in _ORDER if manifest_format >= _WITH_ADDED or name not in ADDED]
    rows = [*(_SCORED[name][:3] for name in names), *_CHOICE]
    return [SelectionColumn(name, type, _CROISSANT[type], meaning) for name, type, meaning in rows]


def schema_of(manifest_format: int = _WITH_ADDED) -> pa.Schema:
    """The Arrow schema of `selection.parquet`.

    Args:
        manifest_format: `aiw:format` of the manifest; the one that is written now by default.

    Returns:
        The schema.
    """
    return pa.schema([(column.name, column.arrow) for column in columns_of(manifest_format)])


SELECTION_SCHEMA = schema_of()
