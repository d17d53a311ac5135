"""The checks of what each row of selection.parquet must hold by itself: its columns, its scores.

Like those of `workbench.manifest.verification.file_checks` they return or raise, and read the file
piece by piece.
"""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.parquet import batches
from workbench.manifest.croissant import SELECTION_FILE
from workbench.manifest.verification.report import NotChecked, require
from workbench.scoring.schema import ADDED, NOVEL, NULLABLE, columns_in
from workbench.selection.schema import schema_of

FORMULA_TOLERANCE = 1e-9
PIECE = 1 << 16  # rows

Files = dict[str, pathlib.Path]


@contextmanager
def stored_pieces(path: pathlib.Path, columns: Sequence[str]) -> Iterator[Iterator[pa.RecordBatch]]:
    """Inside the block, some columns of selection.parquet in pieces of at most PIECE rows.

    Args:
        path: of selection.parquet.
        columns: names of the columns.

    Yields:
        The pieces, in the order of the rows.
    """
    with path.open("rb") as stream, pq.ParquetFile(stream, pre_buffer=False) as file:
        yield batches(file, stream, columns, most_rows=PIECE)


def selection_rows(manifest: dict[str, Any], files: Files) -> tuple[pathlib.Path, str]:
    """selection.parquet has the columns and types of a selection and no nulls.

    Only compression_ratio may be unknown, from which nothing is computed, the columns of the user,
    and those that came later, which `formula` looks at.

    Args:
        manifest: as it was parsed, whose format says which columns there were when it was written.
        files: listed files that passed their own checks, by listed path.

    Returns:
        The path of the file, and a detail.

    Raises:
        Failed: when it has not.
        NotChecked: when it is not among the files.
    """
    if SELECTION_FILE not in files:
        raise NotChecked(f"{SELECTION_FILE} failed its own check, or is not listed")
    stored = files[SELECTION_FILE]
    of_user = columns_in(manifest["aiw:run"])
    schema, expected = pq.read_schema(stored), schema_of(manifest["aiw:format"], of_user)
    require(
        schema.equals(expected),
        f"its columns are {', '.join(schema.names):.300}; expected, with their types, "
        f"{', '.join(expected.names)}",
    )
    rows, nulls = 0, Counter[str]()
    with stored_pieces(stored, expected.names) as pieces:
        for piece in pieces:
            piece.validate(full=True)
            rows += len(piece)
            nulls.update({name: piece[name].null_count for name in piece.schema.names})
    for name in ("compression_ratio", *NULLABLE, *(column.name for column in of_user)):
        del nulls[name]
    require(not +nulls, f"it holds nulls, so many by column: {dict(+nulls)}")
    return stored, f"{rows} rows"


def formula(stored: pathlib.Path) -> tuple[bool, str]:
    """Losses are finite and each score is (loss_ref - loss_base) / loss_base.

    This is equation 5 of arXiv 2505.07293. From format 4 on the rise and the score over novel
    tokens follow from their losses too, and from format 5 on the excess from the controls.

    Args:
        stored: the path of selection.parquet, after `selection_rows`.

    Returns:
        True, and a detail.

    Raises:
        Failed: when a row does not hold this, within FORMULA_TOLERANCE.
    """
    rows, wrong, first = 0, Counter[str](), None
    columns = ["predicted", "loss_base", "loss_ref", "score"]
    columns += [name for name in ADDED if name in pq.read_schema(stored).names]
    with stored_pieces(stored, columns) as pieces:
        for piece in pieces:
            with np.errstate(all="ignore"):  # what is not finite is found too
                bad = _wrong_scores(piece)
                bad |= _wrong_novel(piece) if NOVEL[0] in columns else {}
                bad |= _wrong_excess(piece) if "excess" in columns else {}
            wrong.update({what: int(places.sum()) for what, places in bad.items()})
            if first is None and +wrong:
                first = rows + int(np.argmax(np.any(list(bad.values()), axis=0))) + 1
            rows += len(piece)
    problems = "; ".join(f"{count} {what}" for what, count in (+wrong).items())
    require(not problems, f"{problems}; the first is row number {first}")
    return True, f"all {rows} within {FORMULA_TOLERANCE:g}"


def _wrong_scores(piece: pa.RecordBatch) -> dict[str, np.ndarray]:
    """What may be wrong with scores and losses, in words, and which rows it is."""
    base, ref, score = (piece[name].to_numpy() for name in ("loss_base", "loss_ref", "score"))
    finite = np.isfinite([base, ref, score]).all(axis=0)
    return {
        "rows hold a loss or score that is not finite": ~finite,
        "base losses are not above zero": finite & (base <= 0),
        "scores are not (loss_ref - loss_base) / loss_base": (
            finite & (base > 0) & (_quotient_error(base, ref, score) > FORMULA_TOLERANCE)
        ),
    }


def _floats(piece: pa.RecordBatch, names: Sequence[str]) -> list[np.ndarray]:
    """Columns as numbers, NaN where they are null."""
    return [piece[name].to_numpy(zero_copy_only=False).astype(float) for name in names]


def _wrong_novel(piece: pa.RecordBatch) -> dict[str, np.ndarray]:
    """What may be wrong with the columns that came with format 4, in words, and which rows."""
    names = ("predicted", "loss_base", "loss_ref", "rise", *NOVEL)
    predicted, base, ref, rise, counted, base_novel, ref_novel, score_novel = _floats(piece, names)
    count = np.nan_to_num(counted, nan=0)  # null where the run did not look at novel tokens
    stated = np.isfinite([base_novel, ref_novel])
    error = _quotient_error(base_novel, ref_novel, score_novel)
    return {
        "rises are not loss_ref - loss_base": (
            ~(np.abs(rise - (ref - base)) <= FORMULA_TOLERANCE * np.maximum(np.abs(ref), 1))
        ),
        "rows count other novel tokens than there can be": (count < 0) | (count > predicted),
        "rows have losses of novel tokens without such a token, or lack them": (
            (stated != (count > 0)).any(axis=0) | np.isinf([base_novel, ref_novel]).any(axis=0)
        ),
        "novel scores are not (loss_ref_novel - loss_base_novel) / loss_base_novel": np.where(
            (count > 0) & (base_novel != 0), ~(error <= FORMULA_TOLERANCE), ~np.isnan(score_novel)
        ),
    }


def _wrong_excess(piece: pa.RecordBatch) -> dict[str, np.ndarray]:
    """What may be wrong with the columns that came with format 5, in words, and which rows."""
    base, ref, rise, contrast, controls, spread, excess, relative = _floats(
        piece,
        ("loss_base", "loss_ref", "rise", "contrast", "rise_controls", "spread_controls", "excess",
         "excess_relative"),
    )  # fmt: skip
    has_controls = np.isfinite(controls)
    close = FORMULA_TOLERANCE * np.maximum(np.abs(ref), 1)
    return {
        "contrasts, or rises of controls, are infinite": (
            np.isinf([contrast, controls, spread]).any(axis=0)
        ),
        "spreads of controls are below 0, or there without controls": (
            (spread < 0) | (~np.isnan(spread) & ~has_controls)
        ),
        "excesses are not rise - rise_controls": np.where(
            has_controls, ~(np.abs(excess - (rise - controls)) <= close), ~np.isnan(excess)
        ),
        "relative excesses are not excess / loss_base": np.where(
            has_controls, ~(np.abs(relative * base - excess) <= close), ~np.isnan(relative)
        ),
    }


def _quotient_error(base: np.ndarray, ref: np.ndarray, score: np.ndarray) -> np.ndarray:
    """How far scores are off, relative to the quotient that the subtraction starts from.

    A score near 0 has no digits left.
    """
    return np.abs(score - (ref - base) / base) / np.maximum(np.abs(ref / base), 1)
