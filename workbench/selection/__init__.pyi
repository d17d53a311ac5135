"""The names of `workbench.selection`."""

from .alternative_scores import (
    chosen_alone,
    chosen_by,
    compare_scorers,
    lifted,
    matched_selection,
    scorers,
)
from .cascade import Cascade, select_cascade
from .rank_agreement import agreement, agreement_along
from .ranking import Selection, select
from .selector_comparison import compare_selectors, side_by_side

__all__ = [
    "Cascade",
    "Selection",
    "agreement",
    "agreement_along",
    "chosen_alone",
    "chosen_by",
    "compare_scorers",
    "compare_selectors",
    "lifted",
    "matched_selection",
    "scorers",
    "select",
    "select_cascade",
    "side_by_side",
]
