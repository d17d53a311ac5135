"""Two selections compared from their manifests alone: how far they agree, what moved, and why.

Neither model nor corpus is needed. Both folders are verified first, since a comparison of files
that do not hold what they state would say nothing.
"""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass
from typing import Any

import pandas as pd

from workbench.core.files import read_json, resolve_inside
from workbench.core.frames import as_html
from workbench.core.parquet import read_table
from workbench.manifest.croissant import FUNNEL, SELECTION_FILE, ranked_by
from workbench.manifest.mixture import MIXTURE
from workbench.manifest.verification.verify import verify_manifest
from workbench.manifest.writing import MANIFEST_FILE
from workbench.selection.rank_agreement import KEY, agreement
from workbench.selection.ranking import select

WHY = {
    "cut": "with the other's fraction and way with duplicates both would choose it, or neither",
    "score": "its own score is another",
    "others": "its score is the same, those of the documents around it are not",
    "not ranked": "the other selection does not hold this document",
}


@dataclass(frozen=True)
class ManifestComparison:
    """What `compare_manifests` found.

    Attributes:
        settings: one row a setting that differs: setting, one, other (its values).
        domains: one row a domain: domain, documents (in both), left_out, spearman, low, high and
            overlap_same_cut as in `agreement` (both cut as the first is), and chosen_one,
            chosen_other, chosen_both: documents, as each was cut.
        moved: one row a document that only one of the two chose: domain, source, row, doc_id,
            chosen_by ("one" or "other"), score_one, score_other (of the column that each ranked
            by), rank_one, rank_other (NaN where it is not ranked) and why, a key of WHY.
    """

    settings: pd.DataFrame
    domains: pd.DataFrame
    moved: pd.DataFrame

    def __repr__(self) -> str:
        differ, moved = self._in_words()
        return f"{differ}\n{self.domains.to_string(index=False)}\n{moved}"

    def _repr_html_(self) -> str:
        return as_html("\n".join(self._in_words()), self.domains)

    def _in_words(self) -> tuple[str, str]:
        differ = ", ".join(self.settings["setting"]) or "no setting"
        counts = self.moved["why"].value_counts()
        moved = ", ".join(f"{why} {count}" for why, count in counts.items()) or "none"
        return (
            f"two selections that differ in {differ}",
            f"documents that only one chose: {len(self.moved)} ({moved})",
        )


def compare_manifests(
    one: str | os.PathLike[str], other: str | os.PathLike[str]
) -> ManifestComparison:
    """Hold two folders with manifests against each other, offline.

    Args:
        one: a folder with manifest.json and selection.parquet.
        other: another.

    Returns:
        The settings that differ, the agreement by domain, and the documents that only one chose.

    Raises:
        VerificationError: if one of them does not hold what it states.
        ValueError: if they have no document in common or another text under the same source and
            row.
    """
    folders = [pathlib.Path(one), pathlib.Path(other)]
    (first_manifest, first), (second_manifest, second) = map(_read, folders)
    cuts = [_cut_of(folders[0], first_manifest), _cut_of(folders[1], second_manifest)]
    domains = agreement(first, second, cuts[0]["fraction"], cuts[0]["by"]).rename(
        columns={"overlap": "overlap_same_cut"}
    )
    domains = domains.drop(columns="chosen").merge(_chosen(first, second), on="domain")
    settings = _settings(first_manifest, second_manifest)
    return ManifestComparison(settings, domains, _moved(first, second, cuts))


def _read(folder: pathlib.Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """The manifest and the rows of a folder that holds what it states."""
    verify_manifest(folder)
    manifest = read_json(resolve_inside(folder, MANIFEST_FILE))
    rows = read_table(resolve_inside(folder, SELECTION_FILE)).to_pandas(ignore_metadata=True)
    return manifest, rows.assign(score=rows[ranked_by(manifest)])


def _cut_of(folder: pathlib.Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """What `select` has to be given to cut as this manifest did."""
    stated = manifest["aiw:selection"]
    clusters = resolve_inside(folder, stated["clusters"]) if stated["clusters"] else None
    asked = {name: stated[name] for name in ("fraction", "by", "duplicates", "cap")}
    return asked | {"clusters": clusters}


def _chosen(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """How many documents of each domain each of the two chose, and both."""
    first, second = (table.loc[table["selected"], KEY] for table in (one, other))
    parts = {
        "chosen_one": first,
        "chosen_other": second,
        "chosen_both": first.merge(second, on=KEY),
    }
    counts = {name: part.groupby("domain").size() for name, part in parts.items()}
    return pd.DataFrame(counts).fillna(0).astype(int).rename_axis("domain").reset_index()


def _settings(one: dict[str, Any], other: dict[str, Any]) -> pd.DataFrame:
    """What the two manifests say of model, heads, run and cut, where they differ."""
    first, second = _flat(one), _flat(other)
    rows = [
        (key, first.get(key), second.get(key))
        for key in sorted({*first, *second})
        if first.get(key) != second.get(key)
    ]
    return pd.DataFrame(rows, columns=["setting", "one", "other"])


def _flat(manifest: dict[str, Any]) -> dict[str, Any]:
    run, cut = manifest["aiw:run"], manifest["aiw:selection"]
    model = {f"model.{k}": v for k, v in run["model"].items() if not isinstance(v, dict | list)}
    software = {f"software.{key}": value for key, value in run["software"].items()}
    return {
        **model,
        **software,
        "heads": run["heads"].get("text"),
        **{key: run[key] for key in ("mode", "window", "max_tokens", "formula")},
        **{key: cut[key] for key in ("fraction", "by", "duplicates", "cap", "clusters")},
        "reference": run.get("reference"),
        "read": run.get("read", "start"),
        "by_score": ranked_by(manifest),
        "controls": [entry["heads"] for entry in run.get("controls", [])],
        "texts": manifest["aiw:corpus"]["text_digest"],
        "funnel": manifest.get(FUNNEL, {}).get("settings"),
        "mixture": manifest.get(MIXTURE, {}).get("shares"),
    }


def _moved(one: pd.DataFrame, other: pd.DataFrame, cuts: list[dict[str, Any]]) -> pd.DataFrame:
    """The documents that only one of the two chose, each with the reason."""
    columns = [*KEY, "doc_id", "score", "rank", "selected"]
    both = one[columns].merge(
        other[columns], on=KEY, how="outer", suffixes=("_one", "_other"), indicator=True
    )
    # What each would have chosen with the other's cut: if that settles it, the cut is the reason.
    for name, table, cut in (("one", one, cuts[1]), ("other", other, cuts[0])):
        recut = select(table.drop(columns=["rank", "selected", "repeat"]), **cut)
        again = recut.table[[*KEY, "selected"]].rename(columns={"selected": f"recut_{name}"})
        both = both.merge(again, on=KEY, how="left")
    chosen = {name: both[f"selected_{name}"].eq(True) for name in ("one", "other")}
    moved = both[chosen["one"] != chosen["other"]].copy()
    moved["chosen_by"] = chosen["one"][moved.index].map({True: "one", False: "other"})
    moved["doc_id"] = moved["doc_id_one"].fillna(moved["doc_id_other"])
    same_cut = moved["recut_one"].eq(moved["selected_other"])
    same_cut |= moved["recut_other"].eq(moved["selected_one"])
    moved["why"] = "score"
    moved.loc[moved["score_one"] == moved["score_other"], "why"] = "others"
    moved.loc[same_cut, "why"] = "cut"
    moved.loc[moved["_merge"] != "both", "why"] = "not ranked"
    wanted = [*KEY, "doc_id", "chosen_by", "score_one", "score_other", "rank_one", "rank_other"]
    return moved[[*wanted, "why"]].reset_index(drop=True)
