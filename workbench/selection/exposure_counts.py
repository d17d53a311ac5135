"""How often a training would see each chosen document: its repetitions, and those of its copies."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

import pandas as pd

from workbench.core.parquet import read_table
from workbench.selection.duplicates import Clusters, read_clusters
from workbench.selection.ranking import Selection

COLUMNS = ("source", "row", "doc_id", "domain", "text_sha256", "selected")


def exposures(
    selection: Selection | pd.DataFrame | str | os.PathLike[str],
    repeat: int | Mapping[str, int] = 1,
    clusters: Clusters | None = None,
) -> pd.DataFrame:
    """Say before an export how often each chosen document would be seen in an epoch.

    What is seen often is learnt by heart (`memorisation_audit` measures from how often on), and a
    near-duplicate is as good as a repetition.

    Args:
        selection: what `select` gave, its table, or the folder of a manifest.
        repeat: how often to train on each chosen document, for all or by domain, as in
            `materialise`.
        clusters: near-duplicates, as in `select` (default: those of the selection).

    Returns:
        One row a chosen document, the most seen first: source, row, doc_id, domain, repeat (its
        own), duplicates (chosen documents with its text, or in its cluster, itself left out), and
        seen (its repeat and theirs).

    Raises:
        ValueError: a repetition is no whole number from 1, a domain is unknown, or the table lacks
            a column; or the folder holds no manifest.
    """
    if isinstance(selection, Selection):
        table = selection.table
        clusters = selection.clusters if clusters is None else clusters
    elif isinstance(selection, pd.DataFrame):
        table = selection
    else:
        path = pathlib.Path(selection) / "selection.parquet"
        if not path.exists():
            raise ValueError(
                f"{str(path.parent)!r:.300} holds no {path.name}: give a folder in which "
                "`workbench select` or write_manifest wrote a manifest"
            )
        table = read_table(path, COLUMNS).to_pandas(ignore_metadata=True)
        beside = path.with_name("selection_clusters.parquet")
        clusters = beside if clusters is None and beside.exists() else clusters
    if missing := [name for name in COLUMNS if name not in table]:
        raise ValueError(f"the table lacks the columns {missing}: give the table of a selection")
    chosen = table.loc[table["selected"], list(COLUMNS[:-1])].reset_index(drop=True)
    domains = table["domain"].unique()
    by_domain = repeat if isinstance(repeat, Mapping) else dict.fromkeys(domains, repeat)
    unknown = sorted(set(by_domain) - set(domains))
    wrong = [n for n in by_domain.values() if not isinstance(n, int) or n < 1]
    if unknown or wrong:
        raise ValueError(
            "repeat is a whole number from 1, for all or by domain of the selection; odd are "
            f"{unknown[:3] + wrong[:3]!r:.200}"
        )
    chosen["repeat"] = chosen["domain"].map(by_domain).fillna(1).astype(int)
    keys = ["text_sha256"]
    if clusters is not None:
        chosen = chosen.merge(read_clusters(clusters), on=["source", "row"], how="left")
        keys = ["text_sha256", "cluster"]
    counts = chosen.assign(duplicates=1)
    for name in ("repeat", "duplicates"):  # in the cluster or of the text, each once
        sums = [counts.groupby(key)[name].transform("sum").fillna(0) for key in keys]
        if len(keys) == 2:
            sums += [-counts.groupby(keys)[name].transform("sum").fillna(0)]
        total = pd.concat(sums, axis=1).sum(axis=1)
        chosen["seen" if name == "repeat" else name] = total.astype(int)
    chosen["duplicates"] -= 1
    order = ["seen", "source", "row"]
    chosen = chosen.sort_values(order, ascending=[False, True, True], ignore_index=True)
    return chosen[["source", "row", "doc_id", "domain", "repeat", "duplicates", "seen"]]
