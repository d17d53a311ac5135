"""The trainers' own packages, in a folder of their own: they are no dependency of the workbench.

They are laid beside our packages without what those depend on (torch and numpy are here already),
once, below .bench/, where `make clean` finds them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
WORKDIR = HERE.parent.parent / ".bench"


class Unavailable(RuntimeError):
    """The packages cannot be had here."""


def packages() -> Path:
    """The folder with the packages of requirements.txt; made (about 10 seconds) if not there."""
    wanted = HERE / "requirements.txt"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = WORKDIR / f"trainers-{digest}"
    if folder.is_dir():
        return folder
    WORKDIR.mkdir(exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix="trainers-", dir=WORKDIR))
    try:
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--quiet"]
        done = subprocess.run(
            [*command, "--target", str(making), "--requirement", str(wanted)],
            capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        if done.returncode:
            raise Unavailable(f"pip could not install them: {done.stderr.strip()[-300:]}")
        os.rename(making, folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        if not folder.is_dir():  # another process may have been faster
            raise Unavailable(f"they could not be installed: {error}") from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder
