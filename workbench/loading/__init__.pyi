"""The names of `workbench.loading`."""

from .certificate import Certificate, NotCertified, certify
from .load import load_model

__all__ = [
    "Certificate",
    "NotCertified",
    "certify",
    "load_model",
]
