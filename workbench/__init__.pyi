"""The names of `workbench`, for type checkers, completion and `__init__.py`."""

from . import figures
from .aligned import documents_of
from .alternative_scores import (
    chosen_alone,
    chosen_by,
    compare_scorers,
    lifted,
    matched_selection,
    scorer_confounds,
    scorers,
)
from .analysis import confounds, selection_statistics
from .attention import CannotMask
from .blends import write_blends
from .browse import ScoredCorpus
from .bulk_selection import FileSelection, select_files
from .cascade import Cascade, select_cascade
from .certificate import Certificate, NotCertified, certify
from .clusters import cluster_documents, cluster_table, coverage
from .colouring import HeadColours
from .corpus import CorpusError, Document, Skipped, read_corpus
from .decoder import Decoder, train_tokenizer
from .deduplication import NearDuplicates, near_duplicates
from .effects import HeadEffects, head_effects
from .embeddings import embed
from .environment import environment_corpus
from .evaluation import evaluate, evaluation_items
from .few_shot import few_shot_tasks
from .head_card import HeadReport
from .head_evolution import Evolution, evolution
from .heads import Head, HeadSet
from .influence import score_documents
from .llm_judge import judge, judged_shares
from .locos import CannotSplit, locos_scores
from .lookup_corpus import lookup_probes, lookup_text, lookup_tokenizer
from .losses import token_losses
from .manifest import write_manifest
from .manifest_comparison import ManifestComparison, compare_manifests
from .masking import head_means, masked
from .masking_curves import masking_curve
from .materialisation import materialise
from .mirror_effect import mirror, mirror_items, mirror_summary
from .mixtures import MixtureFit, fit_mixture
from .models import Model, from_transformers, load_model
from .novelty import novel_scores
from .plan import Plan, plan_scoring
from .probes import Probe, Probes, make_probes
from .rank_agreement import agreement, agreement_along
from .report_measurements import head_report
from .residuals import ResidualCache
from .retrieval import lookup_losses, lookup_summary, retrieval_scores
from .run_progress import Failure, RunReport, ScoringFailed
from .runs import load_scores
from .scaling import averaged_and_summed, fit_law, hold_out_largest, known_runs
from .scaling_fit import ScalingFit
from .scoring import run_scoring, score_corpus
from .selection import Selection, select
from .selectors import compare_selectors, side_by_side
from .session import Session
from .tasks import Item, Task, built_in_tasks
from .tokens import TokenChanges
from .training import Recipe, Training, pretrain
from .verification import Verification, VerificationError, verify_manifest
from .verification_times import verification_estimate
from .weak_to_strong import (
    Arms,
    gain,
    mirror_correlation,
    repeat_weights,
    task_losses,
    train_arms,
)
from .words import word_overlap

__all__ = [
    "Arms",
    "CannotMask",
    "CannotSplit",
    "Cascade",
    "Certificate",
    "CorpusError",
    "Decoder",
    "Document",
    "Evolution",
    "Failure",
    "FileSelection",
    "Head",
    "HeadColours",
    "HeadEffects",
    "HeadReport",
    "HeadSet",
    "Item",
    "ManifestComparison",
    "MixtureFit",
    "Model",
    "NearDuplicates",
    "NotCertified",
    "Plan",
    "Probe",
    "Probes",
    "Recipe",
    "ResidualCache",
    "RunReport",
    "ScalingFit",
    "ScoredCorpus",
    "ScoringFailed",
    "Selection",
    "Session",
    "Skipped",
    "Task",
    "TokenChanges",
    "Training",
    "Verification",
    "VerificationError",
    "agreement",
    "agreement_along",
    "averaged_and_summed",
    "built_in_tasks",
    "certify",
    "chosen_alone",
    "chosen_by",
    "cluster_documents",
    "cluster_table",
    "compare_manifests",
    "compare_scorers",
    "compare_selectors",
    "confounds",
    "coverage",
    "documents_of",
    "embed",
    "environment_corpus",
    "evaluate",
    "evaluation_items",
    "evolution",
    "few_shot_tasks",
    "figures",
    "fit_law",
    "fit_mixture",
    "from_transformers",
    "gain",
    "head_effects",
    "head_means",
    "head_report",
    "hold_out_largest",
    "judge",
    "judged_shares",
    "known_runs",
    "lifted",
    "load_model",
    "load_scores",
    "locos_scores",
    "lookup_losses",
    "lookup_probes",
    "lookup_summary",
    "lookup_text",
    "lookup_tokenizer",
    "make_probes",
    "masked",
    "masking_curve",
    "matched_selection",
    "materialise",
    "mirror",
    "mirror_correlation",
    "mirror_items",
    "mirror_summary",
    "near_duplicates",
    "novel_scores",
    "plan_scoring",
    "pretrain",
    "read_corpus",
    "repeat_weights",
    "retrieval_scores",
    "run_scoring",
    "score_corpus",
    "score_documents",
    "scorer_confounds",
    "scorers",
    "select",
    "select_cascade",
    "select_files",
    "selection_statistics",
    "side_by_side",
    "task_losses",
    "token_losses",
    "train_arms",
    "train_tokenizer",
    "verification_estimate",
    "verify_manifest",
    "word_overlap",
    "write_blends",
    "write_manifest",
]
