"""The names of `workbench.selection`."""

from .alternative_scores import (
    chosen_by,
    compare_scorers,
    largest_rank_changes,
    matched_selection,
    scorers,
    selected_only_by,
)
from .exposure_counts import exposures
from .filter_funnel import Funnel, funnel
from .funnel_judges import PatternJudge, VerdictJudge
from .rank_agreement import agreement, agreement_along
from .ranking import Selection, select
from .selector_comparison import compare_selectors, merge_score_tables
from .selector_overlap import SelectorAgreement, selector_agreement

__all__ = [
    "Funnel",
    "PatternJudge",
    "Selection",
    "SelectorAgreement",
    "VerdictJudge",
    "agreement",
    "agreement_along",
    "chosen_by",
    "compare_scorers",
    "compare_selectors",
    "exposures",
    "funnel",
    "largest_rank_changes",
    "matched_selection",
    "merge_score_tables",
    "scorers",
    "select",
    "selected_only_by",
    "selector_agreement",
]
