"""Where the rows of a corpus lie: given paths in, an ordered stream of sources out.

A source is one file (or one split of a saved data set, or one data set of the hub) with the name
that stands in every row and every receipt: relative to what was given, never a path of the machine.
Whoever is given the same paths elsewhere finds the same sources, so a name and a range of rows are
enough to send a piece of work to another process.

Remote paths (s3://, gs://, https:// and the like) go through fsspec.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import fsspec

from workbench.columns import folder_domain
from workbench.documents import CorpusError
from workbench.saved_dataset import is_saved_dataset, splits

# In a folder, plain `.json` is a text like any other (package.json); as a given path it is JSONL.
_SHARD = re.compile(r"\.(jsonl|ndjson)(\.gz|\.zst)?$|\.json\.(gz|zst)$|\.parquet$|\.pq$")
_PARQUET = (".parquet", ".pq")
_JSONL = (".jsonl", ".ndjson", ".json", ".gz", ".zst")
_TABLE = (".csv", ".tsv", ".xlsx", ".xls")  # one text to us, a table to their owner
HUB = re.compile(r"hf://([\w.-]+(?:/[\w.-]+)?)(?:@([^:]*)(?::(.+))?)?")
DEEPEST_FOLDER = 100  # folders inside each other
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # more than one letter: not a drive


class Source(NamedTuple):
    """One source of rows. `domain` is that of a file by the sub-folder that it lies in, `split`
    that of a saved data set."""

    name: str
    path: str
    kind: Literal["jsonl", "parquet", "text", "stray", "dataset", "hub"]
    domain: str | None = None
    split: str | None = None


def sources_of(given: Iterable[Any]) -> Iterator[Source]:
    """The sources of the given paths in turn, found as they are asked for.

    Raises CorpusError: at once for a path that is not there, or two of one name (so that no two
    sources are the same); on the way for a folder that cannot be read through.
    """
    found: dict[str, str] = {}
    for path in map(os.fsdecode, given):
        hub = HUB.fullmatch(path)
        if path.startswith("hf://") and not hub:
            raise CorpusError(f"{path!r} is not of the form hf://owner/name[@config[:split]].")
        if not hub and not _exists(path):
            raise CorpusError(f"{path!r} does not exist; give a file, a folder or hf://owner/name.")
        if is_remote(path):
            own_name = path.removeprefix("hf://") if hub else path.rstrip("/").split("/")[-1]
        else:
            own_name = os.path.basename(os.path.abspath(path))  # also of "." and "folder/"
        name = utf8_name(own_name)
        if name in found:
            raise CorpusError(
                f"two given paths are both called {name!r}, so their rows could not be told apart; "
                "give their common parent folder, or rename one."
            )
        found[name] = path
    return _walk(found)


def is_remote(path: str) -> bool:
    """Whether a path is a URL, that of a data set of the hub included."""
    return _REMOTE.match(path) is not None


def opened(path: str) -> IO[bytes]:
    """A local or remote file, for reading bytes."""
    if not is_remote(path):
        return open(path, "rb")
    # Buffered here, since what fsspec opens cannot read a line up to a largest size.
    return io.BufferedReader(fsspec.open(path, "rb").open(), 1 << 16)


def stamp(source: Source) -> tuple[int | None, str]:
    """The size of a source's file in bytes, None where it is not one file or nobody says, and a
    text that is another one when the file was changed."""
    if source.kind in ("hub", "dataset"):
        return None, ""
    if is_remote(source.path):
        files, place = fsspec.url_to_fs(source.path)
        info = files.info(place)
        return info.get("size"), repr(sorted(info.items(), key=lambda item: item[0]))
    found = os.stat(source.path)
    return found.st_size, f"{found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"


def utf8_name(name: str) -> str:
    """A name, or a message with one, that UTF-8 can hold: what it cannot is written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _exists(path: str) -> bool:
    if not is_remote(path):
        return os.path.exists(path)
    try:
        files, place = fsspec.url_to_fs(path)
        return files.exists(place)
    except Exception as error:  # a library that is not installed, the network, a refused login
        raise CorpusError(f"{path!r} cannot be reached: {error}") from error


def _walk(found: dict[str, str]) -> Iterator[Source]:
    for name, path in found.items():
        prefix = f"{name}/" if len(found) > 1 else ""
        if HUB.fullmatch(path):
            yield Source(name, path, "hub")
        elif is_remote(path):
            yield from _remote(name, path, prefix)
        elif is_saved_dataset(Path(path)):
            yield from _splits(path, name)
        elif os.path.isdir(path):
            try:
                yield from _folder(path, prefix, list(_files(Path(path))))
            except OSError as error:
                raise CorpusError(f"{name}: the folder cannot be read through: {error}") from error
        else:
            yield _given_file(name, path)


def _remote(name: str, path: str, prefix: str) -> Iterator[Source]:
    files, place = fsspec.url_to_fs(path)
    if not files.isdir(place):
        yield _given_file(name, path)
        return
    root = files.unstrip_protocol(place).rstrip("/")
    found = sorted(files.unstrip_protocol(one) for one in files.find(place))
    places = [one.removeprefix(f"{root}/") for one in found]
    yield from _folder(root, prefix, [one for one in places if "/." not in f"/{one}"])


def _folder(root: str, prefix: str, places: list[str]) -> Iterator[Source]:
    """The files at `places`, relative to `root`: all of them texts, or shards and strays."""
    if not places:
        raise CorpusError(f"the folder {root!r} holds no file that is not hidden.")
    shards = any(map(_SHARD.search, places))
    for place in places:
        name, path = utf8_name(prefix + place), f"{root}/{place}"
        domain = folder_domain(utf8_name(place).split("/")[:-1])
        if not shards:
            yield Source(name, path, "text", domain)
        elif _SHARD.search(place):
            yield Source(name, path, "parquet" if place.endswith(_PARQUET) else "jsonl", domain)
        else:
            yield Source(name, path, "stray")


def _given_file(name: str, path: str) -> Source:
    if path.endswith(_PARQUET):
        return Source(name, path, "parquet")
    if path.endswith(_JSONL):
        return Source(name, path, "jsonl")
    if path.lower().endswith(_TABLE):
        raise CorpusError(
            f"{name} is a table of a kind that is not read; convert it to Parquet or JSON Lines, "
            "or read it with pandas and give the frame."
        )
    return Source(name, path, "text")


def _files(folder: Path, above: tuple[str, ...] = (), below: str = "") -> Iterator[str]:
    """The files below `folder` that are not hidden, sorted. Links are followed, not in circles."""
    here = os.path.realpath(folder)
    if here in above:
        raise CorpusError(f"{str(folder)!r} is a link to a folder that it lies in; remove it.")
    if len(above) > DEEPEST_FOLDER:
        where = f"more than {DEEPEST_FOLDER} folders lie inside each other"
        raise CorpusError(f"{where} in {below:.100}; give one of them as the corpus.")
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _files(entry, (*above, here), f"{below}{entry.name}/")
        elif entry.is_file():
            yield below + entry.name
        else:
            raise CorpusError(f"{str(entry)!r} is neither a file nor a folder (a dead link?).")


def _splits(path: str, name: str) -> Iterator[Source]:
    try:
        found = splits(Path(path))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{name}: the saved data set cannot be read: {error!s:.500}") from error
    for split, folder in found.items():
        below = f"/{utf8_name(split)}" if split else ""
        yield Source(f"dataset:{name}{below}", str(folder), "dataset", split=split or None)


def datasets_package() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise CorpusError(
            "this corpus needs the package `datasets`, which is not installed; "
            "run: pip install attention-influence-workbench[datasets]"
        ) from error
    return datasets
