"""What to say where a processor computes bfloat16 far faster than the float32 that it was given."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from workbench.models.model import Model

CPUINFO = Path("/proc/cpuinfo")  # Linux alone has one
AMX = frozenset({"amx_tile", "amx_bf16"})
WORTH_IT = 20_000_000  # parameters of a model that takes any time at all


def cpu_flags() -> frozenset[str]:
    """What the first processor can do, in the words of Linux; nothing on other systems."""
    try:
        with CPUINFO.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, flags = line.partition(":")
                if name.strip() == "flags":
                    return frozenset(flags.split())
    except OSError:
        pass
    return frozenset()


def say_if_faster(model: Model) -> None:
    """Say that a model in float32 would be faster in bfloat16, where the processor has AMX.

    Args:
        model: as it was loaded; nothing is said of small ones, of other devices and dtypes.
    """
    if model.dtype != torch.float32 or model.device.type != "cpu" or not cpu_flags() >= AMX:
        return
    if sum(parameter.numel() for parameter in model.hf.parameters()) < WORTH_IT:
        return
    warnings.warn(
        "this CPU has AMX and dtype='bfloat16' is faster on it than float32: 5.6 s instead of "
        "14.4 s for 16 documents, scores within .0054, rank correlation .994 (default model, one "
        "run, one CPU with AMX); dtype='float32' keeps it as it is, without this line",
        stacklevel=3,
    )
