"""The names of `workbench`, for type checkers, completion and `__init__.py`."""

from . import (
    analysis,
    corpus,
    detection,
    evaluation,
    figures,
    loading,
    manifest,
    masking,
    models,
    scaling,
    scoring,
    selection,
    session,
    training,
)
from .analysis.clusters import DocumentClusters, cluster_documents, cluster_table, coverage
from .analysis.confounding import confounds, scorer_confounds, selection_statistics
from .analysis.embeddings import embed
from .analysis.llm_judge import judge, judged_shares
from .analysis.words import word_overlap
from .corpus.alignment import documents_of
from .corpus.boilerplate import SharedNgrams, shared_ngrams
from .corpus.deduplication import NearDuplicates, near_duplicates
from .corpus.document import CorpusError, Document, Skipped
from .corpus.environment import environment_corpus
from .corpus.reading import read_corpus
from .detection.locos import CannotSplit, locos_scores
from .detection.lookup_need import LookupTest, lookup_test
from .detection.masking_curves import masking_curve
from .detection.probes import Probe, Probes, make_probes
from .detection.report import HeadReport
from .detection.report_measurements import head_report
from .detection.retention_fit import RetentionFit, fit_retention
from .detection.retrieval import lookup_losses, lookup_summary, retrieval_scores
from .detection.shipped import default_probes, default_report, default_scores
from .evaluation.chains import reasoning_chains
from .evaluation.changed_documents import PairedResponse, counterfactuals, paired_response
from .evaluation.comparison_texts import other_texts
from .evaluation.few_shot import few_shot_tasks
from .evaluation.lm_harness import Evaluation, evaluate, evaluation_items
from .evaluation.mirror_effect import mirror, mirror_items, mirror_summary
from .evaluation.score_tests import ScoreTests, judge_scores
from .evaluation.tasks import Item, Task, built_in_tasks
from .loading.certificate import Certificate, NotCertified, certify
from .loading.load import load_model
from .loading.memory import MemoryNeed, memory_needed
from .manifest.comparison import ManifestComparison, compare_manifests
from .manifest.export.blends import write_blends
from .manifest.export.materialisation import materialise
from .manifest.export.shard_checks import verify_materialised
from .manifest.selecting_files import FileSelection, select_files
from .manifest.verification.report import Verification, VerificationError
from .manifest.verification.step_weights import verify_steps
from .manifest.verification.verify import verify_manifest
from .manifest.writing import write_manifest
from .masking.attention_rows import AttentionRow, attention_row
from .masking.effects import HeadEffects, head_effects
from .masking.losses import token_losses
from .masking.masks import head_means, masked
from .masking.references import ReferenceSet, reference_set
from .masking.residual_cache import ResidualCache
from .masking.token_changes import TokenChanges
from .models.attention_override import CannotMask
from .models.head_scores import HeadScores
from .models.heads import Head, HeadSet
from .models.model import Model, from_transformers
from .scaling.fitting import averaged_and_summed, fit_law, hold_out_largest, synthetic_runs
from .scaling.law_comparison import compare_laws, compare_optima
from .scaling.law_fit import LawFit, refit
from .scaling.laws.book import LAWS
from .scaling.laws.forms import Powers, PowerTerms
from .scaling.laws.law import Check, Law, Optimum, OutsideDomain
from .scaling.laws.quantity import Quantity
from .scaling.mixture_plans import sample_mixtures
from .scaling.mixtures import BestMixture, MixtureFit, fit_mixture
from .scaling.power_sum import ScalingFit
from .scaling.run_tables import IsoFlop, decisions, isoflop, rate_sensitivity
from .scoring.folder.reading import load_scores
from .scoring.influence import novel_scores, score_documents
from .scoring.plan import Plan, plan_scoring
from .scoring.report import Failure, RunReport, ScoringFailed
from .scoring.run import run_scoring, score_corpus
from .scoring.score_table import ScoreTable
from .scoring.step_scores import StepInfluence, step_influence
from .selection.alternative_scores import (
    chosen_by,
    compare_scorers,
    largest_rank_changes,
    matched_selection,
    scorers,
    selected_only_by,
)
from .selection.exposure_counts import exposures
from .selection.filter_funnel import Funnel, funnel
from .selection.funnel_judges import PatternJudge, VerdictJudge
from .selection.rank_agreement import agreement, agreement_along
from .selection.ranking import Selection, select
from .selection.selector_comparison import compare_selectors, merge_score_tables
from .selection.selector_overlap import SelectorAgreement, selector_agreement
from .session.corpus.scored_corpus import ScoredCorpus
from .session.head_colours import HeadColours
from .session.scaling_desk import ScalingDesk
from .session.session import Session
from .training.arms import Arms, gain, mirror_correlation, repeat_weights, task_losses, train_arms
from .training.decoder import Decoder, train_tokenizer
from .training.growth import grown
from .training.head_evolution import Evolution, evolution
from .training.held_out import HeldOutSplit, held_out_split
from .training.lookup_corpus import lookup_probes, lookup_text, lookup_tokenizer
from .training.mask_schedule import MaskSchedule
from .training.memorisation import MemorisationAudit, memorisation_audit
from .training.planted_documents import (
    planted_kinds,
    planted_probes,
    planted_selector,
    planted_tokenizer,
    planted_world,
)
from .training.pretraining import Training, pretrain
from .training.proxies import ProxyRuns, proxy_runs
from .training.recipe import Recipe
from .training.run_records import runs_from_text, training_runs

__version__: str

__all__ = [
    "LAWS",
    "Arms",
    "AttentionRow",
    "BestMixture",
    "CannotMask",
    "CannotSplit",
    "Certificate",
    "Check",
    "CorpusError",
    "Decoder",
    "Document",
    "DocumentClusters",
    "Evaluation",
    "Evolution",
    "Failure",
    "FileSelection",
    "Funnel",
    "Head",
    "HeadColours",
    "HeadEffects",
    "HeadReport",
    "HeadScores",
    "HeadSet",
    "HeldOutSplit",
    "IsoFlop",
    "Item",
    "Law",
    "LawFit",
    "LookupTest",
    "ManifestComparison",
    "MaskSchedule",
    "MemorisationAudit",
    "MemoryNeed",
    "MixtureFit",
    "Model",
    "NearDuplicates",
    "NotCertified",
    "Optimum",
    "OutsideDomain",
    "PairedResponse",
    "PatternJudge",
    "Plan",
    "PowerTerms",
    "Powers",
    "Probe",
    "Probes",
    "ProxyRuns",
    "Quantity",
    "Recipe",
    "ReferenceSet",
    "ResidualCache",
    "RetentionFit",
    "RunReport",
    "ScalingDesk",
    "ScalingFit",
    "ScoreTable",
    "ScoreTests",
    "ScoredCorpus",
    "ScoringFailed",
    "Selection",
    "SelectorAgreement",
    "Session",
    "SharedNgrams",
    "Skipped",
    "StepInfluence",
    "Task",
    "TokenChanges",
    "Training",
    "VerdictJudge",
    "Verification",
    "VerificationError",
    "agreement",
    "agreement_along",
    "analysis",
    "attention_row",
    "averaged_and_summed",
    "built_in_tasks",
    "certify",
    "chosen_by",
    "cluster_documents",
    "cluster_table",
    "compare_laws",
    "compare_manifests",
    "compare_optima",
    "compare_scorers",
    "compare_selectors",
    "confounds",
    "corpus",
    "counterfactuals",
    "coverage",
    "decisions",
    "default_probes",
    "default_report",
    "default_scores",
    "detection",
    "documents_of",
    "embed",
    "environment_corpus",
    "evaluate",
    "evaluation",
    "evaluation_items",
    "evolution",
    "exposures",
    "few_shot_tasks",
    "figures",
    "fit_law",
    "fit_mixture",
    "fit_retention",
    "from_transformers",
    "funnel",
    "gain",
    "grown",
    "head_effects",
    "head_means",
    "head_report",
    "held_out_split",
    "hold_out_largest",
    "isoflop",
    "judge",
    "judge_scores",
    "judged_shares",
    "largest_rank_changes",
    "load_model",
    "load_scores",
    "loading",
    "locos_scores",
    "lookup_losses",
    "lookup_probes",
    "lookup_summary",
    "lookup_test",
    "lookup_text",
    "lookup_tokenizer",
    "make_probes",
    "manifest",
    "masked",
    "masking",
    "masking_curve",
    "matched_selection",
    "materialise",
    "memorisation_audit",
    "memory_needed",
    "merge_score_tables",
    "mirror",
    "mirror_correlation",
    "mirror_items",
    "mirror_summary",
    "models",
    "near_duplicates",
    "novel_scores",
    "other_texts",
    "paired_response",
    "plan_scoring",
    "planted_kinds",
    "planted_probes",
    "planted_selector",
    "planted_tokenizer",
    "planted_world",
    "pretrain",
    "proxy_runs",
    "rate_sensitivity",
    "read_corpus",
    "reasoning_chains",
    "reference_set",
    "refit",
    "repeat_weights",
    "retrieval_scores",
    "run_scoring",
    "runs_from_text",
    "sample_mixtures",
    "scaling",
    "score_corpus",
    "score_documents",
    "scorer_confounds",
    "scorers",
    "scoring",
    "select",
    "select_files",
    "selected_only_by",
    "selection",
    "selection_statistics",
    "selector_agreement",
    "session",
    "shared_ngrams",
    "step_influence",
    "synthetic_runs",
    "task_losses",
    "token_losses",
    "train_arms",
    "train_tokenizer",
    "training",
    "training_runs",
    "verify_manifest",
    "verify_materialised",
    "verify_steps",
    "word_overlap",
    "write_blends",
    "write_manifest",
]
