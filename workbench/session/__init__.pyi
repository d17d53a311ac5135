"""The names of `workbench.session`."""

from .head_colours import HeadColours
from .scaling_desk import ScalingDesk
from .scored_corpus import ScoredCorpus
from .session import Session

__all__ = [
    "HeadColours",
    "ScalingDesk",
    "ScoredCorpus",
    "Session",
]
