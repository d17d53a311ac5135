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
from workbench.analysis import confounds
from workbench.attention import CannotMask
from workbench.corpus import CorpusError, Document, Skipped, read_corpus
from workbench.environment import environment_corpus
from workbench.heads import Head, HeadSet
from workbench.influence import score_corpus, score_documents
from workbench.losses import token_losses
from workbench.manifest import write_manifest
from workbench.masking import head_means, masked
from workbench.models import Model, from_transformers, load_model
from workbench.probes import Probe, Probes, make_probes
from workbench.retrieval import lookup_losses, lookup_summary, retrieval_scores
from workbench.runs import load_scores
from workbench.selection import Selection, select
from workbench.verification import Verification, VerificationError, verify_manifest

__all__ = [
    "CannotMask",
    "CorpusError",
    "Document",
    "Head",
    "HeadSet",
    "Model",
    "Probe",
    "Probes",
    "Selection",
    "Skipped",
    "Verification",
    "VerificationError",
    "confounds",
    "environment_corpus",
    "figures",
    "from_transformers",
    "head_means",
    "load_model",
    "load_scores",
    "lookup_losses",
    "lookup_summary",
    "make_probes",
    "masked",
    "read_corpus",
    "retrieval_scores",
    "score_corpus",
    "score_documents",
    "select",
    "token_losses",
    "verify_manifest",
    "write_manifest",
]
