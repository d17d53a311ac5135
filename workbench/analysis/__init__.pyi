"""The names of `workbench.analysis`."""

from .clusters import DocumentClusters, cluster_documents, cluster_table, coverage
from .confounding import confounds, scorer_confounds, selection_statistics
from .embeddings import embed
from .llm_judge import judge, judged_shares
from .words import word_overlap

__all__ = [
    "DocumentClusters",
    "cluster_documents",
    "cluster_table",
    "confounds",
    "coverage",
    "embed",
    "judge",
    "judged_shares",
    "scorer_confounds",
    "selection_statistics",
    "word_overlap",
]
