"""AttentionInfluence workbench: from a small language model to a verified selection manifest.

import workbench as wb

model = wb.load_model()
probes = wb.make_probes(model)
scores = wb.retrieval_scores(model, probes)
heads = wb.HeadSet.top(scores, fraction=0.05)
table = wb.score_corpus(model, heads, wb.environment_corpus(), out="run/")
chosen = wb.select(table, fraction=0.20)
wb.write_manifest(chosen, "run/")
wb.verify_manifest("run/")

`dir(wb)` lists what such a notebook needs, and one package for each subject, which lists the rest
(`wb.selection.compare_selectors`). Every public name can also be had as `wb.name`.
"""

from importlib import metadata
from typing import Any

import lazy_loader

# The names stand in `__init__.pyi`. A module is imported when one of its names is asked for, so
# that the command's help, workers and checks of files wait for no torch, plotly or scikit-learn.
_named, _, __all__ = lazy_loader.attach_stub(__name__, __file__)

_PACKAGES = (
    "analysis", "corpus", "detection", "evaluation", "figures", "loading", "manifest", "masking",
    "models", "scaling", "scoring", "selection", "session", "training",
)  # fmt: skip
_LISTED = (
    "load_model", "from_transformers", "Model", "certify",
    "Head", "HeadSet", "make_probes", "retrieval_scores", "head_report",
    "masked", "token_losses", "head_effects",
    "read_corpus", "Document", "environment_corpus",
    "plan_scoring", "score_corpus", "load_scores", "confounds",
    "select", "Selection", "write_manifest", "verify_manifest", "compare_manifests",
    "Session",
    "CannotMask", "NotCertified", "CorpusError", "ScoringFailed", "VerificationError",
)  # fmt: skip
# Names that notebooks may still have, and what they are called now.
_FORMER_NAMES = {
    "chosen_alone": "selected_only_by",
    "known_runs": "synthetic_runs",
    "lifted": "largest_rank_changes",
    "side_by_side": "merge_score_tables",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("attention-influence-workbench")
    return _named(_FORMER_NAMES.get(name, name))


def __dir__() -> list[str]:
    return sorted([*_LISTED, *_PACKAGES, "__version__"])
