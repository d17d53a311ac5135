"""The names of `workbench.figures`."""

from .analysis import cluster_bars, coverage_dots, selection_map, statistic_dots, word_overlap_dots
from .heads import head_map, head_report_figure, lookup_bars, masking_curve, ranked_heads, token_map
from .mixtures import mixture_shares, mixture_simplex
from .scaling import (
    agreement_curve,
    isoflop_curves,
    law_curves,
    retention_curve,
    scaling_curve,
    sensitivity_curves,
)
from .score_tests import response_dots, score_test_dots
from .selection import confound_matrix, confound_panel, influence_histogram, scorer_matrix
from .tasks import mirror_bars, mirror_dots
from .theme import themed
from .training import (
    evolution_curve,
    evolution_maps,
    gain_bars,
    memorisation_curve,
    mirror_scatter,
    training_curve,
)

__all__ = [
    "agreement_curve",
    "cluster_bars",
    "confound_matrix",
    "confound_panel",
    "coverage_dots",
    "evolution_curve",
    "evolution_maps",
    "gain_bars",
    "head_map",
    "head_report_figure",
    "influence_histogram",
    "isoflop_curves",
    "law_curves",
    "lookup_bars",
    "masking_curve",
    "memorisation_curve",
    "mirror_bars",
    "mirror_dots",
    "mirror_scatter",
    "mixture_shares",
    "mixture_simplex",
    "ranked_heads",
    "response_dots",
    "retention_curve",
    "scaling_curve",
    "score_test_dots",
    "scorer_matrix",
    "selection_map",
    "sensitivity_curves",
    "statistic_dots",
    "themed",
    "token_map",
    "training_curve",
    "word_overlap_dots",
]
