"""Paths that are URLs: opened, listed and named through fsspec, without telling their secrets.

A URL may carry a credential: in its query (a signed link) or before its host (a password). It
serves to open the file and stands nowhere else: not in a source's name, not in a message.

A chain is read from left to right, as fsspec does: `zip://in/a.jsonl::s3://bucket/x.zip` is a file
in an archive that lies in a bucket; `simplecache::https://host/a.jsonl` is fetched whole first.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import urllib.parse
from collections.abc import Iterator
from typing import IO, Any

import fsspec

from workbench.corpus.document import CorpusError

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]+"  # more than one letter: not a drive of Windows
_REMOTE = re.compile(rf"(?:{_SCHEME}(?:://)?::)*{_SCHEME}://")
_CACHES = ("simplecache", "filecache", "blockcache")
_NO_QUERY = ("", "file", "local", "memory", "zip", "tar", "libarchive")  # `?` is part of a name
_QUERY = re.compile(rf"({_SCHEME}://[^\s'\"<>?#]*)[?#][^\s'\"<>]*")
_USER = re.compile(rf"({_SCHEME}://)[^\s'\"/@]*@")
_SHORTEST_SECRET = 6  # characters of a value of a query that messages must not repeat
_MAGIC = re.compile(r"[*\[]")  # of patterns; a `?` begins a query


def is_remote(path: str) -> bool:
    """Whether a path is a URL or a chain of them, that of a data set of the hub included.

    Args:
        path: a path or URL.
    """
    return _REMOTE.match(path) is not None


def absolute(path: str) -> str:
    """The same path for a process that stands in another folder; of a chain, its last link.

    Args:
        path: a path or URL.
    """
    if not is_remote(path):
        return os.path.abspath(path)
    *links, last = path.split("::")
    return path if "://" in last else "::".join([*links, os.path.abspath(last)])


def name_of(path: str) -> str:
    """The last part of the path of a URL, without its query; "" for a URL that has no path.

    The root of an archive is called like the archive.

    Args:
        path: a URL.
    """
    for link in _uncached(path).split("::"):
        place = _without_query(link).rpartition("://")[2]
        if name := place.rstrip("/").rpartition("/")[2]:
            return name
    return ""


def shown(path: str) -> str:
    """The path as a message may show it: without query and password.

    Args:
        path: a path or URL.
    """
    if not is_remote(path):
        return path
    return "::".join(_USER.sub(r"\1", _without_query(link)) for link in path.split("::"))


def without_credentials(message: str, path: str) -> str:
    """A message of another library about a path, without what `shown` leaves out.

    Args:
        message: the message.
        path: the path or URL that it is about.
    """
    if not is_remote(path):
        return message
    query = path.partition("?")[2]
    secrets = [query, urllib.parse.unquote(query), urllib.parse.quote(query)]
    for _, value in urllib.parse.parse_qsl(query):
        secrets += [value, urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value)]
    for user in re.findall(r"://([^\s'\"/@]*)@", path):
        secrets += [user, *user.split(":")[1:]]
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            message = message.replace(secret, "...")
    return _USER.sub(r"\1", _QUERY.sub(r"\1", message))


@contextlib.contextmanager
def reached(path: str) -> Iterator[None]:
    """Turn what a file system raises, which may be anything, into a CorpusError without secrets.

    Its cause is an OSError, as of all that may go well the next time.

    Args:
        path: the URL that is reached inside the `with` block.

    Raises:
        CorpusError: the block raised anything.
    """
    try:
        yield
    except Exception as error:
        text = without_credentials(f"{error!s:.500}" or type(error).__name__, path)
        if isinstance(error, ImportError) and "aiohttp" in text:
            text = "https:// needs the package `aiohttp`; run: pip install '.[http]'"
        elif path.startswith("hf://"):
            text += (
                " (a file of the hub is hf://datasets/OWNER/NAME/PATH, a data set hf://owner/name)"
            )
        # No trace of the error itself: a traceback would tell its text, and the URL in it.
        raise CorpusError(f"{shown(path)!r} cannot be reached: {text}") from OSError(text)


def opened(path: str) -> IO[bytes]:
    """A local or remote file, for reading bytes; with `peek`.

    It is not seekable where a web server sends files from their beginning only.

    Args:
        path: a path or URL.

    Raises:
        OSError: a local file cannot be opened.
        CorpusError: a remote file cannot be reached.
    """
    if not is_remote(path):
        return open(path, "rb")
    with reached(path):
        files, place = fsspec.url_to_fs(path)
        whole = is_web(path) and path == _uncached(path) and not _gives_ranges(files, place)
        raw = files.open(place, "rb", **({"block_size": 0} if whole else {}))
        if whole:
            raw.seekable = lambda: False  # it says that it is
        # Buffered here, since what fsspec opens cannot read a line up to a largest size.
        stream: Any = io.BufferedReader(raw, 1 << 16)
        stream.file_system = files  # an archive is closed when nothing holds it any more
        return stream


def is_web(path: str) -> bool:
    """Whether a path is that of a web server, which knows of files alone.

    Args:
        path: a path or URL.
    """
    return _target(path)[1].lower().startswith(("http://", "https://"))


def _gives_ranges(files: Any, place: str) -> bool:
    """Whether a web server sends a part of a file, which it need not say beforehand."""
    with files.open(place, "rb", block_size=0, headers={"Range": "bytes=0-0"}) as asked:
        return bool(asked.r.status == 206)


def exists(path: str) -> bool:
    """Whether there is such a file or folder.

    Args:
        path: a URL.

    Raises:
        CorpusError: nobody can say.
    """
    with reached(path):
        files, place = _files(path)
        return bool(files.exists(place))


def is_folder(path: str) -> bool:
    """Whether a remote path is a folder.

    Args:
        path: a URL.

    Raises:
        CorpusError: nobody can say.
    """
    with reached(path):
        files, place = _files(path)
        return bool(files.isdir(place))


def file_signature(path: str) -> tuple[int | None, str]:
    """The signature of a remote file, which differs when the file was changed.

    Args:
        path: a URL.

    Returns:
        The size in bytes, None if nobody says, and a text that changes with the file.
    """
    with reached(path):
        files, place = _files(path)
        info = files.info(place)
        info = {key: value for key, value in info.items() if key != "url"}  # redirected, it is new
        return info.get("size"), repr(sorted(info.items(), key=lambda item: item[0]))


def is_pattern(path: str) -> bool:
    """Whether a URL stands for all files that match it: it has a `*` or a `[`.

    Args:
        path: a URL.
    """
    return _MAGIC.search(_target(path)[1].partition("://")[2]) is not None


def files_below(path: str) -> tuple[str, list[str]]:
    """The files of a remote folder, or those that a pattern matches.

    Args:
        path: a URL of a folder, or a pattern.

    Returns:
        The folder, or the one that the pattern begins with, and the places of the files in it,
        sorted.
    """
    before, link, after = _target(path)
    scheme, _, below = _without_query(link).partition("://")
    if is_pattern(path):
        below = _MAGIC.split(below)[0].rpartition("/")[0]
    top = "::".join([*before, f"{scheme}://{below.rstrip('/')}", *after])
    places: list[Any] = []
    with reached(path):
        files, place = _files(path)
        if is_pattern(path):
            with contextlib.suppress(FileNotFoundError):
                places = [each for each in files.glob(place) if not files.isdir(each)]
        else:
            places = files.find(place)
        root = _files(top)[1].rstrip("/") + "/"
    inside = [str(each).removeprefix(root).removeprefix("/") for each in places]
    # What web servers list beside files: the same folder in another order.
    return top, sorted(each for each in inside if scheme in _NO_QUERY or "?" not in each)


def child(folder: str, place: str) -> str:
    """The path of a file below a remote folder.

    Args:
        folder: the folder, as `files_below` gives it.
        place: the place in it, as `files_below` gives it.
    """
    before, link, after = _target(folder)
    between = "" if link.endswith("://") else "/"
    return "::".join([*before, f"{link}{between}{place}", *after])


def _files(path: str) -> tuple[Any, str]:
    return fsspec.url_to_fs(_uncached(path))


def _uncached(path: str) -> str:
    """The chain without the caches in front of it, which only matter to who reads the file."""
    return path.split("::", len(_target(path)[0]))[-1]


def _target(path: str) -> tuple[list[str], str, list[str]]:
    """The caches in front of a chain, the link with the path, and the links behind."""
    links = path.split("::")
    first = 0
    while first < len(links) - 1 and links[first].removesuffix("://") in _CACHES:
        first += 1
    return links[:first], links[first], links[first + 1 :]


def _without_query(link: str) -> str:
    scheme = link.partition("://")[0] if "://" in link else ""
    return link if scheme.lower() in _NO_QUERY else re.split(r"[?#]", link)[0]
