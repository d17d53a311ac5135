"""The names of `workbench.scoring`."""

from .columns.controls import control_sets
from .columns.own_columns import Column, score_column
from .folder.reading import load_scores
from .influence import novel_scores, score_documents
from .plan import Plan, plan_scoring
from .report import Failure, RunReport, ScoringFailed
from .run import run_scoring, score_corpus
from .score_table import ScoreTable
from .settings import ScoringSettings
from .step_scores import StepInfluence, split_steps, step_influence

__all__ = [
    "Column",
    "Failure",
    "Plan",
    "RunReport",
    "ScoreTable",
    "ScoringFailed",
    "ScoringSettings",
    "StepInfluence",
    "control_sets",
    "load_scores",
    "novel_scores",
    "plan_scoring",
    "run_scoring",
    "score_column",
    "score_corpus",
    "score_documents",
    "split_steps",
    "step_influence",
]
