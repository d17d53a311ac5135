"""Paths into nested columns of Arrow data: "meta.source" is field `source` of column `meta`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def steps_to(kind: pa.Schema | pa.StructType, path: str) -> tuple[str, ...]:
    """The names from the outermost column to the one that a path means.

    Names may hold dots themselves, and the longest one that is there is meant.

    Args:
        kind: a schema, or the type of a nested column.
        path: a name, or a path such as "meta.source".

    Returns:
        The names; () if there is no such column.
    """
    names = [field.name for field in kind]
    if path in names:
        return (path,)
    for head in outer_names(path):
        if names.count(head) == 1:
            inner = kind.field(names.index(head)).type
            rest = steps_to(inner, path[len(head) + 1 :]) if pa.types.is_struct(inner) else ()
            if rest:
                return head, *rest
    return ()


def type_at(schema: pa.Schema, path: str) -> pa.DataType:
    """The type of the column that a path means.

    Args:
        schema: a schema that has the column.
        path: a name, or a path into nested columns.
    """
    kind: Any = schema
    for step in steps_to(schema, path):
        kind = kind.field(step).type
    return kind


def column_at(batch: Any, path: str) -> Any:
    """The values of the column that a path means; null where an outer column is null.

    Args:
        batch: a record batch or table that has the column.
        path: a name, or a path into nested columns.
    """
    steps = steps_to(batch.schema, path)
    outer = batch.column(steps[0])
    return outer if len(steps) == 1 else pc.struct_field(outer, list(steps[1:]))


def outer_names(path: str) -> Iterable[str]:
    """What of a path may be the name of the outermost column, the longest first.

    Args:
        path: a path into nested columns.
    """
    while "." in path:
        path = path.rpartition(".")[0]
        yield path
