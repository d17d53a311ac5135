"""A gate in the processes of a run: where they are held is a fact, not a matter of who is faster.

A process that comes to a shut gate says so and waits until it is opened; the other side of it is
`faults.injected`. So what a test does to a run happens while the run is where the test wants it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faults.injected import sitecustomize
from faults.runs import Run, wait_until


class Gate:
    """Shut from the beginning, before the first receipt of each process or where `at` says.

    at: n, before the n-th receipt of each process is published; or the name of a shard, before its
    score file is. path: the file that stands for the gate.
    """

    def __init__(self, path: Path, at: int | str = 1) -> None:
        self.path, self._log = path, Path(f"{path}.held")
        self._log.unlink(missing_ok=True)  # of another gate in the same place
        self.shut(at)

    @property
    def faults(self) -> dict[str, str]:
        """For `Runs.start`: the run and its workers have this gate."""
        return {"gate": str(self.path)}

    @property
    def held(self) -> list[int]:
        """The processes that have come to it, in order."""
        lines = self._log.read_text().splitlines(keepends=True) if self._log.exists() else []
        return [int(line) for line in lines if line.endswith("\n")]

    def wait(self, processes: int = 1, by: Sequence[Run | subprocess.Popen[Any]] = ()) -> list[int]:
        """Wait until so many processes have come to it; `by`: they, or those that start them.

        Who has ended never comes, so it is an error where too few of `by` are left.
        """

        def there() -> bool:
            ended = [one for one in by if not _going(one)]  # before it is looked who has come
            if len(self.held) >= processes:
                return True
            if ended and len(ended) > max(len(by) - processes, 0):
                raise AssertionError(f"ended before the gate: {', '.join(map(_end, ended))}")
            return False

        wait_until(there)
        return self.held

    def shut(self, at: int | str) -> None:
        """Shut it there, from now on, for whoever comes."""
        half = self.path.with_suffix(".new")
        half.write_text(str(at))
        half.rename(self.path)  # nobody reads half a name

    def open(self) -> None:
        """Let go of all who are held; nobody else is."""
        self.path.unlink()


def _going(one: Run | subprocess.Popen[Any]) -> bool:
    return one.poll() is None if isinstance(one, subprocess.Popen) else one.going


def _end(one: Run | subprocess.Popen[Any]) -> str:
    if isinstance(one, subprocess.Popen):
        return f"exit status {one.returncode}"
    return one.complaints()


def environment(**faults: object) -> dict[str, str]:
    """What makes every Python that is started under it do what `faults` says."""
    paths = [str(Path(sitecustomize.__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {"FAULTS": json.dumps(faults), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
