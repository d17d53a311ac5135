"""The folders of a materialised selection: one a domain and repetition, its shards open in turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from workbench.corpus.document import Document
from workbench.manifest.export.text_shards import TextShard
from workbench.manifest.selection_rows import SelectionRows
from workbench.selection.schema import SelectionColumn

Repeats = Literal["copies", "weight"]
_OPEN_SHARDS = 128  # beyond that the one that was opened first is closed early


class MaterialiseError(ValueError):
    """The corpus does not hold the chosen texts, or the folder is not ours to write into."""


def source_folder(number: int, domain: str, repeat: int) -> str:
    """A folder name for any domain whatever: its number keeps it unique, on any file system.

    Args:
        number: of the domain in the order of names.
        domain: its name.
        repeat: how often its documents are repeated; above 1 it is a part of the name.

    Returns:
        Such as "003-web-x2": digits, and at most 40 letters, digits and hyphens of the name.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", domain[:60].lower()).strip("-")[:40].strip("-")
    often = f"x{repeat}" if repeat > 1 else ""
    return "-".join(filter(None, (f"{number:03}", slug, often)))


class ShardFolders:
    """The shards by source folder. Closing publishes them, unless by an error.

    Args:
        out: the folder that they lie in.
        format: one of FORMATS.
        shard_tokens: a shard is closed once it holds so many tokens.
        repeats: "copies" writes a document as often as it is to be trained on, "weight" once.
        domains: names of all domains that anything is written of.
        columns: of the rows, as `shard_columns` gives them.
    """

    def __init__(
        self,
        out: Path,
        format: str,
        shard_tokens: int,
        repeats: Repeats,
        domains: list[str],
        columns: Sequence[SelectionColumn],
    ) -> None:
        self._out, self._format, self._most, self._repeats = out, format, shard_tokens, repeats
        self._schema = pa.schema([(column.name, column.arrow) for column in columns])
        self._numbers = {name: number for number, name in enumerate(sorted(domains))}
        self._open: dict[tuple[str, int], tuple[TextShard, dict[str, Any]]] = {}
        self._sources: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> ShardFolders:
        return self

    def __exit__(self, failed: Any, *_: Any) -> None:
        for key in list(self._open):
            if failed:
                self._open.pop(key)[0].abandon()
            else:
                self._close(key)

    def write(self, document: Document, chosen: SelectionRows, place: int) -> None:
        """Put a chosen document into its shards.

        Args:
            document: read from the corpus.
            chosen: the chosen rows, with the columns of the shards that a selection has.
            place: of the document among them.

        Raises:
            ValueError: for a carried value that JSON does not hold.
        """
        stated = {name: column[place].item() for name, column in chosen.columns.items()}
        domain, repeat = chosen.domains[stated["domain"]], stated["repeat"]
        known = stated | {
            "id": document.doc_id, "text": document.text, "domain": domain,
            "source": document.source, "row": document.row, "metadata": document.carried,
        }  # fmt: skip
        row = {name: known[name] for name in self._schema.names}
        copies, weight = (repeat, 1) if self._repeats == "copies" else (1, repeat)
        source = self._source(domain, weight)
        source["documents"] += 1
        for copy in range(copies):  # each into a shard of its own
            key = (source["folder"], copy)
            if key not in self._open:
                self._open[key] = self._next_shard(source)
            shard, _ = self._open[key]
            shard.write(row)
            if shard.tokens >= self._most:
                self._close(key)
        while len(self._open) > _OPEN_SHARDS:
            self._close(next(iter(self._open)))

    def _source(self, domain: str, repeat: int) -> dict[str, Any]:
        folder = source_folder(self._numbers[domain], domain, repeat)
        if folder not in self._sources:
            (self._out / folder).mkdir()
            self._sources[folder] = {
                "folder": folder, "domain": domain, "repeat": repeat, "documents": 0, "shards": [],
            }  # fmt: skip
        return self._sources[folder]

    def _next_shard(self, source: dict[str, Any]) -> tuple[TextShard, dict[str, Any]]:
        path = f"{source['folder']}/shard-{len(source['shards']):05}.{self._format}"
        entry = {"path": path}
        source["shards"].append(entry)
        return TextShard(self._out / path, self._format, self._schema), entry

    def _close(self, key: tuple[str, int]) -> None:
        shard, entry = self._open.pop(key)
        try:
            entry |= shard.finish()
        except BaseException:
            shard.abandon()
            raise

    def index(self, chosen: SelectionRows) -> dict[str, Any]:
        """Totals, and what lies in each folder; the totals must be those of what was chosen.

        Args:
            chosen: the chosen rows, with tokens and repeat.

        Returns:
            documents, lines, tokens, bytes and trained_tokens, and `sources`, an object a folder.

        Raises:
            MaterialiseError: the counts do not add up.
        """
        sources = []
        for _, source in sorted(self._sources.items()):
            sums = {
                name: sum(shard[name] for shard in source["shards"])
                for name in ("lines", "tokens", "bytes")
            }
            trained = sums["tokens"] * source["repeat"]
            sources.append({**source, **sums, "trained_tokens": trained})
        totals = {
            name: sum(source[name] for source in sources)
            for name in ("documents", "lines", "tokens", "bytes", "trained_tokens")
        }
        due = len(chosen), int((chosen.columns["tokens"] * chosen.columns["repeat"]).sum())
        if (totals["documents"], totals["trained_tokens"]) != due:
            raise MaterialiseError(f"the counts do not add up: {totals}, chosen were {due}")
        return {**totals, "sources": sources}
