"""The names of `workbench.scaling`."""

from .fitting import averaged_and_summed, fit_law, hold_out_largest, synthetic_runs
from .law import Check, Law, Optimum, OutsideDomain, Powers, PowerTerms, Quantity
from .law_book import LAWS
from .law_comparison import compare_laws, compare_optima
from .law_fit import LawFit, refit
from .mixtures import MixtureFit, fit_mixture
from .power_sum import ScalingFit

__all__ = [
    "LAWS",
    "Check",
    "Law",
    "LawFit",
    "MixtureFit",
    "Optimum",
    "OutsideDomain",
    "PowerTerms",
    "Powers",
    "Quantity",
    "ScalingFit",
    "averaged_and_summed",
    "compare_laws",
    "compare_optima",
    "fit_law",
    "fit_mixture",
    "hold_out_largest",
    "refit",
    "synthetic_runs",
]
