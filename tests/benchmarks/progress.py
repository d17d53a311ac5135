"""Lines that say what is being measured and how long the section will still take."""

from __future__ import annotations

import time


class Progress:
    """total: the work of a section in any unit, the same that `step` is told."""

    def __init__(self, section: str, total: float) -> None:
        self.section, self.total, self.done = section, total, 0.0
        self.start = time.monotonic()

    def step(self, what: str, work: float) -> None:
        """Say that `what` is done, and guess from the pace so far when the rest will be."""
        self.done += work
        elapsed = time.monotonic() - self.start
        left = elapsed / self.done * max(self.total - self.done, 0)
        print(f"  {self.section}: {what}; about {_plain(left)} left", flush=True)


def _plain(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
