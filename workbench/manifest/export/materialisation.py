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
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from workbench.core.files import canonical_json, read_json, resolve_inside, write_atomically
from workbench.core.progress import check_cancelled, progress_bar
from workbench.corpus.document import Skipped
from workbench.corpus.moved_texts import places_of
from workbench.corpus.reading import read_corpus, text_sha256
from workbench.manifest.croissant import SELECTION_FILE, by_score_term, ranked_by
from workbench.manifest.export.shard_columns import shard_columns, stated_columns
from workbench.manifest.export.shard_dataset import CROISSANT_FILE, shard_dataset
from workbench.manifest.export.shard_folders import MaterialiseError, Repeats, ShardFolders
from workbench.manifest.export.text_shards import FORMATS
from workbench.manifest.mixture import MIXTURE
from workbench.manifest.selection_rows import SelectionRows
from workbench.manifest.verification.verify import verify_manifest
from workbench.manifest.writing import MANIFEST_FILE
from workbench.selection.residual import RESIDUAL

INDEX_FILE, STARTED_FILE, LOCK_FILE = "index.json", ".materialising", ".lock"
# 1: the rows had neither score nor rank; 2: the paper's score alone, whatever ranked; 3: also the
# column that the manifest ranks by, and a statement of the columns, in the index and as Croissant
FORMAT = 3
_READ = (1, 2, FORMAT)
_FOLDER = re.compile(r"\d{3,}(-[a-z0-9-]+)?")  # what source_folder gives; nothing else is removed
_SHARD = re.compile(r"\.?shard-\d+\.[a-z.]+?(\.tmp)?")
MOST_REPEATS = 1000


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
        format: "jsonl", "jsonl.zst" or "parquet", with the columns of shard_columns.COLUMNS: the
            paper's score and the rank among them. Where the manifest ranks by another column, that
            one goes along under its name.
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
        columns, the one that ranked with its formula (`by_score`), and the shares of the manifest's
        mixture, where it has one. croissant.json says the same to readers of Croissant. A folder
        that an older version finished is returned as it is.

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
    manifest = read_json(resolve_inside(folder, MANIFEST_FILE))
    by_score = by_score_term(manifest["aiw:run"], ranked_by(manifest))
    written = shard_columns(by_score, bool(carry))
    settings = {
        "manifest_digest": hashlib.sha256(canonical_json(manifest).encode()).hexdigest(),
        "format": format,
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
                chosen = _chosen(resolve_inside(folder, SELECTION_FILE), repeat, by_score["column"])
                shards = ShardFolders(out, format, shard_tokens, repeats, chosen.domains, written)
                with shards:
                    _write(corpus, columns, carry, chosen, shards)
                index = {
                    "format": FORMAT, "settings": settings, "by_score": by_score,
                    "columns": stated_columns(written), **shards.index(chosen),
                }  # fmt: skip
                stated = manifest.get(MIXTURE)
                if stated is not None:
                    index["mixture"] = stated["shares"]
                described = shard_dataset(manifest, index, written)
                write_atomically(out / CROISSANT_FILE, _pretty(described))
                write_atomically(out / INDEX_FILE, _pretty(index))
                (out / STARTED_FILE).unlink()
            except BaseException:
                _clear(out)
                raise
    except Timeout:
        raise MaterialiseError(f"another process is writing into {out.name!r}") from None
    return index


def _pretty(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


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


def _chosen(selection: Path, repeat: int | Mapping[str, int], by_score: str) -> SelectionRows:
    """The chosen rows; their column `repeat` is multiplied by what was asked for."""
    columns = dict.fromkeys(("domain", "tokens", "score", by_score, "rank", "repeat"))
    columns.pop(RESIDUAL, None)  # which is in no file
    chosen = SelectionRows(selection, list(columns), chosen_only=True)
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
    shards: ShardFolders,
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
    for name in (INDEX_FILE, CROISSANT_FILE, STARTED_FILE):
        for file in out.glob(f".{name}.*.tmp"):
            file.unlink()
    for name in (INDEX_FILE, CROISSANT_FILE):
        (out / name).unlink(missing_ok=True)
    (out / STARTED_FILE).unlink(missing_ok=True)
