"""Where the rows of a corpus lie: given paths in, an ordered stream of sources out.

A source is one file (or one split of a saved data set, or one data set of the hub) with the name
that stands in every row and every receipt: relative to what was given, never a path of the machine
and never the query of a URL. Whoever is given the same paths elsewhere finds the same sources, so a
name and a range of rows are enough to send a part of the work to another process.

Remote paths (s3://, gs://, https:// and the like) go through fsspec, see
`workbench.corpus.readers.remote`.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from workbench.corpus.columns import folder_domain
from workbench.corpus.document import CorpusError
from workbench.corpus.readers import remote
from workbench.corpus.readers.compression import Compression
from workbench.corpus.readers.formats import (
    KIND_NAMES,
    Format,
    NotReadError,
    RowKind,
    format_of,
    tells_format,
)
from workbench.corpus.readers.remote import is_remote, opened, shown
from workbench.corpus.readers.saved_dataset import is_saved_dataset, splits

__all__ = ["Source", "file_signature", "is_remote", "opened", "sources_of", "utf8_name"]

HUB = re.compile(r"hf://([\w.-]+(?:/[\w.-]+)?)(?:@([^:]*)(?::(.+))?)?")
_HUB_FILES = re.compile(
    r"hf://(?:datasets|spaces|models|buckets)(?=[/@]|$)"
)  # no owner is so called
_HUB_FILE = re.compile(rf"{_HUB_FILES.pattern}/[^/]+/[^/]+/.+")
_HUB_PAGE = re.compile(r"https?://huggingface\.co/datasets/([\w.-]+/[\w.-]+)/?")
DEEPEST_FOLDER = 100  # folders inside each other
# What Hadoop, Spark, Arrow and Delta leave beside the files of a table.
_MARKER = re.compile(r"(^|/)(_SUCCESS|_(committed|started)_[^/]*|_(common_)?metadata)$")
_DELTA_LOG = re.compile(r"(^|/)_delta_log/")
# Texts that tell of the files beside them, which are no less the files of a table for that.
_ABOUT = re.compile(
    r"(^|/)(readme|licen[cs]e|notice|copying|citation|datasheet|dataset_info|metadata)[^/]*$", re.I
)


class Source(NamedTuple):
    """One source of rows.

    Attributes:
        name: its name in rows, receipts and manifests.
        path: where it is opened; may hold a credential, and is never written down.
        kind: how it is read; "unsupported": of no format that is read, see `reason`.
        domain: the domain of a file by the sub-folder that it lies in.
        split: the split of a saved data set.
        compression: the compression of the file as a whole.
        reason: why an unsupported file is not read.
    """

    name: str
    path: str
    kind: RowKind | Literal["text", "unsupported", "dataset", "hub"]
    domain: str | None = None
    split: str | None = None
    compression: Compression | None = None
    reason: str | None = None


class _Given(NamedTuple):
    """A path that was given; files: those that match, where it is a pattern."""

    path: str
    files: list[str] | None = None


def sources_of(paths: Iterable[Any]) -> Iterator[Source]:
    """The sources of the given paths in turn, found as they are asked for.

    A path that is not there and has a `*`, `?` or `[` in it stands for all files that match it
    (`**` for folders inside each other), each called as in the folder that the pattern begins with.

    Args:
        paths: paths, patterns and URLs.

    Raises:
        CorpusError: at once for a path that is not there, or two of one name (so that no two
            sources are the same); on the way for a folder that cannot be read through, and for a
            file of a format that is not read.
    """
    by_name: dict[str, _Given] = {}
    for path in map(os.fsdecode, paths):
        name, entry = _look_up(path)
        before = by_name.get(name)
        if before and before.files is not None and entry.files and before.path == entry.path:
            files = sorted({*before.files, *entry.files})  # two patterns in one folder
            entry = entry._replace(files=files)
        elif before:
            raise CorpusError(
                f"two given paths are both called {name!r}, so their rows could not be kept apart; "
                "give their common parent folder, or rename one."
            )
        by_name[name] = entry
    return _walk(by_name)


def _look_up(path: str) -> tuple[str, _Given]:
    """A given path and its name, if there is such a thing."""
    if path.startswith("hf://"):
        if HUB.fullmatch(path) and not _HUB_FILES.match(path):
            return utf8_name(path.removeprefix("hf://")), _Given(path)
        if not _HUB_FILE.fullmatch(path):
            raise CorpusError(
                f"{path!r} is not of the form hf://owner/name[@config[:split]], which streams a "
                "data set of the hub, nor hf://datasets/OWNER/NAME/PATH, a file or folder there."
            )
    if page := _HUB_PAGE.fullmatch(path):
        raise CorpusError(f"{path!r} is a page about a data set: give hf://{page[1]}")
    if is_remote(path):
        return _look_up_remote(path)
    if not os.path.exists(path):
        if not glob.has_magic(path):
            raise CorpusError(f"{path!r} does not exist; give a file, a folder or hf://owner/name.")
        return _matching(path)
    if not os.path.isdir(path) and not os.path.isfile(path):
        raise CorpusError(
            f"{path!r} is neither a file nor a folder; a corpus is read several times, which a "
            "pipe cannot be: write it to a file and give that."
        )
    # The name also of "." and "folder/".
    return utf8_name(os.path.basename(os.path.abspath(path))), _Given(path)


def _look_up_remote(path: str) -> tuple[str, _Given]:
    if remote.is_pattern(path):
        root, files = remote.files_below(path)
        if not files:
            raise CorpusError(f"{shown(path)!r} matches no file.")
        return utf8_name(remote.name_of(root) or "files"), _Given(root, files)
    if not remote.exists(path):
        raise CorpusError(
            f"{shown(path)!r} does not exist; give a file, a folder or hf://owner/name."
        )
    if not (name := remote.name_of(path)):
        raise CorpusError(f"{shown(path)!r} names no file and no folder.")
    return utf8_name(name), _Given(path)


def _matching(pattern: str) -> tuple[str, _Given]:
    """The folder that a local pattern begins with, and the files that match."""
    parts = Path(pattern).parts
    fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    root = os.path.abspath(os.path.join("", *parts[:fixed]))
    below = os.path.join(*parts[fixed:])
    files = [
        place.replace(os.sep, "/")
        for place in sorted(glob.glob(below, root_dir=root, recursive=True))
        if os.path.isfile(os.path.join(root, place))
    ]
    if not files:
        raise CorpusError(f"{pattern!r} matches no file.")
    return utf8_name(os.path.basename(root)) or "files", _Given(root, files)


def file_signature(source: Source) -> tuple[int | None, str]:
    """The signature of a source's file, which differs when the file was changed.

    Args:
        source: the source.

    Returns:
        The size in bytes, None where it is not one file or nobody says, and a text that is another
        one when the file was changed.
    """
    if source.kind in ("hub", "dataset"):
        return None, ""
    if is_remote(source.path):
        return remote.file_signature(source.path)
    state = os.stat(source.path)
    return state.st_size, f"{state.st_ino} {state.st_mtime_ns} {state.st_ctime_ns}"


def utf8_name(name: str) -> str:
    """A name, or a message with one, that UTF-8 can hold: what it cannot is written as escapes.

    Args:
        name: the name.
    """
    return name.encode("utf-8", "backslashreplace").decode()


def _walk(by_name: dict[str, _Given]) -> Iterator[Source]:
    for name, (path, files) in by_name.items():
        prefix = f"{name}/" if len(by_name) > 1 else ""
        if HUB.fullmatch(path):
            yield Source(name, path, "hub")
        elif files is not None:
            yield from _folder(path, prefix, files, given=True)
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
    # Web servers send the whole file to whoever asks whether it is a folder.
    if not (remote.is_web(path) and tells_format(name)) and remote.is_folder(path):
        root, places = remote.files_below(path)
        yield from _folder(root, prefix, [place for place in places if "/." not in f"/{place}"])
    else:
        yield _given_file(name, path)


def _folder(root: str, prefix: str, places: list[str], given: bool = False) -> Iterator[Source]:
    """The files at `places`, relative to `root`: all of them texts, or all shards of rows.

    What is of the other kind, or of none, is given as unsupported.

    given: whether they were given by a pattern, and not just all that lies there.
    """
    places = [place for place in places if not _MARKER.search(place)]
    if not places:
        raise CorpusError(f"the folder {shown(root)!r} holds no file that is not hidden.")
    if any(map(_DELTA_LOG.search, places)):
        raise CorpusError(
            f"the folder {shown(root)!r} is a Delta table, whose files hold deleted rows, too: "
            "export it to Parquet and give that folder."
        )
    formats = [_format_in_folder(root, place, given) for place in places]
    if not any(isinstance(form, Format) for form in formats):
        raise CorpusError(f"{utf8_name(prefix + places[0])}: {formats[0]}")
    shards = _are_shards(places, formats)
    for place, form in zip(places, formats, strict=True):
        name, path = utf8_name(prefix + place), _below(root, place)
        domain = folder_domain(utf8_name(place).split("/")[:-1])
        if isinstance(form, str):
            yield Source(name, path, "unsupported", reason=form)
        elif shards and form.kind == "text":
            reason = "not a JSONL, CSV or Parquet file, in a folder of such shards"
            yield Source(name, path, "unsupported", reason=reason)
        elif form.kind == "text":
            yield Source(name, path, "text", domain)
        elif shards:
            yield Source(name, path, form.kind, domain, compression=form.compression)
        else:
            what = KIND_NAMES[form.kind]
            reason = f"a file of {what} in a folder of texts: give it by itself"
            yield Source(name, path, "unsupported", reason=reason)


def _are_shards(places: list[str], formats: list[Format | str]) -> bool:
    """Whether the files of a folder are rows, and not texts with a table among them."""
    rows = [form for form in formats if isinstance(form, Format) and form.kind != "text"]
    if any(form.sure for form in rows):
        return True
    return bool(rows) and all(
        _ABOUT.search(place)
        for place, form in zip(places, formats, strict=True)
        if isinstance(form, Format) and form.kind == "text"
    )


def _format_in_folder(root: str, place: str, given: bool) -> Format | str:
    """The format of a file, or why it is not read."""
    try:
        return format_of(place, _below(root, place), given)
    except NotReadError as error:
        return str(error)


def _below(root: str, place: str) -> str:
    return remote.child(root, place) if is_remote(root) else f"{root}/{place}"


def _given_file(name: str, path: str) -> Source:
    try:
        form = format_of(name, path, given=True)
    except (NotReadError, OSError) as error:
        raise CorpusError(f"{name}: {error}") from error
    return Source(name, path, form.kind, compression=form.compression)


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
        folders = splits(Path(path))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{name}: the saved data set cannot be read: {error!s:.500}") from error
    for split, folder in folders.items():
        below = f"/{utf8_name(split)}" if split else ""
        yield Source(f"dataset:{name}{below}", str(folder), "dataset", split=split or None)


def datasets_package() -> Any:
    """The package `datasets`, imported when it is needed.

    Raises:
        CorpusError: it is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise CorpusError(
            "this corpus needs the package `datasets`, which is not installed; "
            "run: pip install attention-influence-workbench[datasets]"
        ) from error
    return datasets
