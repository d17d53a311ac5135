"""The names of `workbench.models`."""

from .attention_override import CannotMask
from .heads import Head, HeadSet
from .model import Model, from_transformers

__all__ = [
    "CannotMask",
    "Head",
    "HeadSet",
    "Model",
    "from_transformers",
]
