"""The names of `workbench.evaluation`."""

from .few_shot import few_shot_tasks
from .lm_harness import Evaluation, evaluate, evaluation_items
from .mirror_effect import mirror, mirror_items, mirror_summary
from .tasks import Item, Task, built_in_tasks

__all__ = [
    "Evaluation",
    "Item",
    "Task",
    "built_in_tasks",
    "evaluate",
    "evaluation_items",
    "few_shot_tasks",
    "mirror",
    "mirror_items",
    "mirror_summary",
]
