"""Small and read-only disks: real file systems, mounted while a test lasts."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


def mountable(folder: Path) -> bool:
    """Whether this process may mount file systems."""
    try:
        with small_disk(folder, 64):
            return True
    except PermissionError:
        return False


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A tmpfs of so many KiB at `folder`. Raises PermissionError where mounting is refused."""
    folder.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def ext4_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """The same as an ext4 in a file, through a loop device."""
    folder.mkdir(exist_ok=True)
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(kilobytes * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", image], check=True)
    _mount("-o", "loop", str(image), str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(folder: Path, kilobytes: int) -> None:
    """Give a `small_disk` another size."""
    _mount("-o", f"remount,size={kilobytes}k", str(folder))


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[str]:
    """Nothing can be written below `folder` in the block; yields by what. Root passes over
    permissions, so for root it is a read-only mount, or else the immutable flag of the files."""
    if os.geteuid() != 0:
        folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        modes = [inner.stat().st_mode for inner in folders]
        for inner in folders:
            inner.chmod(0o555)
        try:
            yield "permissions"
        finally:
            for inner, mode in zip(folders, modes, strict=True):
                inner.chmod(mode)
        return
    try:
        _mount("--bind", str(folder), str(folder))
    except PermissionError:
        subprocess.run(["chattr", "-R", "+i", folder], check=True)  # else the test fails, loudly
        try:
            yield "chattr +i"
        finally:
            subprocess.run(["chattr", "-R", "-i", folder], check=True)
        return
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield "a read-only mount"
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*options: str) -> None:
    try:
        done = subprocess.run(["mount", *options], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise PermissionError("there is no mount command") from error
    if done.returncode:
        raise PermissionError(done.stderr)
