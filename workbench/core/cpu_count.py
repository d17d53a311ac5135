"""How many cores this process may compute on, which is often fewer than the machine has."""

from __future__ import annotations

import os

from joblib import cpu_count


def cores() -> int:
    """The cores that affinity and the CPU limit of the container leave to this process."""
    return int(cpu_count())


def keep_torch_within_cores() -> None:
    """Let torch compute with no more threads than there are `cores`.

    It heeds affinity but not a container's limit on CPU time, and threads beyond that limit only
    wait for each other. A number that the user set by OMP_NUM_THREADS stays, and so does a smaller
    one.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > cores():
        torch.set_num_threads(cores())
