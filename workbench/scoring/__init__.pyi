"""The names of `workbench.scoring`."""

from .influence import novel_scores, score_documents
from .plan import Plan, plan_scoring
from .report import Failure, RunReport, ScoringFailed
from .run import run_scoring, score_corpus
from .run_folder import load_scores
from .score_table import ScoreTable
from .settings import ScoringSettings

__all__ = [
    "Failure",
    "Plan",
    "RunReport",
    "ScoreTable",
    "ScoringFailed",
    "ScoringSettings",
    "load_scores",
    "novel_scores",
    "plan_scoring",
    "run_scoring",
    "score_corpus",
    "score_documents",
]
