"""AttentionInfluence workbench: from a small language model to a verified selection manifest.

import workbench as wb

model = wb.load_model()
probes = wb.make_probes(model)
scores = wb.retrieval_scores(model, probes)
heads = wb.HeadSet.top(scores, fraction=0.05)
table = wb.score_corpus(model, heads, wb.environment_corpus(), out="run/")
chosen = wb.select(table, fraction=0.20)
wb.write_manifest(chosen, "run/")
wb.verify_manifest("run/")
"""

from workbench import figures
from workbench.agreement import agreement, agreement_along
from workbench.aligned import documents_of
from workbench.analysis import confounds, selection_statistics
from workbench.attention import CannotMask
from workbench.blends import write_blends
from workbench.browse import ScoredCorpus
from workbench.bulk_selection import FileSelection, select_files
from workbench.cascade import Cascade, select_cascade
from workbench.certificate import Certificate, NotCertified, certify
from workbench.clusters import cluster_documents, cluster_table, coverage
from workbench.colouring import HeadColours
from workbench.corpus import CorpusError, Document, Skipped, read_corpus
from workbench.decoder import Decoder, train_tokenizer
from workbench.effects import HeadEffects, head_effects
from workbench.embeddings import embed
from workbench.environment import environment_corpus
from workbench.evaluation import evaluate, evaluation_items
from workbench.evolution import Evolution, evolution
from workbench.few_shot import few_shot_tasks
from workbench.head_card import HeadReport
from workbench.head_report import head_report
from workbench.heads import Head, HeadSet
from workbench.influence import score_documents
from workbench.judge import judge, judged_shares
from workbench.locos import CannotSplit, locos_scores
from workbench.lookup_text import lookup_probes, lookup_text, lookup_tokenizer
from workbench.losses import token_losses
from workbench.manifest import write_manifest
from workbench.manifest_comparison import ManifestComparison, compare_manifests
from workbench.masking import head_means, masked
from workbench.masking_curve import masking_curve
from workbench.materialise import materialise
from workbench.mirror import mirror, mirror_items, mirror_summary
from workbench.mixtures import MixtureFit, fit_mixture
from workbench.models import Model, from_transformers, load_model
from workbench.near_duplicates import NearDuplicates, near_duplicates
from workbench.novelty import novel_scores
from workbench.plan import Plan, plan_scoring
from workbench.probes import Probe, Probes, make_probes
from workbench.residuals import ResidualCache
from workbench.retrieval import lookup_losses, lookup_summary, retrieval_scores
from workbench.run_progress import Failure, RunReport, ScoringFailed
from workbench.runs import load_scores
from workbench.scaling import averaged_and_summed, fit_law, hold_out_largest, known_runs
from workbench.scaling_fit import ScalingFit
from workbench.scorers import (
    chosen_alone,
    chosen_by,
    compare_scorers,
    lifted,
    matched_selection,
    scorer_confounds,
    scorers,
)
from workbench.scoring import run_scoring, score_corpus
from workbench.selection import Selection, select
from workbench.selectors import compare_selectors, side_by_side
from workbench.session import Session
from workbench.tasks import Item, Task, built_in_tasks
from workbench.tokens import TokenChanges
from workbench.training import Recipe, Training, pretrain
from workbench.verification import Verification, VerificationError, verify_manifest
from workbench.verification_estimate import verification_estimate
from workbench.weak_to_strong import (
    Arms,
    gain,
    mirror_correlation,
    repeat_weights,
    task_losses,
    train_arms,
)
from workbench.words import word_overlap

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
