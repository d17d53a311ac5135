"""The ranking of a manifest made again from its scores, and held against selection.parquet.

Nothing is held whole, so a hundred million rows are ranked as a hundred are: DuckDB puts the rows
of the score files in order (those of selection.parquet, where the score files are not there),
`workbench.selection.streaming` chooses again, and what comes out is compared piece by piece.
`workbench.manifest.verification.rank_checks` judges it.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench.core.progress import progress_bar
from workbench.manifest.croissant import CLUSTERS_FILE, ranked_by
from workbench.manifest.verification.report import NotChecked
from workbench.manifest.verification.row_checks import PIECE, Files, stored_pieces
from workbench.scoring.schema import ScoreColumn, columns_in, schema_with
from workbench.selection.domain_quota import By, check_by, share_of
from workbench.selection.duckdb_scores import ScoreFiles
from workbench.selection.duplicates import limit_of
from workbench.selection.ranking import SCORE
from workbench.selection.streaming import QUIET, StreamingSelection


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
        scores = [] if record is None else score_files(record, files)
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


def score_files(record: dict[str, Any], files: Files) -> list[pathlib.Path]:
    """The score files, none unless all of them are there and passed their own checks.

    Args:
        record: of the run, which names them.
        files: listed files that passed their own checks, by listed path.

    Returns:
        Their paths.
    """
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
        stored_pieces(stored, schema.names) as pieces,
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
        while len(self._take(PIECE)):
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
