"""The names of `workbench.loading`."""

from .certificate import Certificate, NotCertified, certify
from .load import load_model
from .memory import MemoryNeed, memory_needed

__all__ = [
    "Certificate",
    "MemoryNeed",
    "NotCertified",
    "certify",
    "load_model",
    "memory_needed",
]
