"""Scores of the user's own: functions of the token losses of a document, by name and formula.

They come from the same forward passes as the built-in columns. Such a function takes four arrays:

    @wb.scoring.score_column(formula="share of tokens whose loss rises by more than 1 nat")
    def hurt(ids, base, masked, controls):
        return float((masked - base > 1).mean())

    table = wb.score_corpus(model, heads, corpus, columns=[hurt])
    wb.select(table, by_score="hurt")
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.scoring.columns.built_in import FORMED, TokenLosses
from workbench.scoring.schema import RESERVED, SCORE_ROW, column_name

# Of ids, base, masked and controls, all of the predicted tokens alone.
Function = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], float | None]


@dataclass(frozen=True)
class Column:
    """A column of the user's own.

    Attributes:
        name: the name of the column.
        formula: what it is, in words or symbols, as the manifest states it.
        function: what computes it.
        reference: where a worker of its own process finds the function, "module:name".
        source_sha256: of the function's source text, so that scores of an older version of it are
            not mixed with those of a newer one; None where Python cannot say.
    """

    name: str
    formula: str
    function: Function
    reference: str
    source_sha256: str | None

    def to_json(self) -> dict[str, Any]:
        """All but the function, as plain JSON values."""
        return {
            "name": self.name,
            "formula": self.formula,
            "function": self.reference,
            "source_sha256": self.source_sha256,
        }

    def value(self, losses: TokenLosses, doc_id: str) -> float | None:
        """The value for a document.

        Args:
            losses: of the document.
            doc_id: of the document, for messages.

        Returns:
            The value; None where the function gives None or NaN.

        Raises:
            ValueError: the function failed, or gave something else than a number, or an infinite
                one.
        """
        ids = losses.ids[losses.predicted]
        try:
            value = self.function(ids, losses.base, losses.masked, losses.controls)
        except Exception as error:
            raise ValueError(
                f"column {self.name!r} failed for document {doc_id!r:.100}, of which {len(ids)} "
                f"tokens are predicted, with {len(losses.controls)} control sets: "
                f"{type(error).__name__}: {error!s:.200}. Give None where it cannot be formed"
            ) from error
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise ValueError(
                f"column {self.name!r} gave {value!r:.100} for document {doc_id!r:.100}: a column "
                "is one number a document, or None where it cannot be formed"
            )
        if math.isinf(value):
            raise ValueError(
                f"column {self.name!r} gave {value} for document {doc_id!r:.100}: documents are "
                "ranked by finite numbers; give None where it cannot be formed"
            )
        return None if math.isnan(value) else float(value)


_REGISTERED: dict[str, Column] = {}


def score_column(*, formula: str, name: str | None = None) -> Callable[[Function], Function]:
    """Make a function a column of the score table that `score_corpus(columns=)` can compute.

    Args:
        formula: what it is, in words or symbols, as manifests state it.
        name: of the column, small letters, digits and underscores; None: that of the function.

    Returns:
        A decorator, which gives the function back. The function takes, for the predicted tokens of
        a document, ids (int), base and masked (nats, float32), each (tokens,), and controls (sets,
        tokens), and returns a number, or None where the column cannot be formed.

    Raises:
        ValueError: the name is none for a column, or a built-in column has it; the formula is
            empty.
    """

    def register(function: Function) -> Function:
        column = column_of(function, name or function.__name__, formula)
        _REGISTERED[column.name] = column
        return function

    return register


def column_of(function: Function, name: str, formula: str) -> Column:
    """The column of a function.

    Args:
        function: as for `score_column`.
        name: of the column.
        formula: what it is.

    Returns:
        The column.

    Raises:
        ValueError: as `score_column`.
    """
    column_name(name)
    if name in RESERVED:
        raise ValueError(f"{name!r} is a column of every score table: give yours another name")
    if not formula.strip():
        raise ValueError(f"column {name!r} needs a formula in words, which manifests state")
    reference = f"{function.__module__}:{function.__qualname__}"
    return Column(name, formula, function, reference, source_sha256(function))


def source_sha256(function: Callable[..., Any]) -> str | None:
    """Digest of a function's source text.

    Args:
        function: any.

    Returns:
        64 hexadecimal digits; None where Python cannot say.
    """
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (OSError, TypeError):
        return None


def columns_named(columns: Iterable[str | Function | Column]) -> tuple[Column, ...]:
    """The columns that a user asks for.

    Args:
        columns: of each the name or the function of a column made with `score_column`, or
            "module:name" of such a function, whose module is then imported.

    Returns:
        The columns in the order given.

    Raises:
        ValueError: one is no such column, or comes twice.
    """
    if isinstance(columns, str):
        raise ValueError(f"columns is a list of names or functions, got a single text {columns!r}")
    by_function = {column.function: column for column in _REGISTERED.values()}
    wanted: list[Column] = []
    for column in columns:
        if isinstance(column, Column):
            wanted.append(column)
        elif isinstance(column, str):
            wanted.append(_by_name(column))
        elif column in by_function:
            wanted.append(by_function[column])
        else:
            raise ValueError(
                f"{column!r:.100} is no score column: put @score_column(formula=...) in front of "
                "the function"
            )
    names = [column.name for column in wanted]
    if len(set(names)) < len(names):
        raise ValueError(f"each column may be asked for once, got {names}")
    return tuple(wanted)


def _by_name(name: str) -> Column:
    module, colon, attribute = name.partition(":")
    if colon:
        importlib.import_module(module)  # its decorators register what it defines
        for column in _REGISTERED.values():
            owner, _, function = column.reference.partition(":")
            if owner == module and attribute in (function, column.name):
                return column
    elif name in _REGISTERED:
        return _REGISTERED[name]
    built_in = ", ".join(column.name for column in SCORE_ROW if column.name in FORMED)
    raise ValueError(
        f"no score column {name!r} is known (registered: {', '.join(_REGISTERED) or 'none'}): "
        "make one with @score_column(formula=...), or name it as 'module:function'. The built-in "
        f"ones ({built_in}) are always there and need not be asked for"
    )


def columns_from_json(stored: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns that a run asks its worker for.

    Args:
        stored: what `Column.to_json` gave.

    Returns:
        The columns, whose modules are imported.

    Raises:
        ValueError: one cannot be imported here, or is another than in the process of the run.
    """
    columns = []
    for wanted in stored:
        try:
            column = _by_name(wanted["function"])
        except (ImportError, ValueError) as error:
            raise ValueError(
                f"a worker cannot import column {wanted['name']!r} from {wanted['function']!r} "
                f"({error!s:.200}). Put the function into a module that Python finds, not into a "
                "notebook, or score without workers="
            ) from error
        if column.to_json() != dict(wanted):
            raise ValueError(f"the worker's column {wanted['name']!r} is another version of it")
        columns.append(column)
    return tuple(columns)


def known_columns(stored: Iterable[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Those columns of a record that this process has registered itself; nothing is imported.

    Args:
        stored: what `Column.to_json` gave, or what somebody wrote into a record.

    Returns:
        The columns whose name and formula are those of a registered one.
    """
    named = [(_REGISTERED.get(str(entry.get("name"))), entry) for entry in stored]
    return tuple(c for c, entry in named if c is not None and c.formula == entry.get("formula"))
