"""An environment of its own for each peer, made when the benchmark first needs it.

The peers are no dependency of the workbench: their packages are pinned in requirements/ and lie
below .bench/, where `make clean` finds them.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.settings import HERE, WORKDIR

PEERS = ("transformer-lens", "nnsight")


class Unavailable(RuntimeError):
    """This peer's environment cannot be made here."""


def python_of(contestant: str) -> str:
    """The interpreter that a contestant runs in; makes a peer's environment if it is not there."""
    if contestant not in PEERS:
        return sys.executable
    wanted = HERE / "requirements" / f"{contestant}.txt"
    folder, mark = WORKDIR / contestant, WORKDIR / contestant / "made-from"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    python = folder / "bin" / "python"
    if mark.is_file() and mark.read_text(encoding="ascii") == digest and python.exists():
        return str(python)
    print(f"making the environment of {contestant} (about three minutes, once) ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(wanted)])
    except Unavailable:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    mark.write_text(digest, encoding="ascii")
    return str(python)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        said = " ".join(lines) or done.stderr.strip() or done.stdout.strip()
        raise Unavailable(f"its environment could not be made: {without_places(said)[-300:]}")


def without_places(text: str) -> str:
    """`text` without addresses and folders: they say where this ran, and nothing else."""
    text = re.sub(r"\b(?:https?|file)://\S+", "(address)", text)
    return re.sub(r"(?<![\w.])/[\w.+-]+(?:/[\w.+-]*)+", lambda m: Path(m.group()).name, text)
