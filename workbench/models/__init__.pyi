"""The names of `workbench.models`."""

from .attention_override import CannotMask
from .head_scores import HeadScores
from .heads import Head, HeadSet
from .model import Model, from_transformers

__all__ = [
    "CannotMask",
    "Head",
    "HeadScores",
    "HeadSet",
    "Model",
    "from_transformers",
]
