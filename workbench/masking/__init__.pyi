"""The names of `workbench.masking`."""

from .attention_rows import AttentionRow, attention_row
from .effects import HeadEffects, head_effects
from .losses import token_losses
from .masks import head_means, masked
from .references import ReferenceSet, reference_set
from .residual_cache import ResidualCache
from .token_changes import TokenChanges

__all__ = [
    "AttentionRow",
    "HeadEffects",
    "ReferenceSet",
    "ResidualCache",
    "TokenChanges",
    "attention_row",
    "head_effects",
    "head_means",
    "masked",
    "reference_set",
    "token_losses",
]
