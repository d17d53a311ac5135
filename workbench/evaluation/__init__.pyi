"""The names of `workbench.evaluation`."""

from .chains import reasoning_chains
from .changed_documents import PairedResponse, counterfactuals, paired_response
from .comparison_texts import other_texts
from .few_shot import few_shot_tasks
from .lm_harness import Evaluation, evaluate, evaluation_items
from .mirror_effect import mirror, mirror_items, mirror_summary
from .score_tests import ScoreTests, judge_scores
from .tasks import Item, Task, built_in_tasks

__all__ = [
    "Evaluation",
    "Item",
    "PairedResponse",
    "ScoreTests",
    "Task",
    "built_in_tasks",
    "counterfactuals",
    "evaluate",
    "evaluation_items",
    "few_shot_tasks",
    "judge_scores",
    "mirror",
    "mirror_items",
    "mirror_summary",
    "other_texts",
    "paired_response",
    "reasoning_chains",
]
