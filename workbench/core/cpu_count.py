"""How many cores this process may compute on, which is often fewer than the machine has."""

from __future__ import annotations

from joblib import cpu_count


def cores() -> int:
    """The cores that affinity and the CPU limit of the container leave to this process."""
    return int(cpu_count())
