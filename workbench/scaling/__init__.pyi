"""The names of `workbench.scaling`."""

from .fitting import averaged_and_summed, fit_law, hold_out_largest, synthetic_runs
from .law import ScalingFit
from .mixtures import MixtureFit, fit_mixture

__all__ = [
    "MixtureFit",
    "ScalingFit",
    "averaged_and_summed",
    "fit_law",
    "fit_mixture",
    "hold_out_largest",
    "synthetic_runs",
]
