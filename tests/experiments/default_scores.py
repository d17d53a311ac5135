"""Makes the probes, scores and report that come with the package (`workbench.detection.shipped`).

Run from the root of the project: `python tests/experiments/default_scores.py`, or with `--report`
for the report alone, on the probes and scores that are there. The sentences of the probes are those
of the project's own pages and docstrings at that time, so probes made later differ: made again,
every notebook has to be run again, too.
"""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path

import torch

import workbench as wb
from workbench.detection.shipped import FOLDER, PROBES, REPORT, SCORES
from workbench.models.identity import weights_sha256

ROOT = Path(__file__).parents[2]
BOOTSTRAP = 1000


def own_texts() -> list[str]:
    """The pages and docstrings of the project."""
    pages = [page for page in sorted(ROOT.rglob("*.md")) if ".venv" not in page.parts]
    texts = [page.read_text(encoding="utf-8") for page in pages]
    for folder in ("workbench", "widgets"):
        for module in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    texts.append(ast.get_docstring(node) or "")
    return [text for text in texts if text]


def write_scores() -> None:
    """Write the probes and the scores."""
    model = wb.load_model()
    probes = wb.make_probes(model, n=16, max_tokens=1000, seed=0, texts=own_texts())
    scores = wb.retrieval_scores(model, probes, bootstrap=BOOTSTRAP)
    digests = {"float32": model.identity["weights_sha256"]}
    for dtype in ("bfloat16", "float16"):
        digests[dtype] = weights_sha256(model.hf.to(getattr(torch, dtype)))
        model = wb.load_model()
    FOLDER.mkdir(exist_ok=True)
    probes.save(PROBES)
    assert scores.per_probe is not None
    stored = {
        "model": model.source, "weights_sha256": digests, "bootstrap": BOOTSTRAP,
        "per_probe": scores.per_probe.round(6).tolist(),
    }  # fmt: skip
    SCORES.write_text(json.dumps(stored), encoding="utf-8")


def write_report() -> None:
    """Write the report on the scores that are there; five minutes of a core."""
    model = wb.load_model()
    probes = wb.default_probes(model)
    report = wb.head_report(wb.default_scores(model), model, probes, lookup_limit=len(probes))
    REPORT.write_text(json.dumps(report.to_json()), encoding="utf-8")


def main() -> None:
    """Write all, or the report alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", action="store_true", help="the report alone")
    if not parser.parse_args().report:
        write_scores()
    write_report()


if __name__ == "__main__":
    main()
