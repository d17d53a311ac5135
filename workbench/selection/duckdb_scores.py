"""The score files of a finished run, asked in DuckDB: checked, ordered, compared and streamed.

A hundred million rows do not fit in the memory of a small machine, so nothing here is ever a whole
table: DuckDB sorts and joins on disk, beyond a bound on its memory, and hands out Arrow batches.
Names of domains and sources stay values of columns and never become part of a statement.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from workbench.core.bounded_duckdb import connect
from workbench.core.parquet import check_pages
from workbench.scoring.schema import NULLABLE, SCHEMA, ScoreColumn, schema_with
from workbench.selection.duplicates import CLUSTER_COLUMNS, check_clusters_file
from workbench.selection.ranking import SCORE, why_missing
from workbench.selection.residual import RESIDUAL, make_residuals
from workbench.selection.schema import (
    INTEGER_COLUMNS,
    TEXT_COLUMNS,
    lacking_columns,
    lacks_tokens,
    lacks_value,
    require_score_columns,
)
from workbench.selection.text_digest import hex_digits

BATCH_ROWS = 200_000
# Domains are sorted in groups of about so many rows: the sort then needs that much less disk.
SORTED_ROWS = 30_000_000
SCRATCH = 30  # bytes of disk for each byte of the files; no more, whatever somebody's file holds

# What `ranked` gives in another form: numbers for names, and the text hash as it was sorted by.
_OTHER_FORM = ("domain", "source", "row", "text_sha256")
_HEX = "regexp_full_match(text_sha256, '[0-9a-f]{64}')"
_PLACE = "s.place AS source, f.row AS row"


class Domain(NamedTuple):
    """A domain.

    Attributes:
        name: its name.
        documents: how many documents it has.
        tokens: how many tokens these have.
    """

    name: str
    documents: int
    tokens: int


class ScoreFiles:
    """Score files as one relation; a context manager, since it holds a database connection.

    Args:
        paths: the Parquet files, each with the columns SCORE_COLUMNS.
        clusters: a Parquet file of source, row and cluster, or None.
        ranked: a selection.parquet, when only the rows that are also in it (by source and row) are
            to be ranked; None for all rows.
        memory: bound on DuckDB's own memory, such as "1GB".
        threads: how many threads it may use; no more are started than there are cores for.
        scratch: folder that holds what does not fit in memory.
        of_user: columns of the user that the files have (`workbench.scoring.schema.columns_in`).
        by_score: the column to rank by, or RESIDUAL; rows without a value in it are left out.
        excluded: a Parquet file of documents (source, row, text_sha256) that are left out, or None.

    Attributes:
        of_user: the same.
        by_score: the same.
        clustered: whether there are clusters.
        documents: how many rows the files hold.
        left_out: how many of them are in `excluded`.
        all_rows: whether all rows of the files are ranked, or those alone that are in `ranked`.

    Raises:
        ValueError: a file has other columns, files are of runs of two versions, a setting is out of
            range, or a document has another text in `excluded`.
    """

    def __init__(
        self,
        paths: Sequence[pathlib.Path],
        clusters: pathlib.Path | None,
        *,
        scratch: pathlib.Path,
        ranked: pathlib.Path | None = None,
        memory: str = "1GB",
        threads: int = 2,
        of_user: Sequence[ScoreColumn] = (),
        by_score: str = SCORE,
        excluded: pathlib.Path | None = None,
    ) -> None:
        self._schema, self.of_user, self.by_score = schema_with(of_user), tuple(of_user), by_score
        kind = self._schema.field(by_score).type if by_score in self._schema.names else None
        if by_score != RESIDUAL and kind not in (pa.float64(), pa.int64()):
            numbers = [field.name for field in self._schema if field.type != pa.string()]
            raise ValueError(
                f"by_score={by_score!r:.100} is no column of numbers of the score files; they have "
                f"{', '.join(numbers)}, and {RESIDUAL}"
            )
        formats = {require_score_columns(path, of_user) for path in paths}
        if len(formats) > 1:
            newest = lacking_columns(max(formats))
            lacking = [name for name in lacking_columns(min(formats)) if name not in newest]
            raise ValueError(
                f"some score files have the columns {lacking} and some have not: they are of "
                "runs of two versions, which are not ranked together"
            )
        most = SCRATCH * sum(os.stat(path).st_size for path in paths)
        self._connection = connect(scratch, memory=memory, threads=threads, most_scratch=most)
        self._keys: dict[str, str] = {}
        self._view("scored", paths, lacking_columns(max(formats, default=1)))
        self.documents = int(self._rows("SELECT count(*) FROM scored")[0][0])
        self.all_rows = True
        if ranked is not None:
            self._view("ranked", [ranked], lacking_columns(require_score_columns(ranked, of_user)))
            listed = self._rows("SELECT count(*) FROM ranked")[0][0]
            # If so, each row has to be in it, and none is left out.
            self.all_rows = listed >= self.documents
        kept = "" if self.all_rows else " SEMI JOIN ranked USING (source, row)"
        self.left_out = 0
        if excluded is not None:
            self._view("excluded", [excluded])
            self.left_out, others = self._rows(
                "SELECT count(*), count(*) FILTER (f.text_sha256 != e.text_sha256) "
                "FROM scored f JOIN excluded e USING (source, row)"
            )[0]
            if others:
                raise ValueError(
                    f"{others} documents have another text than the funnel saw: run the funnel on "
                    "the corpus that was scored"
                )
            kept += " ANTI JOIN excluded USING (source, row)"
        if by_score == RESIDUAL:
            self._connection.execute(f"CREATE VIEW without_residual AS FROM scored{kept}")
            make_residuals(self._connection, "without_residual", ["source", "row"])
            kept += " JOIN residuals USING (source, row)"
        elif by_score != SCORE:
            kept += f" WHERE {_known('scored', by_score)} IS NOT NULL"
        self._connection.execute(f"CREATE VIEW files AS FROM scored{kept}")
        self.clustered = clusters is not None
        if clusters is not None:
            check_clusters_file(clusters)
            check_pages(clusters, CLUSTER_COLUMNS)
            self._view("given_clusters", [clusters])

    def __enter__(self) -> ScoreFiles:
        """Give the files, which leaving the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _view(self, name: str, paths: Sequence[pathlib.Path], lacking: Sequence[str] = ()) -> None:
        """Name the rows of files; columns that older files lack are as `completed` has them."""
        # A folder or file name must neither add a column nor be taken for a pattern.
        plain = [re.sub(r"([*?\[])", r"[\1]", os.path.abspath(path)) for path in paths]
        relation = self._connection.read_parquet(plain, hive_partitioning=False)
        kinds = {pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.string(): "VARCHAR"}
        filled = [
            f"NULL::{kinds[SCHEMA.field(column).type]} AS {column}" if column in NULLABLE
            else f"loss_ref - loss_base AS {column}"
            for column in lacking
        ]  # fmt: skip
        relation.project(", ".join(["*", *filled])).create_view(name)

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement).fetchall()

    def _batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        return iter(self._connection.sql(statement).to_arrow_reader(BATCH_ROWS))

    def check(self) -> list[Domain]:
        """Look at every row as `select` does, and number sources and domains.

        Returns:
            The domains, in the order of their names.

        Raises:
            ValueError: for a row that cannot be ranked, a document in two clusters, or no rows.
        """
        nulls = ", ".join(
            f"count(*) - count({name}) AS no_{name}" for name in (*TEXT_COLUMNS, *INTEGER_COLUMNS)
        )
        by_score = _quoted(self.by_score)
        bad = f"NOT (isfinite(score) AND isfinite({by_score})) OR score IS NULL"
        self._connection.execute(
            "CREATE TABLE domains AS SELECT domain, row_number() OVER (ORDER BY domain) - 1 AS "
            "place, * EXCLUDE (domain) FROM (SELECT domain, count(*) AS documents, sum(tokens) AS "
            f"tokens, min(tokens) AS least, count(*) FILTER ({bad}) AS bad, "
            f"bool_and({_HEX}) AS hex, {nulls} FROM files GROUP BY domain)"
        )
        for name in (*TEXT_COLUMNS, *INTEGER_COLUMNS):
            if self._rows(f"SELECT sum(no_{name}) FROM domains")[0][0]:
                kind = "text" if name in TEXT_COLUMNS else "integers"
                where = f"SELECT source, row FROM files WHERE {name} IS NULL LIMIT 1"
                raise ValueError(lacks_value(name, kind, *self._rows(where)[0]))
        totals = self._rows("SELECT min(least), sum(bad), bool_and(hex) FROM domains")[0]
        if totals[0] is None:
            what = "" if self.by_score == SCORE else f" with a value of {self.by_score!r}"
            why = why_missing(self.by_score)
            raise ValueError(f"there are no rows{what}{why}, so there is nothing to rank")
        if totals[0] < 1:
            where = "SELECT doc_id, tokens FROM files WHERE tokens < 1 LIMIT 1"
            raise ValueError(lacks_tokens(*self._rows(where)[0]))
        if totals[1]:
            example = self._rows(f"SELECT doc_id FROM files WHERE {bad} LIMIT 1")
            raise ValueError(
                f"{int(totals[1])} scores are not finite (first: document {example[0][0]!r:.100}); "
                "score these documents again"
            )
        # 32 bytes have the order of their 64 digits; other text is left as it is.
        self._text = "unhex(f.text_sha256)" if totals[2] else "f.text_sha256"
        self._connection.execute(
            "CREATE TABLE sources AS SELECT source, row_number() OVER (ORDER BY source) - 1 AS "
            "place FROM (SELECT DISTINCT source FROM files)"
        )
        self._number_clusters()
        domains = self._rows("SELECT domain, documents, tokens FROM domains ORDER BY place")
        return [Domain(name, documents, int(tokens)) for name, documents, tokens in domains]

    def differences(self) -> tuple[int, list[str]]:
        """Look up each row of `ranked` among all rows of the files, those left out included.

        Returns:
            How many rows the files hold, and in what ways the rows of `ranked` are not among them,
            each in words; an empty list when they are.
        """
        total, twice = self._rows(
            "SELECT sum(rows), sum(rows - 1) FROM (SELECT count(*) AS rows FROM scored "
            "GROUP BY source, row)"
        )[0]
        if twice:  # a join would count its rows twice
            return int(total), [f"{int(twice)} documents are scored twice"]
        others = [name for name in self._schema.names if name not in ("source", "row")]
        unequal = ", ".join(
            f"count(*) FILTER (f.source IS NOT NULL AND {_known('r', name)} IS DISTINCT FROM "
            f"{_known('f', name)})"
            for name in others
        )
        missing, *counts = self._rows(
            f"SELECT count(*) - count(f.source), {unequal} FROM ranked r LEFT JOIN scored f "
            "ON r.source = f.source AND r.row = f.row"
        )[0]
        problems = [f"{missing} ranked rows are not in the score files"] if missing else []
        return int(total or 0), problems + [
            f"{count} ranked rows have another {name} than was scored"
            for name, count in zip(others, counts, strict=True)
            if count
        ]

    def _number_clusters(self) -> None:
        """Keep the clusters of scored documents, with numbers in the place of names."""
        if not self.clustered:
            self._joined = "files f JOIN sources s ON f.source = s.source"
            return
        run = self._connection.execute
        run("CREATE VIEW clusters AS SELECT source, row::BIGINT AS row, cluster::BIGINT AS cluster "
            "FROM given_clusters")  # fmt: skip
        nulls = "count(*) - least(count(source), count(row), count(cluster))"
        if self._rows(f"SELECT {nulls} FROM clusters")[0][0]:
            raise ValueError("the clusters need source, row and cluster in every line")
        run("CREATE TABLE near AS SELECT s.place AS source, c.row, c.cluster FROM clusters c JOIN "
            "sources s ON c.source = s.source")  # fmt: skip
        twice = self._rows("SELECT 1 FROM near GROUP BY source, row HAVING count(*) > 1 LIMIT 1")
        if twice:
            raise ValueError("a document is in two clusters; each may be in one")
        self._joined = (
            "files f JOIN sources s ON f.source = s.source "
            "LEFT JOIN near n ON n.source = s.place AND n.row = f.row"
        )

    def sources(self) -> pa.Array:
        """The names of all sources, after `check`.

        Returns:
            Text (sources,), in the order of the numbers that stand for them.
        """
        return self._column("SELECT source FROM sources ORDER BY place")

    def _column(self, statement: str) -> pa.Array:
        (column,) = self._connection.sql(statement).to_arrow_table().columns
        return pa.concat_arrays(column.chunks) if column.chunks else pa.array([], column.type)

    def texts(self) -> Iterator[pa.RecordBatch]:
        """Every text hash, after `check`.

        Returns:
            Batches of source (its number), row and text_sha256, by source and row.
        """
        for batch in self._batches(
            f"SELECT {_PLACE}, {self._text} AS text FROM files f JOIN sources s ON "
            "f.source = s.source ORDER BY source, row"
        ):
            texts = hex_digits(batch.column("text"))
            yield pa.record_batch([*batch.columns[:2], texts], ["source", "row", "text_sha256"])

    def clusters(self) -> Iterator[pa.RecordBatch]:
        """The scored documents that are in a cluster, after `check`.

        Returns:
            Batches of source, row and cluster, by source and row.
        """
        return self._batches(
            "SELECT s.source, n.row, n.cluster FROM near n JOIN sources s ON n.source = s.place "
            "JOIN files f ON f.source = s.source AND f.row = n.row ORDER BY s.source, n.row"
        )

    def repeated(self, column: str) -> np.ndarray:
        """Find the groups that several documents of a domain share, after `check`.

        That no two groups share a key is looked at, and another hash is taken where they do.

        Args:
            column: "text_sha256" or "cluster".

        Returns:
            Keys, uint64 (groups,), ascending; a key is the hash of (domain, `column`) that `ranked`
            gives.

        Raises:
            RuntimeError: two groups share a key, whatever hash is taken.
        """
        kind = {"text_sha256": "f.text_sha256", "cluster": "n.cluster"}[column]
        source = "files f" if column == "text_sha256" else self._joined
        held = f"{source} WHERE {kind} IS NOT NULL"
        for salt in range(8):
            key = f"hash(f.domain, {kind}, {salt})"
            self._connection.execute(
                f"CREATE OR REPLACE TABLE shared AS SELECT key FROM (SELECT {key} AS key FROM "
                f"{held}) GROUP BY key HAVING count(*) > 1"
            )
            clash = self._rows(
                f"SELECT 1 FROM (SELECT {key} AS key, f.domain AS domain, {kind} AS kind FROM "
                f"{held}) SEMI JOIN shared USING (key) GROUP BY key HAVING min(domain) <> "
                "max(domain) OR min(kind) <> max(kind) LIMIT 1"
            )
            if not clash:
                keys = self._column("SELECT key FROM shared ORDER BY key")
                self._connection.execute("DROP TABLE shared")
                self._keys[column] = key
                return keys.to_numpy(zero_copy_only=False).astype("uint64")
        raise RuntimeError(f"the hashes of {column} clash with every salt; report this")

    def ranked(self, domains: Sequence[Domain]) -> Iterator[pa.RecordBatch]:
        """Every document by domain and rank, after both calls of `repeated`.

        Args:
            domains: what `check` returned.

        Returns:
            Batches of the columns of SCORE_ROW and the one that is ranked by, but with the numbers
            of `check` for domain (in the column `place`) and source, and text_key and, with
            clusters, cluster_key (null for a document in none).
        """
        every = dict.fromkeys((*self._schema.names, self.by_score))
        names = [name for name in every if name not in _OTHER_FORM]
        carried = ", ".join(f"f.{_quoted(name)}" for name in names)
        by_score = f"f.{_quoted(self.by_score)}"
        keys = f"{self._keys['text_sha256']} AS text_key"
        if self.clustered:
            # hash(NULL) is a number like any other
            keys += f", if(n.cluster IS NULL, NULL, {self._keys['cluster']}) AS cluster_key"
        for first, last in _groups([domain.documents for domain in domains]):
            for batch in self._batches(
                f"SELECT d.place, {self._text} AS text, {_PLACE}, {carried}, {keys} FROM "
                f"{self._joined} JOIN domains d ON f.domain = d.domain WHERE d.place BETWEEN "
                f"{first} AND {last} ORDER BY d.place, {by_score} DESC, text, s.place, f.row"
            ):
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                columns["text_sha256"] = hex_digits(columns.pop("text"))
                yield pa.record_batch(list(columns.values()), list(columns))


def _groups(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut consecutive domains into groups of up to SORTED_ROWS documents, at least one domain."""
    first = held = 0
    for place, size in enumerate(sizes):
        if held and held + size > SORTED_ROWS:
            yield first, place - 1
            first, held = place, 0
        held += size
    yield first, len(sizes) - 1


def _quoted(name: str) -> str:
    """A column name in a statement, where it may be a word of SQL; it holds no quotation mark."""
    return f'"{name}"'


def _known(table: str, name: str) -> str:
    """A column as an expression in which a number that is unknown is null, never NaN."""
    column = f"{table}.{_quoted(name)}"
    is_text = name in SCHEMA.names and not pa.types.is_floating(SCHEMA.field(name).type)
    return column if is_text else f"if(isnan({column}), NULL, {column})"
