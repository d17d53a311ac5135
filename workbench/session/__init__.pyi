"""The names of `workbench.session`."""

from .corpus.scored_corpus import ScoredCorpus
from .head_colours import HeadColours
from .scaling_desk import ScalingDesk
from .session import Session

__all__ = [
    "HeadColours",
    "ScalingDesk",
    "ScoredCorpus",
    "Session",
]
