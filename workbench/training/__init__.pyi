"""The names of `workbench.training`."""

from .arms import Arms, gain, mirror_correlation, repeat_weights, task_losses, train_arms
from .decoder import Decoder, train_tokenizer
from .growth import grown
from .head_evolution import Evolution, evolution
from .held_out import HeldOutSplit, held_out_split
from .lookup_corpus import lookup_probes, lookup_text, lookup_tokenizer
from .mask_schedule import MaskSchedule
from .memorisation import MemorisationAudit, memorisation_audit
from .planted_documents import (
    planted_kinds,
    planted_probes,
    planted_selector,
    planted_tokenizer,
    planted_world,
)
from .pretraining import Training, pretrain
from .proxies import ProxyRuns, proxy_runs
from .recipe import Recipe
from .run_records import runs_from_text, training_runs

__all__ = [
    "Arms",
    "Decoder",
    "Evolution",
    "HeldOutSplit",
    "MaskSchedule",
    "MemorisationAudit",
    "ProxyRuns",
    "Recipe",
    "Training",
    "evolution",
    "gain",
    "grown",
    "held_out_split",
    "lookup_probes",
    "lookup_text",
    "lookup_tokenizer",
    "memorisation_audit",
    "mirror_correlation",
    "planted_kinds",
    "planted_probes",
    "planted_selector",
    "planted_tokenizer",
    "planted_world",
    "pretrain",
    "proxy_runs",
    "repeat_weights",
    "runs_from_text",
    "task_losses",
    "train_arms",
    "train_tokenizer",
    "training_runs",
]
