"""The residual: what is left of the rank of the score when its confounds are taken out.

Inside a domain the ranks of the score are fitted by least squares on those of CONTROLLED. It is the
one score that no document has by itself, so it is no column of score files: it is computed of the
documents that are ranked. Ranks are whole numbers once doubled (ties share the mean of theirs), so
the sums of the fit are exact in any order, and the fit is solved exactly: a frame in memory and
files on a disk, on whatever machine, give the same bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations_with_replacement
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from workbench.core.bounded_duckdb import connect

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RESIDUAL = "residual"
CONTROLLED = ("loss_base", "compression_ratio", "tokens")  # what the score goes along with
LEAST = 2 * (len(CONTROLLED) + 1)  # documents of a domain; it has no residual with fewer
MEANING = (
    "Rank of the score in its domain, the lowest first, less its least-squares fit on the ranks of "
    f"{', '.join(CONTROLLED)} there, over the ranked documents"
)
_FITTED = ("score", *CONTROLLED)


def residual(table: pd.DataFrame) -> pd.Series:
    """The residual of every document of a frame.

    Args:
        table: score, domain and the columns of CONTROLLED.

    Returns:
        In ranks, float64 with the index of the table; NaN for a document that lacks one of them,
        and in a domain with fewer than LEAST that have all.

    Raises:
        ValueError: a column is missing.
    """
    lacking = [name for name in ("domain", *_FITTED) if name not in table]
    if lacking:
        raise ValueError(
            f"the residual needs the columns {lacking}, which the table lacks: give the table of "
            "score_corpus"
        )
    # Of whatever type a frame has them.
    columns = {name: pa.array(table[name].astype("float64")) for name in _FITTED}
    domains = pa.array(table["domain"].astype("str"), pa.string())
    rows = pa.table({"place": pa.array(range(len(table))), "domain": domains} | columns)
    left = pd.Series(float("nan"), index=range(len(table)), dtype="float64")
    with (
        tempfile.TemporaryDirectory(prefix="workbench-residual-") as scratch,
        connect(Path(scratch), memory="4GB", threads=1) as connection,
    ):
        connection.register("rows", rows)
        make_residuals(connection, "rows", ["place"])
        made = connection.sql("FROM residuals").to_arrow_table().to_pandas()
    left[made["place"].to_numpy()] = made[RESIDUAL].to_numpy()
    return left.set_axis(table.index)


def make_residuals(connection: DuckDBPyConnection, rows: str, keys: Sequence[str]) -> None:
    """Make the table `residuals` of a relation, one row a document that has one.

    Args:
        connection: to the database of the relation.
        rows: name of the relation, with domain, score and the columns of CONTROLLED.
        keys: names of its columns that say which document a row is; they become columns of
            `residuals`, beside RESIDUAL.
    """
    run = connection.execute
    key = ", ".join(f'"{name}"' for name in keys)
    known = " AND ".join(f"{name} IS NOT NULL AND NOT isnan({name})" for name in _FITTED)
    run(f"CREATE TABLE fitted AS SELECT {key}, domain, {', '.join(_FITTED)} FROM {rows} "
        f"WHERE {known}")  # fmt: skip
    for name in _FITTED:  # one at a time, with nothing carried along, since it is held in memory
        run(
            f"CREATE TABLE rank_{name} AS SELECT rowid AS line, rank() OVER same + count(*) OVER "
            f"same AS twice FROM fitted WINDOW same AS (PARTITION BY domain ORDER BY {name})"
        )
    # Twice the mean rank, the lowest value first, less its mean over the domain.
    centred = ", ".join(f"rank_{name}.twice - 1 - documents AS {name}" for name in _FITTED)
    joined = " ".join(f"JOIN rank_{name} ON rank_{name}.line = f.rowid" for name in _FITTED)
    run(
        f"CREATE TABLE centred_ranks AS SELECT f.rowid AS line, domain, {centred} FROM fitted f "
        "JOIN (SELECT domain, count(*) AS documents FROM fitted GROUP BY domain) USING (domain) "
        f"{joined}"
    )
    for name in _FITTED:
        run(f"DROP TABLE rank_{name}")
    pairs = list(combinations_with_replacement(_FITTED, 2))
    sums = ", ".join(f"sum({one}::HUGEINT * {other})" for one, other in pairs)
    fits: dict[str, list[float | str]] = {name: [] for name in ("domain", *CONTROLLED)}
    for domain, *found in run(
        f"SELECT domain, {sums} FROM centred_ranks GROUP BY domain HAVING count(*) >= {LEAST}"
    ).fetchall():
        products = {frozenset(pair): int(value) for pair, value in zip(pairs, found, strict=True)}
        fits["domain"].append(domain)
        for name, weight in zip(CONTROLLED, _weights(products), strict=True):
            fits[name].append(weight)
    kinds = [pa.string(), *(pa.float64() for _ in CONTROLLED)]
    connection.register("fits", pa.table(fits, pa.schema(zip(fits, kinds, strict=True))))
    explained = " + ".join(f"w.{name} * r.{name}" for name in CONTROLLED)
    run(
        f"CREATE TABLE residuals AS SELECT {key}, (r.score - ({explained})) / 2 AS {RESIDUAL} "
        "FROM centred_ranks r JOIN fits w USING (domain) JOIN fitted f ON f.rowid = r.line"
    )
    run("DROP TABLE centred_ranks")
    run("DROP TABLE fitted")
    connection.unregister("fits")


def _weights(products: dict[frozenset[str], int]) -> list[float]:
    """The least-squares weights of CONTROLLED, of the sums of products of centred values.

    Solved in fractions. A column that the others make up, or that does not vary, gets 0.
    """
    rows = [
        [Fraction(products[frozenset((one, other))]) for other in (*CONTROLLED, "score")]
        for one in CONTROLLED
    ]
    for i in range(len(CONTROLLED)):
        if not rows[i][i]:  # what is left of the column; then its row and column are 0 as well
            continue
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for j in range(len(CONTROLLED)):
            if j != i and rows[j][i]:
                rows[j] = [x - rows[j][i] * y for x, y in zip(rows[j], rows[i], strict=True)]
    return [float(row[-1]) for row in rows]
