"""What a materialised folder is, as Croissant 1.1 JSON-LD: its shards, their columns, their origin.

It states nothing that the index and the manifest do not, for readers who know neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.manifest.croissant import (
    CONFORMS_TO,
    CONTEXT,
    DESCRIPTION,
    file_object,
    provenance,
)
from workbench.selection.schema import SelectionColumn

CROISSANT_FILE = "croissant.json"


def shard_dataset(
    manifest: Mapping[str, Any], index: Mapping[str, Any], columns: Sequence[SelectionColumn]
) -> dict[str, Any]:
    """Describe a materialised folder to readers of Croissant.

    Args:
        manifest: that the texts were chosen by.
        index: of the folder, with its sources and shards.
        columns: of the shards.

    Returns:
        The document, to be written as JSON. It is the same for the same manifest and texts.
    """
    by_score, ending = index["by_score"], index["settings"]["format"]
    shards = [shard for source in index["sources"] for shard in source["shards"]]
    files = [file_object(shard["path"], shard["sha256"], shard["bytes"]) for shard in shards]
    if ending == "jsonl.zst":
        for file in files:
            file["encodingFormat"] = "application/zstd"
    encodings = {file["encodingFormat"] for file in files}
    every = {
        "@type": "cr:FileSet", "@id": "shards", "name": "shards",
        "encodingFormat": encodings.pop() if encodings else "application/jsonlines",
        "includes": f"*/shard-*.{ending}",
    }  # fmt: skip
    fields = [
        {
            "@type": "cr:Field", "@id": f"texts/{column.name}", "name": column.name,
            "description": column.meaning, "dataType": column.croissant,
            "source": {"fileSet": {"@id": "shards"}, "extract": {"column": column.name}},
        }
        for column in columns
    ]  # fmt: skip
    license = manifest.get("license")
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"{manifest['name']}-texts",
        "description": f"{DESCRIPTION} These are the chosen texts, ranked by the column "
        f"{by_score['column']}: {by_score['formula']}.",
        **({"license": license} if license else {}),
        "citeAs": manifest["citeAs"],
        "version": "1.0.0",
        "datePublished": manifest["datePublished"],
        **provenance(dict(manifest)),
        "distribution": [*files, every],
        "recordSet": [
            {
                "@type": "cr:RecordSet", "@id": "texts", "name": "texts",
                "description": "One row a chosen document, and copy of it.", "field": fields,
            }
        ],
    }  # fmt: skip
