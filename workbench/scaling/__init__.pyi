"""The names of `workbench.scaling`."""

from .fitting import averaged_and_summed, fit_law, hold_out_largest, synthetic_runs
from .law_comparison import compare_laws, compare_optima
from .law_fit import LawFit, refit
from .laws.book import LAWS
from .laws.forms import Powers, PowerTerms
from .laws.law import Check, Law, Optimum, OutsideDomain
from .laws.quantity import Quantity
from .mixture_plans import sample_mixtures
from .mixtures import BestMixture, MixtureFit, fit_mixture
from .power_sum import ScalingFit
from .run_tables import IsoFlop, decisions, isoflop, rate_sensitivity

__all__ = [
    "LAWS",
    "BestMixture",
    "Check",
    "IsoFlop",
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
    "decisions",
    "fit_law",
    "fit_mixture",
    "hold_out_largest",
    "isoflop",
    "rate_sensitivity",
    "refit",
    "sample_mixtures",
    "synthetic_runs",
]
