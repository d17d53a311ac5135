"""The names of `workbench.scaling`."""

from .fitting import averaged_and_summed, fit_law, hold_out_largest, synthetic_runs
from .law import ScalingFit
from .mixture_plans import sample_mixtures
from .mixtures import BestMixture, MixtureFit, fit_mixture

__all__ = [
    "BestMixture",
    "MixtureFit",
    "ScalingFit",
    "averaged_and_summed",
    "fit_law",
    "fit_mixture",
    "hold_out_largest",
    "sample_mixtures",
    "synthetic_runs",
]
