"""The names of `workbench.detection`."""

from .locos import CannotSplit, locos_scores
from .lookup_need import LookupTest, lookup_test
from .masking_curves import masking_curve
from .probes import Probe, Probes, make_probes
from .report import HeadReport
from .report_measurements import head_report
from .retention_fit import RetentionFit, fit_retention
from .retrieval import lookup_losses, lookup_summary, retrieval_scores
from .shipped import default_probes, default_report, default_scores

__all__ = [
    "CannotSplit",
    "HeadReport",
    "LookupTest",
    "Probe",
    "Probes",
    "RetentionFit",
    "default_probes",
    "default_report",
    "default_scores",
    "fit_retention",
    "head_report",
    "locos_scores",
    "lookup_losses",
    "lookup_summary",
    "lookup_test",
    "make_probes",
    "masking_curve",
    "retrieval_scores",
]
