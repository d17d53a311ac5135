"""Files on disk: writing so that a reader never sees half a file, hashing, and refusing odd paths.

Scores, receipts and manifests are all published through `write_atomically`.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import secrets
import stat
from collections.abc import Iterator
from typing import IO, Any

# What JSON says in three bytes Python may hold in seventy, so these also bound the memory.
LONGEST_LINE = 64 << 20  # bytes of one line of a text file
LARGEST_JSON = 64 << 20  # bytes of one file of JSON

_ABSOLUTE = re.compile(r"/+[^\s/]|~[^\s/]*/|\\\\|[A-Za-z]:[\\/]|file:/")
# In a sentence a lone "/word" is more often a quotient than a path: two components are asked for.
_MENTIONED = re.compile(
    r"(?<![^\s\"'(=])(?:/+[^\s/]+/|~[^\s/]*/|\\\\|[A-Za-z]:[\\/]|file:/)[^\s\"')]*"
)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> pathlib.Path:
    """Write bytes to a file whole or not at all.

    The bytes go to a temporary file in the same folder (a rename is atomic only inside one file
    system), are forced to disk, and replace the target in one step. An error leaves the old file,
    or no file, and no temporary one.

    Args:
        path: the file to write; its folder must exist.
        data: the bytes.

    Returns:
        The path.

    Raises:
        OSError: the folder cannot be written.
    """
    target = pathlib.Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    # os.open, not tempfile: the user's umask then decides who may read the published file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)
    return target


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes as 64 lower-case hexadecimal digits.

    Args:
        path: the file.
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(
    path: str | os.PathLike[str], most: int = LARGEST_JSON, *, any_unicode: bool = False
) -> Any:
    """The JSON value that a file holds.

    Args:
        path: the file.
        most: the largest size of the file in bytes.
        any_unicode: whether UTF-16, UTF-32 and a byte order mark are read, too, which editors and
            PowerShell write. What is published has to be plain UTF-8, as JSON between machines is
            (RFC 8259).

    Raises:
        ValueError: with the reason, for anything else: bytes that are not UTF-8, text that is not
            JSON or nested too deeply, and an object with a key twice, which two readers may take
            for two different things.
        OSError: the file cannot be read.
    """
    name = pathlib.Path(path).name
    with open(path, "rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{name:.100} has more than {most:,} bytes, too many for such a file")
    try:
        text = data.decode(json.detect_encoding(data) if any_unicode else "utf-8")
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(f"{name:.100} is nested too deeply for JSON") from None
    except ValueError as error:
        raise ValueError(f"{name:.100} is not JSON: {error!s:.200}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.100} stands twice in an object")
    return value


def canonical_json(value: Any) -> str:
    """A JSON value as text that is the same however it was indented and its keys were ordered.

    Args:
        value: the JSON value.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def lines_of(stream: IO[bytes]) -> Iterator[bytes | None]:
    """The lines of a stream, ends included.

    A line of more than LONGEST_LINE bytes is passed over without being held.

    Args:
        stream: open for reading bytes.

    Yields:
        One line after the other; None in place of one that is too long.
    """
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        yield None


def resolve_inside(folder: str | os.PathLike[str], relative: object) -> pathlib.Path:
    """An ordinary file of a folder, reached by an ordinary path.

    A manifest comes from elsewhere, so the names in it may try to reach outside its folder.

    Args:
        folder: the folder that the file must lie in.
        relative: the path in it, with forward slashes.

    Returns:
        `folder / relative`.

    Raises:
        ValueError: with the reason, for anything but a relative path without `.`, `..` or empty
            parts, and for a path with a symbolic link on it or without a regular file at its end.
    """
    if not isinstance(relative, str) or not relative:
        raise ValueError(f"a file path must be a non-empty string, got {relative!r:.200}")
    parts = relative.split("/")
    if (
        any(part in ("", ".", "..") for part in parts)
        or any(character in relative for character in "\\\0")
        or pathlib.PureWindowsPath(relative).drive
    ):
        raise ValueError(
            f"path {relative!r:.200} is not a plain relative path inside the folder; "
            "absolute paths, '..' and backslashes are refused"
        )
    path = pathlib.Path(folder)
    try:
        for part in parts:
            path = path / part
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise ValueError(
                    f"path {relative!r:.200} goes over a symbolic link, which is refused"
                )
    except OSError as error:  # also a name that is too long
        raise ValueError(f"file {relative!r:.200} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise ValueError(f"path {relative!r:.200} is not a regular file")
    return path


def is_absolute(text: str) -> bool:
    """Whether a whole string looks like an absolute path (POSIX, home, Windows or file: URL).

    Args:
        text: the string.
    """
    return _ABSOLUTE.match(text) is not None


def mentions_absolute(text: str) -> bool:
    """Whether an absolute path stands anywhere in a sentence.

    Args:
        text: the sentence.
    """
    return _MENTIONED.search(text) is not None


def redact_paths(value: Any) -> Any:
    """A JSON value in which every absolute path is its last component.

    What is published must not say where on somebody's machine a thing lay.

    Args:
        value: the JSON value; paths in it stand alone or in a sentence.

    Returns:
        The value, copied.
    """
    if isinstance(value, dict):
        return {key: redact_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redact_paths(item) for item in value]
    if isinstance(value, str) and is_absolute(value):
        return _last_component(value)  # the whole of it, since folder names may hold spaces
    if isinstance(value, str):
        return _MENTIONED.sub(lambda path: _last_component(path.group()), value)
    return value


def _last_component(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def _sync_folder(folder: pathlib.Path) -> None:
    """Make the rename itself survive a power cut, where the system lets folders be synced."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
