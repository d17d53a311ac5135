"""What becomes of duplicates in a selection: the choices, the rule in words, and the clusters file.

Repetition raises the score (`workbench/METHOD.md`), so copies of a text tend to be chosen together.
Exact duplicates are documents of one domain with the same text hash; near-duplicates are those of
one domain that a table of clusters (`source`, `row`, `cluster`) puts together.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.parquet import read_table
from workbench.corpus.deduplication import CLUSTER_SCHEMA, NearDuplicates

# Near-duplicates as users give them.
Clusters = NearDuplicates | pd.DataFrame | str | os.PathLike[str]

Duplicates = Literal["report", "keep one", "cap"]
DUPLICATES = ("report", "keep one", "cap")

CLUSTER_COLUMNS = ("source", "row", "cluster")

_GROUPS = {
    False: "exact duplicates (documents of a domain with the same text_sha256)",
    True: (
        "exact duplicates (documents of a domain with the same text_sha256) and near-duplicates "
        "(documents of a domain in the same cluster of the listed file)"
    ),
}
_SHARE = (
    "; the share is that of all documents (or tokens) of the domain, duplicates among them, so "
    "fewer are chosen when too few documents are left"
)


def limit_of(duplicates: Duplicates, cap: int | None) -> int | None:
    """How many documents of a duplicate group may be chosen.

    Args:
        duplicates: "report", "keep one" or "cap".
        cap: the number for "cap", None for the others.

    Returns:
        The number, None for all of them.

    Raises:
        ValueError: for another policy, or a cap that does not go with it.
    """
    if duplicates not in DUPLICATES:
        raise ValueError(f"duplicates must be one of {DUPLICATES}, got {duplicates!r:.100}")
    if duplicates != "cap":
        if cap is not None:
            raise ValueError(f"cap={cap!r:.50} goes with duplicates='cap' only")
        return 1 if duplicates == "keep one" else None
    if not isinstance(cap, int) or isinstance(cap, bool) or not 1 <= cap < 2**31:
        raise ValueError(f"duplicates='cap' needs cap=, a whole number from 1, got {cap!r:.50}")
    return cap


def policy_in_words(duplicates: Duplicates, cap: int | None, clustered: bool) -> str:
    """State the rule as a manifest does. The documents passed over keep their rank.

    Args:
        duplicates: "report", "keep one" or "cap".
        cap: the number for "cap", None for the others.
        clustered: whether near-duplicates are known.

    Returns:
        The rule, in English.
    """
    limit, groups = limit_of(duplicates, cap), _GROUPS[clustered]
    if limit is None:
        return f"duplicates are kept and counted: {groups}"
    others = "another" if limit == 1 else f"{limit} others"
    return (
        f"{groups} are capped at {limit}: down the ranking of a domain, a document is passed over "
        f"when {others} of the same text or of the same cluster "
        f"{'is' if limit == 1 else 'are'} chosen already, and the next documents take the free "
        f"places{_SHARE}"
    )


def read_clusters(clusters: Clusters) -> pd.DataFrame:
    """Read a table of clusters, given as such, as `near_duplicates` gives it, or as a Parquet file.

    Documents that are not in it are alone. A cluster's members count as near-duplicates of each
    other only where they share a domain.

    Args:
        clusters: what `near_duplicates` gave, a frame with CLUSTER_COLUMNS, or the path of a file
            of it.

    Returns:
        One row a document: source (text), row and cluster (int64).

    Raises:
        ValueError: when a column is missing, of another type or holds nulls, or a (source, row)
            occurs twice.
        TypeError: it is none of these.
    """
    frame: Any = clusters.table if isinstance(clusters, NearDuplicates) else clusters
    if isinstance(clusters, str | os.PathLike):
        path = pathlib.Path(clusters)
        check_clusters_file(path)
        frame = read_table(path, CLUSTER_COLUMNS).to_pandas(ignore_metadata=True)
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(
            "clusters are what near_duplicates gave, a frame of it, or the path of its file, got "
            f"{type(clusters).__name__}"
        )
    missing = [column for column in CLUSTER_COLUMNS if column not in frame.columns]
    if missing:
        raise ValueError(f"the clusters lack the columns {missing}; expected {CLUSTER_COLUMNS}")
    table = frame[list(CLUSTER_COLUMNS)]
    text = pd.api.types.is_string_dtype(table["source"])
    whole = all(pd.api.types.is_integer_dtype(table[name]) for name in ("row", "cluster"))
    if table.isna().to_numpy().any() or not (len(table) == 0 or (text and whole)):
        raise ValueError(
            "the clusters need text in 'source' and integers in 'row' and 'cluster', in every "
            f"line; got {dict(table.dtypes.astype(str))} with {int(table.isna().sum().sum())} nulls"
        )
    twice = table.duplicated(["source", "row"])
    if twice.any():
        source, row = table.loc[twice, ["source", "row"]].iloc[0]
        raise ValueError(
            f"{int(twice.sum())} documents are in two clusters, first ({source!r:.100}, {row})"
        )
    return table.astype({"row": "int64", "cluster": "int64"})


def check_clusters_file(path: pathlib.Path) -> None:
    """Refuse what is no Parquet file with a table of clusters, before anything of it is read.

    Args:
        path: of the file.

    Raises:
        ValueError: for another file, or columns that are missing, doubled or of another type.
    """
    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError) as error:  # Arrow's errors are of both kinds
        raise ValueError(
            f"the clusters {str(path)!r:.300} cannot be read as Parquet ({error!s:.200}); give the "
            "file that `workbench duplicates` wrote"
        ) from error
    names, name = list(schema.names), path.name
    wrong = [column for column in CLUSTER_COLUMNS if names.count(column) != 1]
    if not wrong:
        wrong = [c for c in ("row", "cluster") if not pa.types.is_integer(schema.field(c).type)]
        kind = schema.field("source").type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            wrong.append("source")
    if wrong:
        raise ValueError(
            f"{name!r:.100} is not a table of clusters: {wrong} missing or of another type; "
            f"expected {', '.join(f'{field.name} ({field.type})' for field in CLUSTER_SCHEMA)}"
        )
