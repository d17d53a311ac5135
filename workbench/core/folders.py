"""Folders that replace an older one: at every moment a whole old or a whole new one can be read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def replace_folder(made: Path, folder: Path) -> None:
    """Put a finished folder in the place of an older one.

    No portable call swaps two folders, so an older one waits as `.NAME.old` until the new one
    stands. Whatever ends this process, `standing_folder` names a whole one. One process at a time
    may replace a folder.

    Args:
        made: the finished folder, in the same file system as `folder`.
        folder: the folder to replace; it need not be there.

    Raises:
        OSError: the file system refuses; an older folder can then still be read.
    """
    for path in made.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    old, gone = _aside(folder, "old"), _aside(folder, "gone")
    shutil.rmtree(gone, ignore_errors=True)
    if folder.exists():
        if old.exists():  # a crash came after the new one stood
            _remove(old, gone)
        folder.rename(old)
    try:
        made.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    if old.exists():
        _remove(old, gone)


def standing_folder(folder: Path) -> Path:
    """Where a whole folder can be read: itself, or the older one if a crash took its place away.

    Nothing is moved, since another process may be replacing it.

    Args:
        folder: a folder that `replace_folder` makes.

    Returns:
        The folder to read; `folder` itself if there never was one.
    """
    old = _aside(folder, "old")
    return old if old.exists() and not folder.exists() else folder


def _aside(folder: Path, what: str) -> Path:
    return folder.with_name(f".{folder.name}.{what}")


def _remove(old: Path, gone: Path) -> None:
    old.rename(gone)  # so that what is half removed is never taken for the older folder
    shutil.rmtree(gone, ignore_errors=True)
