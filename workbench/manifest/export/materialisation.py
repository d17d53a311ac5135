"""From a manifest to the text itself: shards of the chosen documents, checked text by text.

A manifest holds no text, and trainers read files. `materialise` verifies the manifest, streams the
corpus once, and writes each chosen document, found by (source, row), into shards by domain. The
index is written last: a folder without index.json is not finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from workbench.core.files import canonical_json, read_json, resolve_inside, write_atomically
from workbench.core.progress import check_cancelled, progress_bar
from workbench.corpus.document import Document, Skipped
from workbench.corpus.moved_texts import places_of
from workbench.corpus.reading import read_corpus, text_sha256
from workbench.manifest.croissant import SELECTION_FILE
from workbench.manifest.export.text_shards import FORMATS, TextShard
from workbench.manifest.mixture import MIXTURE
from workbench.manifest.selection_rows import SelectionRows
from workbench.manifest.verification.verify import verify_manifest
from workbench.manifest.writing import MANIFEST_FILE

INDEX_FILE, STARTED_FILE, LOCK_FILE = "index.json", ".materialising", ".lock"
FORMAT = 2  # 1: the rows had neither score nor rank
_READ = (1, 2)
Repeats = Literal["copies", "weight"]
_FOLDER = re.compile(r"\d{3,}(-[a-z0-9-]+)?")  # what source_folder gives; nothing else is removed
_SHARD = re.compile(r"\.?shard-\d+\.[a-z.]+?(\.tmp)?")
MOST_REPEATS = 1000
_OPEN_SHARDS = 128  # beyond that the one that was opened first is closed early


class MaterialiseError(ValueError):
    """The corpus does not hold the chosen texts, or the folder is not ours to write into."""


def materialise(
    folder: str | os.PathLike[str],
    corpus: Any,
    out: str | os.PathLike[str],
    *,
    format: str = "jsonl",
    shard_tokens: int = 100_000_000,
    repeat: int | Mapping[str, int] = 1,
    repeats: Repeats = "copies",
    carry: Sequence[str] = (),
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
) -> dict[str, Any]:
    """Write the texts that the manifest in `folder` chose into `out`.

    Documents stand in the order of the corpus, since trainers shuffle what they have tokenized. It
    costs 250 bytes of memory a chosen document, and takes about a second for 18,000 documents of
    250 words on one core, half of them chosen.

    Args:
        folder: with manifest.json and selection.parquet; verified offline before anything else.
        corpus: what was scored, as `read_corpus` takes it: a document is found by source and row.
        out: a new or empty folder, or one that a killed run left, which is begun again; a finished
            one of the same settings is returned as it is. Nothing is written outside of it.
        format: "jsonl", "jsonl.zst" or "parquet", with the columns of text_shards.COLUMNS.
        shard_tokens: a shard is closed once it holds so many tokens, as the scores count them.
        repeat: how often to train on each chosen document, for all or by domain; it multiplies the
            manifest's column `repeat`.
        repeats: "copies" writes a document as often as it is to be trained on, no two copies into
            one shard, so that any trainer repeats it. "weight" writes it once, into a folder of
            its domain and repetition, whose weight in the blend is that many times its tokens.
        carry: names of other columns of the corpus, to be written along in `metadata` (an object of
            JSON; in Parquet its text).
        id: name of the corpus's column of identifiers.
        text: name of the corpus's column of texts, as it was scored.
        domain: name of the corpus's column of domains, or None; the domains that are written are
            those of the manifest.

    Returns:
        The index (index.json), which states by source folder and by shard the documents, lines,
        tokens and sha256; the counts are those of the manifest, or nothing is published. With the
        shares of the manifest's mixture, where it has one.

    Raises:
        VerificationError: for a manifest that does not hold.
        MaterialiseError: for a text that is missing or another one (by name), for an `out` that is
            not empty, and for counts that do not add up; whatever it had written is then removed.
        ValueError: for an argument out of range.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    if repeats not in ("copies", "weight"):
        raise ValueError(f"repeats must be 'copies' or 'weight', got {repeats!r}")
    if not isinstance(shard_tokens, int) or shard_tokens < 1:
        raise ValueError(f"shard_tokens must be a whole number from 1, got {shard_tokens!r}")
    folder, out, columns = Path(folder), Path(out), {"id": id, "text": text, "domain": domain}
    verify_manifest(folder)
    settings = {
        "manifest_digest": _digest(resolve_inside(folder, MANIFEST_FILE)), "format": format,
        "shard_tokens": shard_tokens, "repeats": repeats,
        "repeat": dict(repeat) if isinstance(repeat, Mapping) else repeat, "carry": list(carry),
    }  # fmt: skip
    if out.exists() and not out.is_dir():
        raise MaterialiseError(f"{str(out)!r:.300} is a file; give a new or empty folder")
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / LOCK_FILE, timeout=0):
            if (out / INDEX_FILE).exists():
                return _finished(out, settings)
            _claim(out)
            try:
                chosen = _chosen(resolve_inside(folder, SELECTION_FILE), repeat)
                shards = _Shards(out, format, shard_tokens, repeats, chosen.domains, bool(carry))
                with shards:
                    _write(corpus, columns, carry, chosen, shards)
                index = {"format": FORMAT, "settings": settings, **shards.index(chosen)}
                stated = read_json(resolve_inside(folder, MANIFEST_FILE)).get(MIXTURE)
                if stated is not None:
                    index["mixture"] = stated["shares"]
                write_atomically(out / INDEX_FILE, (json.dumps(index, indent=2) + "\n").encode())
                (out / STARTED_FILE).unlink()
            except BaseException:
                _clear(out)
                raise
    except Timeout:
        raise MaterialiseError(f"another process is writing into {out.name!r}") from None
    return index


def _digest(manifest: Path) -> str:
    """SHA-256 of what a manifest says, however its JSON is formatted."""
    return hashlib.sha256(canonical_json(read_json(manifest)).encode()).hexdigest()


def read_index(out: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the index of a finished folder.

    Args:
        out: the folder that `materialise` finished.

    Returns:
        The content of index.json.

    Raises:
        MaterialiseError: if it is not there or of another form.
    """
    try:
        index = json.loads(resolve_inside(out, INDEX_FILE).read_bytes())
    except ValueError as error:
        raise MaterialiseError(
            f"{Path(out).name!r} is not a materialised folder: {error}"
        ) from None
    if not isinstance(index, dict) or index.get("format") not in _READ:
        raise MaterialiseError(
            f"{INDEX_FILE} in {Path(out).name!r} is not of a format that this version reads "
            f"({', '.join(map(str, _READ))}): materialise into a new folder"
        )
    return index


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


def _chosen(selection: Path, repeat: int | Mapping[str, int]) -> SelectionRows:
    """The chosen rows; their column `repeat` is multiplied by what was asked for."""
    columns = ("domain", "tokens", "score", "rank", "repeat")
    chosen = SelectionRows(selection, columns, chosen_only=True)
    factors = _factors(repeat, chosen.domains)
    chosen.columns["repeat"] = chosen.columns["repeat"] * factors[chosen.columns["domain"]]
    return chosen


def _factors(repeat: int | Mapping[str, int], domains: list[str]) -> np.ndarray:
    """How often each domain is to be repeated, int64, in the order of `domains`."""
    by_domain = repeat if isinstance(repeat, Mapping) else dict.fromkeys(domains, repeat)
    unknown = sorted(set(by_domain) - set(domains))
    if unknown:
        raise ValueError(f"repeat names the domains {unknown!r:.200}, of which nothing is chosen")
    factors = [by_domain.get(name, 1) for name in domains]
    if not all(isinstance(factor, int) and 1 <= factor <= MOST_REPEATS for factor in factors):
        raise ValueError(f"repeat must be whole numbers from 1 to {MOST_REPEATS}, got {repeat!r}")
    return np.array(factors, np.int64)


def _write(
    corpus: Any,
    columns: dict[str, Any],
    carry: Sequence[str],
    chosen: SelectionRows,
    shards: _Shards,
) -> None:
    """Put every chosen document of the corpus into its shards, its text checked."""
    seen = np.zeros(len(chosen), bool)
    left = len(chosen)
    with progress_bar("Materialising", "documents", left) as done:
        for item in read_corpus(corpus, **columns, carry=carry):
            if not left:
                break
            place = chosen.find(item.source, item.row)
            if place is None or seen[place]:
                check_cancelled()
                continue
            name = f"document {item.doc_id!r:.100} ({item.source!r:.200} row {item.row})"
            if isinstance(item, Skipped):
                raise MaterialiseError(f"{name} is chosen, but cannot be read: {item.reason:.200}")
            stated, actual = chosen.digests[place].tobytes(), text_sha256(item.text)
            if actual != stated.hex():
                raise MaterialiseError(
                    f"{name} has another text than was scored: its sha256 is {actual}, the "
                    f"manifest says {stated.hex()}{_elsewhere(corpus, columns, stated)}; give the "
                    "corpus (and text column) that was scored"
                )
            seen[place] = True
            left -= 1
            try:
                shards.write(item, chosen, place)
            except ValueError as error:  # a carried value that JSON does not hold
                raise MaterialiseError(f"{name}: {error}; leave the column out of carry=") from None
            done(1)
    if left:
        missing = np.flatnonzero(~seen)[:3].tolist()
        names = [chosen.key(place) for place in missing]
        first = chosen.digests[missing[0]].tobytes()
        raise MaterialiseError(
            f"{left} of {len(chosen)} chosen documents are not in the corpus, first "
            f"{names!r:.300} (source, row){_elsewhere(corpus, columns, first)}; give the corpus "
            "that was scored"
        )


def _elsewhere(corpus: Any, columns: dict[str, Any], digest: bytes) -> str:
    """Where in the corpus a text stands that is not at its place, for a message."""
    places = places_of(corpus, [digest], **columns)
    if places is None:
        return ""
    if digest not in places:
        return "; the first text is nowhere else in the corpus either"
    return (
        f"; the text of the first now stands at {places[digest]}, so the corpus was moved or "
        "re-ordered, not changed"
    )


class _Shards:
    """The shards by source folder. Closing publishes them, unless by an error."""

    def __init__(
        self,
        out: Path,
        format: str,
        shard_tokens: int,
        repeats: Repeats,
        domains: list[str],
        metadata: bool,
    ) -> None:
        self._out, self._format, self._most, self._repeats = out, format, shard_tokens, repeats
        self._metadata = metadata
        self._numbers = {name: number for number, name in enumerate(sorted(domains))}
        self._open: dict[tuple[str, int], tuple[TextShard, dict[str, Any]]] = {}
        self._sources: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, failed: Any, *_: Any) -> None:
        for key in list(self._open):
            if failed:
                self._open.pop(key)[0].abandon()
            else:
                self._close(key)

    def write(self, document: Document, chosen: SelectionRows, place: int) -> None:
        stated = {name: column[place].item() for name, column in chosen.columns.items()}
        domain, repeat = chosen.domains[stated["domain"]], stated["repeat"]
        row = {
            "id": document.doc_id, "text": document.text, "domain": domain,
            "source": document.source, "row": document.row, "tokens": stated["tokens"],
            "score": stated["score"], "rank": stated["rank"],
        }  # fmt: skip
        if self._metadata:
            row["metadata"] = document.carried
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
        return TextShard(self._out / path, self._format, self._metadata), entry

    def _close(self, key: tuple[str, int]) -> None:
        shard, entry = self._open.pop(key)
        try:
            entry |= shard.finish()
        except BaseException:
            shard.abandon()
            raise

    def index(self, chosen: SelectionRows) -> dict[str, Any]:
        """Totals, and what lies in each folder; the totals must be those of what was chosen."""
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


def _finished(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The index of a folder that is finished already; an error unless it is the one asked for."""
    index = read_index(out)
    other = sorted(key for key in settings if index["settings"].get(key) != settings[key])
    if other:
        raise MaterialiseError(
            f"{out.name!r} holds texts of other settings (they differ in {', '.join(other)}); "
            "give a new folder"
        )
    for source in index["sources"]:
        for shard in source["shards"]:
            size = resolve_inside(out, shard["path"]).stat().st_size
            if size != shard["bytes"]:
                raise MaterialiseError(f"{shard['path']} was changed since; give a new folder")
    (out / STARTED_FILE).unlink(missing_ok=True)
    return index


def _claim(out: Path) -> None:
    """Take a folder that is empty, or that a killed run left; mark it as unfinished."""
    if (out / STARTED_FILE).is_file():
        _clear(out)
    others = sorted(entry.name for entry in out.iterdir() if entry.name != LOCK_FILE)
    if others:
        raise MaterialiseError(
            f"{out.name!r} is not empty (it holds {others[0]!r:.100}); give a new folder"
        )
    write_atomically(out / STARTED_FILE, b"")


def _clear(out: Path) -> None:
    """Remove what a run wrote that did not finish, and nothing else; the mark goes last."""
    for folder in out.iterdir():
        if _FOLDER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            for file in folder.iterdir():
                if _SHARD.fullmatch(file.name):
                    file.unlink()
            if not any(folder.iterdir()):
                folder.rmdir()
    for file in [*out.glob(f".{INDEX_FILE}.*.tmp"), *out.glob(f".{STARTED_FILE}.*.tmp")]:
        file.unlink()
    (out / INDEX_FILE).unlink(missing_ok=True)
    (out / STARTED_FILE).unlink(missing_ok=True)
