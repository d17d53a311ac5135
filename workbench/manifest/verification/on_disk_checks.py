"""The ranks of a manifest checked on disk, for selections that no memory holds.

The same statements as in `workbench.manifest.verification.rank_checks`, which holds frames; here
the rows are put in order by DuckDB, chosen again by `workbench.selection.streaming`, and what comes
out is held against selection.parquet piece by piece. Where the score files are there, they are what
is ranked again.
"""

from __future__ import annotations

import importlib.util
import pathlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench.core.parquet import batches, groups_of
from workbench.core.progress import progress_bar
from workbench.manifest.croissant import CLUSTERS_FILE, SELECTION_FILE
from workbench.manifest.selecting_files import LARGE
from workbench.manifest.verification import rank_checks
from workbench.manifest.verification.report import NotChecked, require
from workbench.selection.domain_quota import check_by, share_of
from workbench.selection.duckdb_scores import ScoreFiles
from workbench.selection.duplicates import limit_of
from workbench.selection.ranking import SCORE_COLUMNS
from workbench.selection.schema import SELECTION_SCHEMA
from workbench.selection.streaming import QUIET, StreamingSelection

MEMORY, THREADS = "1GB", 2
_PIECE = 1 << 16  # rows

Files = dict[str, pathlib.Path]


def is_for(manifest: dict[str, Any] | None, files: Files | None) -> bool:
    """Whether a selection is checked here: a large one without excluded rows, if DuckDB is there.

    Rows are excluded only from a selection that was made in memory, so it can be checked there.

    Args:
        manifest: as it was parsed; None when it could not be.
        files: listed files that passed their own checks, by listed path, or None.

    Returns:
        False also where something is wrong with them: the checks in memory say what.
    """
    if manifest is None or files is None or SELECTION_FILE not in files:
        return False
    try:
        with files[SELECTION_FILE].open("rb") as stream:
            rows = sum(group.rows for group in groups_of(stream))
        whole = manifest["aiw:documents"].get("excluded") == 0
    except (OSError, ValueError, LookupError):
        return False  # the checks in memory say what is wrong
    return rows > LARGE and whole and importlib.util.find_spec("duckdb") is not None


class StoredRows:
    """selection.parquet, read from its start in pieces.

    Args:
        path: of the file.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    @contextmanager
    def pieces(self, *columns: str) -> Iterator[Iterator[pa.RecordBatch]]:
        """Read the file again, inside the block.

        Args:
            columns: names of those to read; all when there are none.

        Returns:
            Batches of these columns.
        """
        with (
            self.path.open("rb") as stream,
            pq.ParquetFile(stream, pre_buffer=False) as file,
        ):
            yield batches(file, stream, columns or SELECTION_SCHEMA.names, most_rows=_PIECE)


def selection_rows(files: Files) -> tuple[StoredRows, str]:
    """selection.parquet has the columns and types of a selection and no nulls.

    Args:
        files: listed files that passed their own checks, by listed path.

    Returns:
        The file, and a detail.

    Raises:
        Failed: when it has not.
        NotChecked: when it is not among the files.
    """
    if SELECTION_FILE not in files:
        raise NotChecked(f"{SELECTION_FILE} failed its own check, or is not listed")
    stored = StoredRows(files[SELECTION_FILE])
    rank_checks.require_selection_schema(pq.read_schema(stored.path))
    rows, nulls = 0, set()
    with stored.pieces() as pieces:
        for piece in pieces:
            piece.validate(full=True)
            rows += len(piece)
            nulls |= {name for name in piece.schema.names if piece[name].null_count}
    rank_checks.require_no_nulls(nulls)
    return stored, f"{rows} rows"


def formula(stored: StoredRows) -> tuple[bool, str]:
    """Losses are finite and each score follows from them, as in `rank_checks.formula`.

    Args:
        stored: the file, after `selection_rows`.

    Returns:
        True, and a detail.

    Raises:
        Failed: when a row does not hold this.
    """
    rows = 0
    with stored.pieces("loss_base", "loss_ref", "score") as pieces:
        for piece in pieces:
            rank_checks.formula(piece.to_pandas())
            rows += len(piece)
    return True, f"all {rows} within {rank_checks.FORMULA_TOLERANCE:g}"


class _Found(NamedTuple):
    """What the walk gave.

    Rows, how many rows of selection.parquet are others by column, the first place where one is, and
    the figures that a manifest states.
    """

    rows: int
    stored: int
    selected: int
    unequal: Counter[str]
    first: int | None
    domains: list[dict[str, Any]]
    corpus: dict[str, Any]


class RankedAgain:
    """The selection made again, once for all checks that ask about it.

    Args:
        stored: the file, after `selection_rows`.
        manifest: as it was parsed.
        record: of the run.
        files: listed files that passed their own checks, by listed path.
    """

    def __init__(
        self, stored: StoredRows, manifest: dict[str, Any], record: dict[str, Any], files: Files
    ) -> None:
        self.stored, self.manifest, self.record, self.files = stored, manifest, record, files
        paths = [file["path"] for file in record["score_files"]]
        self.scored = bool(paths) and all(path in files for path in paths)
        self._paths = [files[path] for path in paths] if self.scored else [stored.path]
        self._asked = manifest["aiw:selection"]

    def scored_rows(self) -> tuple[bool, str]:
        """The ranked rows are the rows of the score files, all of them.

        Returns:
            True, and a detail.

        Raises:
            Failed: when they are not.
            NotChecked: when the score files are not there.
        """
        if not self.scored:
            raise NotChecked("the score files are not in the folder, or failed their own check")
        again = self.found
        self._require_same(again, SCORE_COLUMNS, "the score files give")
        return True, f"all {again.rows} found among {again.rows} scored rows, 0 excluded"

    def ranking(self) -> tuple[bool, str]:
        """Ranks, chosen rows and the domains' figures come out of the scores again.

        So they do from the clusters of near-duplicates, where the selection was given them.

        Returns:
            True, and a detail.

        Raises:
            Failed: when they do not.
            NotChecked: when the file of clusters is not there.
        """
        again = self.found
        columns = ("source", "row", "rank", "selected", "repeat")
        self._require_same(again, columns, "comes out of the scores")
        rank_checks.require_domains(again.domains, self.manifest)
        rank_checks.require_rules(self._asked, self._asked.get("clusters") is not None)
        return True, f"{len(again.domains)} domains ranked again, all as stated"

    def counts(self) -> tuple[bool, str]:
        """Read, scored, skipped, ranked and selected add up, and the corpus digest holds.

        Returns:
            True, and a detail.

        Raises:
            Failed: when they do not.
        """
        again = self.found
        return rank_checks.require_counts(
            again.stored, again.selected, again.corpus, self.manifest, self.record
        )

    def _require_same(self, again: _Found, columns: tuple[str, ...], which: str) -> None:
        wrong = {name: again.unequal[name] for name in columns if again.unequal[name]}
        require(
            again.rows == again.stored and not wrong,
            f"{SELECTION_FILE} has {again.stored} rows, {again.rows} were ranked again; rows that "
            f"hold something else than {which} in their place: {wrong}, the first is number "
            f"{again.first}",
        )

    @property
    def found(self) -> _Found:
        """What the walk over all rows gave, made once.

        Raises:
            Exception: whatever ended the walk, each time that it is asked for.
        """
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    @cached_property
    def _outcome(self) -> _Found | Exception:
        """Kept also when it is an error, which takes as long to come by."""
        try:
            return self._walked()
        except Exception as error:  # the files may be anybody's
            return error

    def _walked(self) -> _Found:
        share = share_of(self._asked.get("fraction"))
        limit = limit_of(self._asked.get("duplicates"), self._asked.get("cap"))
        check_by(self._asked.get("by"))
        clusters = None
        if self._asked.get("clusters") is not None:
            if CLUSTERS_FILE not in self.files:
                raise NotChecked(f"{CLUSTERS_FILE} failed its own check, or is not listed")
            clusters = self.files[CLUSTERS_FILE]
        # Not in the folder that is checked, which may be somebody else's.
        with (
            tempfile.TemporaryDirectory(prefix="workbench-verify-") as scratch,
            ScoreFiles(self._paths, clusters, memory=MEMORY, threads=THREADS,
                       scratch=pathlib.Path(scratch)) as scores,
            self.stored.pieces() as pieces,
        ):  # fmt: skip
            walk = StreamingSelection(scores, share, self._asked["by"], limit)
            corpus = {"sources": len(walk.sources), "text_digest": walk.text_digest()}
            against, ranked = _Against(pieces), walk.documents
            with progress_bar("ranking again", "doc", ranked, bar=ranked > QUIET) as done:
                for rows in walk.rows(done):
                    against.compare(rows)
            against.exhaust()
            return _Found(ranked, against.seen, against.selected, against.unequal, against.first,
                          walk.figures(), corpus)  # fmt: skip


class _Against:
    """Holds rows that come in pieces of one size against stored ones in pieces of another."""

    def __init__(self, pieces: Iterator[pa.RecordBatch]) -> None:
        self._pieces, self._held = pieces, SELECTION_SCHEMA.empty_table()
        self.seen = self.selected = self._compared = 0
        self.unequal: Counter[str] = Counter()
        self.first: int | None = None

    def compare(self, rows: pa.RecordBatch) -> None:
        stored = self._take(len(rows))
        expected = pa.Table.from_batches([rows]).slice(0, len(stored))
        if not stored.equals(expected):
            self._note(stored, expected)
        self._compared += len(rows)

    def exhaust(self) -> None:
        """Count stored rows to which nothing corresponds."""
        while len(self._take(_PIECE)):
            pass

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
        for name in SELECTION_SCHEMA.names:
            left, right = stored[name].to_pandas(), expected[name].to_pandas()
            wrong = ((left != right) & ~(left.isna() & right.isna())).to_numpy()
            if wrong.any():
                self.unequal[name] += int(wrong.sum())
                place = self._compared + int(wrong.argmax()) + 1
                self.first = place if self.first is None else min(self.first, place)
