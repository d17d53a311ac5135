"""The checks of a manifest that concern its model: certificate, identity, a sample scored again.

Like those of `workbench.manifest.verification.file_checks` they return or raise. What needs torch
is imported when a check is made.
"""

from __future__ import annotations

import math
import pathlib
from typing import Any

from workbench.core.parquet import read_table
from workbench.core.progress import progress_bar
from workbench.manifest.croissant import SELECTION_FILE
from workbench.manifest.verification.report import NotChecked, require

# Relative; half precision on another device rounds differently, document by document.
RESCORE_TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
# Checks that manifests of older formats could not hold yet, and the format that came with each.
_ADDED = {"every weight was read": 3}
_TOGETHER = 8  # documents scored in one call, between looks at whether to stop
_QUIET = 8  # no more documents than this are scored without a bar


def certificate(record: dict[str, Any], manifest: dict[str, Any]) -> tuple[bool, str]:
    """The certificate is whole, of this model, and every check in it passed.

    Args:
        record: the manifest's record of the run.
        manifest: the manifest, whose format says what checks there were when it was written.

    Returns:
        True, and a detail.

    Raises:
        Failed: when it is not so.
    """
    from workbench.loading.certificate import Certificate
    from workbench.loading.certificate_checks import CHECKS

    certificate = Certificate.from_json(record["certificate"])
    format = manifest["aiw:format"]
    known = {claim.name for claim in CHECKS if _ADDED.get(claim.name, 0) <= format}
    missing = known - {check.name for check in certificate.checks}
    require(not missing, f"it lacks the checks {sorted(missing)}")
    stated = {key: record["model"].get(key) for key in ("dtype", "device")}
    made_for = {"dtype": certificate.dtype, "device": certificate.device}
    require(made_for == stated, f"it was made for {made_for}, the scores with {stated!r:.100}")
    require(certificate.ok, _complaint(certificate))
    return True, f"all {len(certificate.checks)} checks of the model passed when it scored"


def certified_again(model: Any) -> tuple[bool, str]:
    """The given model passes the checks of a certificate here and now.

    Args:
        model: as `load_model` gives it.

    Returns:
        True, and a detail.

    Raises:
        Failed: when a check fails.
        NotChecked: for what is no Model.
    """
    from workbench.loading.certificate import certify
    from workbench.models.model import Model

    if not isinstance(model, Model):
        raise NotChecked(f"it takes a Model as load_model gives it, got {type(model).__name__}")
    certificate = certify(model)
    require(certificate.ok, _complaint(certificate))
    return True, f"the given model passes all {len(certificate.checks)} checks"


def _complaint(certificate: Any) -> str:
    failed = [
        f"{check.name}: measured {check.found}" for check in certificate.checks if not check.passed
    ]
    return f"{len(failed)} of {len(certificate.checks)} checks of the model failed: {failed!r:.300}"


def identity(record: dict[str, Any], model: Any) -> tuple[bool, str]:
    """The given model has the stated dtype, weights and tokenizer.

    Args:
        record: the manifest's record of the run.
        model: anything with the `identity` of a Model.

    Returns:
        True, and a detail.

    Raises:
        Failed: when one of them is another.
    """
    for key in ("dtype", "weights_sha256", "tokenizer_sha256"):  # another dtype, other digests
        actual, stated = model.identity.get(key), record["model"].get(key)
        require(
            isinstance(stated, str) and actual == stated,
            f"{key} of the given model is {actual!r:.80}, the manifest says {stated!r:.80}",
        )
    return True, "weights and tokenizer of the given model are those of the manifest"


def scored_again(
    record: dict[str, Any],
    model: Any,
    known: bool,
    documents: dict[int, Any],
    files: dict[str, pathlib.Path],
) -> tuple[bool, str]:
    """The losses of drawn documents come out again.

    The score follows from them, see `rank_checks.formula`.

    Args:
        record: the manifest's record of the run.
        model: the loaded model.
        known: what `identity` gave, so that this check is not made where that one failed.
        documents: the drawn documents, by their row in selection.parquet.
        files: listed files that passed their own checks, by listed path.

    Returns:
        True, and a detail.

    Raises:
        Failed: when a loss differs by more than RESCORE_TOLERANCE of the dtype, relative.
        NotChecked: when there are no documents.
    """
    if not documents:
        raise NotChecked("the sample is empty")
    from workbench.models.heads import HeadSet
    from workbench.scoring.influence import score_documents

    rows = sorted(documents)
    losses = read_table(files[SELECTION_FILE], ["loss_base", "loss_ref"])
    stated = losses.take(rows).to_pylist()
    drawn, rescored = [documents[row] for row in rows], []
    with progress_bar("scoring again", "doc", len(drawn), bar=len(drawn) > _QUIET) as done:
        for start in range(0, len(drawn), _TOGETHER):
            batch = drawn[start : start + _TOGETHER]
            rescored += score_documents(
                model,
                HeadSet.from_json(record["heads"]),
                batch,
                mode=record["mode"],
                window=record["window"],
                max_tokens=record["max_tokens"],
                require_certificate=False,  # it has a check of its own
            )
            done(len(batch))
    tolerance = RESCORE_TOLERANCE.get(record["model"].get("dtype"), 1e-4)
    require(len(rescored) == len(drawn), f"{len(drawn)} documents gave {len(rescored)} scores")
    wrong = []
    for document, wanted, scored in zip(drawn, stated, rescored, strict=True):
        for name, loss in wanted.items():
            if not math.isclose(scored[name], loss, rel_tol=tolerance):
                wrong.append(f"{document.doc_id!r:.80} {name} {scored[name]:.6f}, not {loss:.6f}")
    require(not wrong, f"{len(wrong)} losses differ; first: {wrong[:1]}")
    return True, f"{len(drawn)} documents, losses within {tolerance:g} relative"
