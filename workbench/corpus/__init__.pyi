"""The names of `workbench.corpus`."""

from .alignment import documents_of
from .boilerplate import SharedNgrams, shared_ngrams
from .deduplication import NearDuplicates, near_duplicates
from .document import CorpusError, Document, Skipped
from .environment import environment_corpus
from .reading import read_corpus

__all__ = [
    "CorpusError",
    "Document",
    "NearDuplicates",
    "SharedNgrams",
    "Skipped",
    "documents_of",
    "environment_corpus",
    "near_duplicates",
    "read_corpus",
    "shared_ngrams",
]
