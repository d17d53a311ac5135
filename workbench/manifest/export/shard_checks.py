"""Whether a materialised folder still holds what it says, and what its manifest chose."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import canonical_json, read_json, resolve_inside, sha256_of
from workbench.core.parquet import batches
from workbench.corpus.reading import text_sha256
from workbench.manifest.croissant import SELECTION_FILE, by_score_term, ranked_by
from workbench.manifest.export.materialisation import read_index
from workbench.manifest.export.shard_columns import shard_columns, stated_columns
from workbench.manifest.export.shard_folders import MaterialiseError
from workbench.manifest.selection_rows import SelectionRows
from workbench.manifest.writing import MANIFEST_FILE

_OF_FORMAT_1 = ["id", "text", "domain", "source", "row", "tokens"]


def verify_materialised(
    out: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> dict[str, Any]:
    """Check a materialised folder against its index and the manifest that its texts were chosen by.

    Every shard has the stated size and SHA-256. Every row has the stated columns, is a chosen one,
    has the text that was scored, and the rank, the paper's score and the score that ranked it as
    `selection.parquet` has them; every chosen document is there. The manifest itself is checked by
    `verify_manifest`. Folders of older versions, which state no columns, are held to those that
    their version wrote.

    Args:
        out: the folder that `materialise` finished.
        folder: with manifest.json and selection.parquet.

    Returns:
        documents, lines, shards, columns (each with name, type and meaning) and by_score (the
        column that ranked and its formula).

    Raises:
        MaterialiseError: something does not hold, and what.
        ValueError: `folder` holds no manifest that can be read.
    """
    out, index = Path(out), read_index(out)
    manifest = read_json(resolve_inside(folder, MANIFEST_FILE))
    digest = hashlib.sha256(canonical_json(manifest).encode()).hexdigest()
    if index["settings"]["manifest_digest"] != digest:
        raise MaterialiseError(
            f"{out.name!r} was materialised from another manifest than the one in "
            f"{Path(folder).name!r}; give the folder of that one"
        )
    by_score = by_score_term(manifest["aiw:run"], ranked_by(manifest))
    stated = stated_columns(shard_columns(by_score, bool(index["settings"].get("carry"))))
    names = [column["name"] for column in stated]
    if index["format"] < 3:
        own = _OF_FORMAT_1 if index["format"] == 1 else [*_OF_FORMAT_1, "score", "rank"]
        stated = [column for column in stated if column["name"] in (*own, "metadata")]
        names = [column["name"] for column in stated]
    elif (index.get("by_score"), index.get("columns")) != (by_score, stated):
        raise MaterialiseError(
            f"the index of {out.name!r} states other columns than the manifest's selection gives"
        )
    compared = [name for name in names if name in ("tokens", "score", "rank", by_score["column"])]
    chosen = SelectionRows(
        resolve_inside(folder, SELECTION_FILE), list(dict.fromkeys(compared)), chosen_only=True
    )
    seen = np.zeros(len(chosen), bool)
    shards = [shard for source in index["sources"] for shard in source["shards"]]
    for shard in shards:
        path = resolve_inside(out, shard["path"])
        if path.stat().st_size != shard["bytes"] or sha256_of(path) != shard["sha256"]:
            raise MaterialiseError(f"{shard['path']} was changed since it was written")
        for number, row in enumerate(_rows(path, index["settings"]["format"]), 1):
            place = _checked(row, names, compared, chosen, f"line {number} of {shard['path']}")
            seen[place] = True
    if not seen.all():
        missing = chosen.key(int(np.flatnonzero(~seen)[0]))
        raise MaterialiseError(
            f"{int((~seen).sum())} of {len(chosen)} chosen documents are in no shard, first "
            f"{missing!r:.300} (source, row)"
        )
    return {
        "documents": len(chosen), "lines": sum(shard["lines"] for shard in shards),
        "shards": len(shards), "columns": stated, "by_score": by_score,
    }  # fmt: skip


def _checked(
    row: Mapping[str, Any],
    names: list[str],
    compared: list[str],
    chosen: SelectionRows,
    where: str,
) -> int:
    """The place of a row among the chosen, which it must agree with."""
    if list(row) != names:
        raise MaterialiseError(f"{where} has the columns {list(row)!r:.200}, expected {names}")
    place = chosen.find(row["source"], row["row"])
    if place is None:
        raise MaterialiseError(f"{where}, {row['id']!r:.100}, is no document that was chosen")
    if text_sha256(row["text"]) != chosen.digests[place].tobytes().hex():
        raise MaterialiseError(f"{where}, {row['id']!r:.100}, has another text than was scored")
    for name in compared:
        if row[name] != chosen.columns[name][place]:
            raise MaterialiseError(
                f"{where}, {row['id']!r:.100}, has {name} {row[name]!r}, the manifest says "
                f"{chosen.columns[name][place].item()!r}"
            )
    return place


def _rows(path: Path, format: str) -> Iterator[dict[str, Any]]:
    """The rows of a shard, one after the other."""
    if format == "parquet":
        with path.open("rb") as stream, pq.ParquetFile(stream, pre_buffer=False) as file:
            for batch in batches(file, stream, file.schema_arrow.names, most_rows=1 << 10):
                yield from batch.to_pylist()
        return
    with pa.input_stream(path, compression="zstd" if format == "jsonl.zst" else None) as stream:
        left = b""
        while piece := stream.read(1 << 20):
            *lines, left = (left + piece).split(b"\n")
            yield from map(json.loads, lines)
    if left:
        yield json.loads(left)
