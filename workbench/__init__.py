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
"""

import importlib
import importlib.util
from typing import Any

import lazy_loader

# The names stand in `__init__.pyi`. A module is imported when one of its names is asked for, so
# that the command's help, workers and checks of files wait for no torch, plotly or scikit-learn.
_named, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """A name of the stub, or else a module of the package (`wb.progress`)."""
    if name not in __all__ and not name.startswith("_"):
        module = f"{__name__}.{name}"
        if importlib.util.find_spec(module):
            return importlib.import_module(module)
    return _named(name)
