"""The checks of the ranks that a manifest states: scores, ranks, thresholds, counts.

Like those of `workbench.manifest.verification.file_checks` they return or raise. Nothing is held
whole, so a hundred million rows are checked as a hundred are: DuckDB puts the rows of the score
files in order (those of selection.parquet, where the score files are not there),
`workbench.selection.streaming` chooses again, and what comes out is held against selection.parquet
piece by piece.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench.core.parquet import batches
from workbench.core.progress import progress_bar
from workbench.manifest.croissant import (
    BY_SCORE,
    CLUSTERS_FILE,
    SELECTION_FILE,
    by_score_term,
    documents_term,
    ranked_by,
    selection_term,
)
from workbench.manifest.verification.report import NotChecked, require
from workbench.scoring.columns.built_in import FORMED
from workbench.scoring.schema import ADDED, NOVEL, NULLABLE, ScoreColumn, columns_in, schema_with
from workbench.selection.domain_quota import By, check_by, share_of
from workbench.selection.duckdb_scores import ScoreFiles
from workbench.selection.duplicates import limit_of
from workbench.selection.ranking import SCORE
from workbench.selection.schema import schema_of
from workbench.selection.streaming import QUIET, StreamingSelection

FORMULA_TOLERANCE = 1e-9
_PIECE = 1 << 16  # rows

Files = dict[str, pathlib.Path]


@contextmanager
def _pieces(path: pathlib.Path, columns: Sequence[str]) -> Iterator[Iterator[pa.RecordBatch]]:
    """Inside the block, these columns of selection.parquet in batches."""
    with path.open("rb") as stream, pq.ParquetFile(stream, pre_buffer=False) as file:
        yield batches(file, stream, columns, most_rows=_PIECE)


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
    with _pieces(stored, expected.names) as pieces:
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
    with _pieces(stored, columns) as pieces:
        for piece in pieces:
            with np.errstate(all="ignore"):  # what is not finite is found too
                bad = _wrong_scores(piece)
                bad |= _wrong_novel(piece) if NOVEL[0] in columns else {}
                bad |= _wrong_excess(piece) if FORMED[0] in columns else {}
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
    names = ("loss_base", "loss_ref", "rise", *FORMED)
    base, ref, rise, contrast, controls, spread, excess, relative = _floats(piece, names)
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


class Again(NamedTuple):
    """What ranking again gave.

    Attributes:
        ranked: rows that were ranked again.
        scored: rows of the score files, those that were left out of the ranking included.
        stored: rows of selection.parquet.
        selected: those of them that are chosen.
        unequal: how many rows of selection.parquet are others, by column.
        first: the number of the first such row, from 1; None without one.
        unscored: in what ways rows of selection.parquet are not rows of the score files, in words.
        domains: the figures of the domains as they come out again.
        corpus: sources and text_digest as they come out again.
        refused: why what is stated of the selection cannot be asked for; None when it can.
    """

    ranked: int
    scored: int
    stored: int
    selected: int
    unequal: Counter[str]
    first: int | None
    unscored: list[str]
    domains: list[dict[str, Any]]
    corpus: dict[str, Any]
    refused: Exception | None


def ranked_again(
    stored: pathlib.Path, manifest: dict[str, Any], record: dict[str, Any] | None, files: Files
) -> Again | Exception:
    """Make the selection again, once for all checks that ask about it.

    Documents that were left out of the table before it was ranked are in the score files and not in
    selection.parquet: they are left out again, and counted.

    Args:
        stored: the path of selection.parquet, after `selection_rows`.
        manifest: as it was parsed.
        record: of the run; None when it failed its own check.
        files: listed files that passed their own checks, by listed path.

    Returns:
        What came out, or the exception that ended it, for each of the checks to raise.
    """
    refused: Exception | None = None
    asked: tuple[Fraction, By, int | None] = (Fraction(1), "documents", None)
    clusters, by_score = None, SCORE
    try:
        asked, clusters = _asked(manifest["aiw:selection"], files)
        by_score = ranked_by(manifest)
    except Exception as error:  # which rows there are does not depend on what was asked for
        refused = error
    try:
        scores = [] if record is None else _score_files(record, files)
        of_user = columns_in(manifest["aiw:run"])
        return _ranked_again(stored, scores, asked, clusters, refused, of_user, by_score)
    except Exception as error:  # the files may be anybody's
        return error


def _asked(
    stated: dict[str, Any], files: Files
) -> tuple[tuple[Fraction, By, int | None], pathlib.Path | None]:
    """The stated share, what it is of, the limit of the duplicate policy, and the clusters."""
    share = share_of(stated.get("fraction"))  # type: ignore[arg-type]
    limit = limit_of(stated.get("duplicates"), stated.get("cap"))  # type: ignore[arg-type]
    check_by(stated.get("by"))  # type: ignore[arg-type]
    if stated.get("clusters") is None:
        return (share, stated["by"], limit), None
    if CLUSTERS_FILE not in files:
        raise NotChecked(f"{CLUSTERS_FILE} failed its own check, or is not listed")
    return (share, stated["by"], limit), files[CLUSTERS_FILE]


def _score_files(record: dict[str, Any], files: Files) -> list[pathlib.Path]:
    """The score files, none unless all of them are there and passed their own checks."""
    paths = [file["path"] for file in record["score_files"]]
    return [files[path] for path in paths] if all(path in files for path in paths) else []


def _ranked_again(
    stored: pathlib.Path,
    scores: list[pathlib.Path],
    asked: tuple[Fraction, By, int | None],
    clusters: pathlib.Path | None,
    refused: Exception | None,
    of_user: Sequence[ScoreColumn],
    by_score: str,
) -> Again:
    schema = pq.read_schema(stored)
    # Not in the folder that is checked, which may be somebody else's.
    with (
        tempfile.TemporaryDirectory(prefix="workbench-verify-") as scratch,
        ScoreFiles(
            scores or [stored], clusters, ranked=stored if scores else None,
            scratch=pathlib.Path(scratch), of_user=of_user, by_score=by_score,
        ) as rows,
        _pieces(stored, schema.names) as pieces,
    ):  # fmt: skip
        walk = StreamingSelection(rows, *asked)
        corpus = {"sources": len(walk.sources), "text_digest": walk.text_digest()}
        against, ranked = _Comparison(pieces, schema), walk.documents
        with progress_bar("ranking again", "doc", ranked, bar=ranked > QUIET) as done:
            for batch in walk.rows(done):
                against.compare(batch)
        against.exhaust()
        scored, unscored = ranked, list[str]()
        as_scored = not any(against.unequal[name] for name in schema_with(of_user).names)
        # Where all rows are there, in the order of their ranks, nothing is left to look up.
        if scores and not (as_scored and rows.all_rows and ranked == against.seen):
            scored, unscored = rows.differences()
        return Again(
            ranked, scored, against.seen, against.selected, against.unequal, against.first,
            unscored, walk.figures(), corpus, refused,
        )  # fmt: skip


def scored_rows(
    again: Again | Exception, manifest: dict[str, Any], record: dict[str, Any], files: Files
) -> tuple[bool, str]:
    """The ranked rows are the rows of the score files less the stated number of excluded ones.

    Args:
        again: of `ranked_again`.
        manifest: as it was parsed.
        record: of the run, which names the score files.
        files: listed files that passed their own checks, by listed path.

    Returns:
        True, and a detail.

    Raises:
        Failed: when they are not.
        NotChecked: when the score files are not there.
    """
    if not _score_files(record, files):
        raise NotChecked("the score files are not in the folder, or failed their own check")
    if isinstance(again, Exception):
        raise again
    problems, excluded = list(again.unscored), manifest["aiw:documents"].get("excluded")
    if problems and again.first:
        problems[-1] += f"; the first row that differs is number {again.first}"
    left = again.scored - again.stored
    if left != excluded:
        problems.append(f"{left} scored rows are not ranked, the manifest says {excluded!r:.50}")
    require(not problems, "; ".join(problems))
    return True, f"all {again.stored} found among {again.scored} scored rows, {left} excluded"


def ranking(again: Again | Exception, manifest: dict[str, Any]) -> tuple[bool, str]:
    """Ranks, chosen rows and the domains' figures come out of the scores again.

    So they do from the clusters of near-duplicates, where the selection was given them.

    Args:
        again: of `ranked_again`.
        manifest: as it was parsed.

    Returns:
        True, and a detail.

    Raises:
        Failed: when they do not.
        NotChecked: when the file of clusters is not there.
    """
    if isinstance(again, Exception):
        raise again
    if again.refused is not None:
        raise again.refused
    problems = [
        f"{again.unequal[column]} rows have another {column} than comes out for their place"
        for column in ("source", "row", "rank", "selected", "repeat")
        if again.unequal[column]
    ]
    if again.ranked != again.stored:
        problems.append(f"there are {again.stored} rows, and {again.ranked} to be ranked")
    require(
        not problems, f"{'; '.join(problems)}; the first row that differs is number {again.first}"
    )
    wrong = [row["domain"] for row in again.domains if row not in manifest["aiw:domains"]]
    require(
        again.domains == manifest["aiw:domains"],
        f"the domains' thresholds, counts or shares are others: {wrong!r:.300}",
    )
    stated = manifest["aiw:selection"]
    asked = {name: stated.get(name) for name in ("fraction", "by", "duplicates", "cap")}
    by_score = None
    if manifest["aiw:format"] >= BY_SCORE:
        by_score = by_score_term(manifest["aiw:run"], ranked_by(manifest))
    clustered = stated.get("clusters") is not None
    require(
        stated == selection_term(**asked, clustered=clustered, by_score=by_score),
        "the tie rule, the duplicate policy or the formula ranked by is not the one in force",
    )
    return True, f"{len(again.domains)} domains ranked again, all as stated"


def counts(
    again: Again | Exception, manifest: dict[str, Any], record: dict[str, Any]
) -> tuple[bool, str]:
    """Read, scored, skipped, excluded, ranked and selected add up, and the corpus digest holds.

    Args:
        again: of `ranked_again`.
        manifest: as it was parsed.
        record: of the run.

    Returns:
        True, and a detail.

    Raises:
        Failed: when the manifest states others.
    """
    if isinstance(again, Exception):
        raise again
    scored = record["documents"]["scored"]
    expected = documents_term(record, scored - again.stored, again.stored, again.selected)
    require(manifest["aiw:documents"] == expected, f"aiw:documents should be {expected}")
    require(expected["excluded"] >= 0, "more documents are ranked than were scored")
    rows = sum(file["rows"] for file in record["score_files"])
    require(not rows or rows == scored, f"the score files have {rows} rows by the record")
    same = all(manifest["aiw:corpus"].get(key) == value for key, value in again.corpus.items())
    require(same, f"aiw:corpus should say {again.corpus}")
    return True, ", ".join(f"{count} {key}" for key, count in expected.items())


class _Comparison:
    """Holds rows that come in pieces of one size against stored ones in pieces of another."""

    def __init__(self, pieces: Iterator[pa.RecordBatch], schema: pa.Schema) -> None:
        self._pieces, self._names, self._held = pieces, schema.names, schema.empty_table()
        self.seen = self.selected = self._compared = 0
        self.unequal: Counter[str] = Counter()
        self.first: int | None = None

    def compare(self, rows: pa.RecordBatch) -> None:
        stored = self._take(len(rows))
        expected = pa.Table.from_batches([rows]).select(self._names).slice(0, len(stored))
        if not stored.equals(expected):
            self._note(stored, expected)
        if len(stored) < len(rows):
            self.first = self.first or self._compared + len(stored) + 1
        self._compared += len(rows)

    def exhaust(self) -> None:
        """Count stored rows to which nothing corresponds."""
        while len(self._take(_PIECE)):
            self.first = self.first or self._compared + 1

    def _take(self, count: int) -> pa.Table:
        parts = [self._held]
        while sum(map(len, parts)) < count and (piece := next(self._pieces, None)) is not None:
            parts.append(pa.Table.from_batches([piece]).replace_schema_metadata(None))
        whole = pa.concat_tables(parts)
        taken, self._held = whole.slice(0, count), whole.slice(count)
        self.seen += len(taken)
        self.selected += pc.sum(taken["selected"], min_count=0).as_py()
        return taken

    def _note(self, stored: pa.Table, expected: pa.Table) -> None:
        for name in self._names:
            left, right = stored[name].to_pandas(), expected[name].to_pandas()
            wrong = ((left != right) & ~(left.isna() & right.isna())).to_numpy()
            if wrong.any():
                self.unequal[name] += int(wrong.sum())
                place = self._compared + int(wrong.argmax()) + 1
                self.first = place if self.first is None else min(self.first, place)
