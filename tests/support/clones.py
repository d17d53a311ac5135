"""A clone of this project as a newcomer has it: what git tracks, and no environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from support.paths import ROOT


def clone(folder: Path) -> Path:
    """Lay down in `folder` the tracked files as they are now, changes included, as a commit."""
    listed = git(ROOT, "ls-files", "-z").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all", "--force")
    git(folder, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "clone")
    return folder


def git(folder: Path, *words: str) -> str:
    """What a git command prints in `folder`."""
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def newcomer() -> dict[str, str]:
    """The environment of somebody who has just opened a terminal: none of this session's own."""
    ours = ("PYTEST_", "JUPYTER_", "MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTHONPATH", "HF_", "TQDM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
