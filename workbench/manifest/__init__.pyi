"""The names of `workbench.manifest`."""

from .comparison import ManifestComparison, compare_manifests
from .export.blends import write_blends
from .export.materialisation import materialise
from .export.shard_checks import verify_materialised
from .selecting_files import FileSelection, select_files
from .verification.report import Verification, VerificationError
from .verification.step_weights import verify_steps
from .verification.verify import verify_manifest
from .writing import write_manifest

__all__ = [
    "FileSelection",
    "ManifestComparison",
    "Verification",
    "VerificationError",
    "compare_manifests",
    "materialise",
    "select_files",
    "verify_manifest",
    "verify_materialised",
    "verify_steps",
    "write_blends",
    "write_manifest",
]
