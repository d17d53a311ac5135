"""The shard index of a run folder: all shards of a corpus of files, for processes that share them.

It is made in one pass over the corpus and kept in `catalogue.jsonl`, the name that the files of
older versions have.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock

from workbench.core.files import write_atomically
from workbench.core.progress import progress_bar
from workbench.corpus.columns import Named
from workbench.corpus.document import CorpusError
from workbench.corpus.readers.rows import row_offsets
from workbench.corpus.reading import read_corpus
from workbench.corpus.sources import Source, file_signature, sources_of
from workbench.scoring.shards import Shard, cut

SHARD_INDEX_FILE = "catalogue.jsonl"
_FORMAT = 3  # of the file; in 1, an id that came before was refused


@dataclass(frozen=True)
class ShardIndex:
    """All shards of a corpus of files.

    Attributes:
        shards: in the order of the corpus.
        files: bytes and SHA-256 of each source that they were cut from, by its name.
        cut_by: the columns, the size of a shard, and the names of the sources.
    """

    shards: tuple[Shard, ...]
    files: Mapping[str, tuple[int, str]]
    cut_by: Mapping[str, Any]


def shard_index_of(
    corpus: Sequence[str | os.PathLike[str]],
    columns: Named,
    size: int,
    folder: Path,
    part: tuple[int, int] = (1, 1),
    notes: list[str] | None = None,
) -> ShardIndex:
    """The shard index of a corpus of files: that of `folder` if it still holds, else a new one.

    It holds if it was cut in the same way and every source has the bytes that it had. Several parts
    only look whether they are as many, since n calls that each hash the corpus would take n times
    as long. (Every shard's own digest is looked at when it is read.) A new one replaces it, and why
    that was is said in the title of its progress. What is kept tells no text and no path. One call
    at a time looks or makes one.

    Args:
        corpus: paths.
        columns: names of the columns of id, text and domain.
        size: documents of a shard.
        folder: the run folder.
        part: (i, n) of this call.
        notes: why a new one was made is added to it.

    Returns:
        The index.

    Raises:
        CorpusError: rows cannot be read alone (data sets streamed from the hub), or files change
            while they are looked through.
    """
    with filelock.FileLock(folder / ".catalogue"):
        return _shard_index_of(corpus, columns, size, folder, part, [] if notes is None else notes)


def _shard_index_of(
    corpus: Sequence[str | os.PathLike[str]],
    columns: Named,
    size: int,
    folder: Path,
    part: tuple[int, int],
    notes: list[str],
) -> ShardIndex:
    sources = list(sources_of(corpus))
    if hubs := [source.name for source in sources if source.kind == "hub"]:
        raise CorpusError(
            f"hf://{hubs[0]} comes as one stream, which several workers cannot share: score it in "
            "one process, or download it and give the folder"
        )
    cut_by = {
        "columns": dict(columns),
        "size": size,
        "sources": [source.name for source in sources],
    }
    before, why = _stored(folder / SHARD_INDEX_FILE)
    if before is not None:
        why = _outdated(before, cut_by, sources, part)
        if why is None:
            return before
    if why is not None:
        notes.append(f"the shard index was made anew: {why}")
    signatures = list(map(file_signature, sources))
    title = "looking through the corpus" + (f" again, since {why}" if why else "")
    with progress_bar(title, "doc", None) as done:
        shards = []
        for shard, documents in cut(read_corpus(list(corpus), **columns), size):
            shards.append(shard)
            done(len(documents))
    made = _with_offsets(shards, sources, cut_by)
    moved = [
        source.name
        for source, before in zip(sources, signatures, strict=True)
        if file_signature(source) != before
    ]
    if moved:
        raise CorpusError(
            f"{moved[0]} was changed while the corpus was looked through ({len(moved)} files "
            "were): start again when nothing writes to it"
        )
    _store(made, folder / SHARD_INDEX_FILE)
    return made


def is_current(index: ShardIndex, folder: Path) -> bool:
    """Whether another part has made another index since.

    Args:
        index: of this call.
        folder: the run folder.

    Returns:
        Whether the folder still holds this one.
    """
    return _stored(folder / SHARD_INDEX_FILE)[0] == index


def _outdated(
    before: ShardIndex,
    cut_by: Mapping[str, Any],
    sources: Sequence[Source],
    part: tuple[int, int],
) -> str | None:
    """Why an index does not hold any more; None if it does."""
    earlier, now = before.cut_by["sources"], cut_by["sources"]
    if any(source.kind == "dataset" for source in sources):
        # Its files are the library's affair.
        return "a saved data set is looked through every time"
    if {**before.cut_by, "sources": now} != cut_by:
        return "it was cut by other columns or another shard_size"
    if earlier != now:
        more, fewer = len(set(now) - set(earlier)), len(set(earlier) - set(now))
        return f"the corpus has {more:,} sources more and {fewer:,} fewer than it had"
    with progress_bar("comparing the corpus with its shard index", "file", len(sources)) as done:
        for source in sources:
            size, digest = before.files[source.name]
            present_size = file_signature(source)[0]
            if present_size != size or (part[1] == 1 and row_offsets(source, ())[0] != digest):
                return f"{source.name} was changed"
            done(1)
    return None


def _with_offsets(
    shards: Sequence[Shard], sources: Sequence[Source], cut_by: Mapping[str, Any]
) -> ShardIndex:
    starts: dict[str, set[int]] = {}
    for rows in (rows for shard in shards for rows in shard.row_ranges):
        starts.setdefault(rows.source, set()).add(rows.start)
    files, places = {}, {}
    for source in sources:
        if source.kind == "dataset":
            continue
        digest, size, offsets = row_offsets(source, starts.get(source.name, ()))
        files[source.name] = (size, digest)
        places.update({(source.name, row): offset for row, offset in offsets.items()})
    placed = []
    for shard in shards:
        row_ranges = [
            replace(rows, offset=places.get((rows.source, rows.start), 0))
            for rows in shard.row_ranges
        ]
        placed.append(replace(shard, row_ranges=tuple(row_ranges)))
    return ShardIndex(tuple(placed), files, cut_by)


def _store(index: ShardIndex, path: Path) -> None:
    head = {"format": _FORMAT, "cut_by": index.cut_by, "files": index.files}
    values = [head, *(shard.to_json() for shard in index.shards)]
    lines = "".join(json.dumps(value) + "\n" for value in values).encode()
    write_atomically(path, lines + _end_of(lines))


def _end_of(lines: bytes) -> bytes:
    """The last line of the file: a digest of the others.

    Without it a flipped digit in a place would be taken for a changed text in every later run.
    """
    return json.dumps({"sha256": hashlib.sha256(lines).hexdigest()}).encode() + b"\n"


def _stored(path: Path) -> tuple[ShardIndex | None, str | None]:
    """The shard index in a file, or None and why a file that is there cannot be used.

    It is made anew then, which costs one pass and no score.
    """
    try:
        *lines, end = path.read_bytes().splitlines(keepends=True)
        if end != _end_of(b"".join(lines)):
            return None, "the one in the folder is damaged"
        head, *shards = map(json.loads, lines)
        if head["format"] != _FORMAT:
            return None, "the one in the folder is of another version of the workbench"
        files = {name: (size, digest) for name, (size, digest) in head["files"].items()}
        return ShardIndex(tuple(map(Shard.from_json, shards)), files, head["cut_by"]), None
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"the one in the folder cannot be read ({type(error).__name__})"
