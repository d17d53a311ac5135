"""The checks of a manifest that concern its model: certificate, identity, a sample scored again.

Like those of `workbench.manifest.verification.file_checks` they return or raise. What needs torch
is imported when a check is made.
"""

from __future__ import annotations

import math
import pathlib
from typing import Any

import pyarrow.parquet as pq

from workbench.core.parquet import read_table
from workbench.core.progress import progress_bar
from workbench.manifest.croissant import SELECTION_FILE, ranked_by
from workbench.manifest.verification.report import NotChecked, require
from workbench.scoring.schema import columns_in, stored_columns

# Relative; half precision on another device rounds differently, document by document.
RESCORE_TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "float16": 5e-3}
# Checks that manifests of older formats could not hold yet, and the format that came with each.
_ADDED = {"every weight was read": 3}
# The columns that come out of the passes themselves; the others follow from these.
_AGAIN = (
    "read", "loss_base", "loss_ref", "predicted_novel", "loss_base_novel", "loss_ref_novel",
    "contrast", "rise_controls", "spread_controls",
)  # fmt: skip
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
    keys = ("dtype", "device", "float32_matmul")
    stated = {key: record["model"].get(key) for key in keys}
    made_for = {key: getattr(certificate, key) for key in keys}
    require(made_for == stated, f"it was made for {made_for}, the scores with {stated!r:.100}")
    require(certificate.ok, _failure_message(certificate))
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
    require(certificate.ok, _failure_message(certificate))
    return True, f"the given model passes all {len(certificate.checks)} checks"


def _failure_message(certificate: Any) -> str:
    failed = [
        f"{check.name}: measured {check.found}" for check in certificate.checks if not check.passed
    ]
    return f"{len(failed)} of {len(certificate.checks)} checks of the model failed: {failed!r:.300}"


def identity(record: dict[str, Any], model: Any) -> tuple[bool, str]:
    """The given model has the stated dtype, precision of products, weights and tokenizer.

    Args:
        record: the manifest's record of the run.
        model: anything with the `identity` of a Model.

    Returns:
        True, and a detail.

    Raises:
        Failed: when one of them is another.
    """
    rounded, stated = model.identity.get("simulate"), record["model"].get("simulate")
    require(
        rounded == stated,
        f"the given model was loaded with simulate={rounded!r:.20}, that of the manifest with "
        f"simulate={stated!r:.20}",
    )
    rounded, stated = (given.get("float32_matmul") for given in (model.identity, record["model"]))
    require(
        rounded == stated,
        f"float32_matmul is {rounded!r:.20} here and {stated!r:.20} in the manifest: torch rounds "
        "float32 products otherwise. Call torch.set_float32_matmul_precision first, with 'highest' "
        "for None, 'high' for 'tf32', 'medium' for 'bf16'",
    )
    for key in ("dtype", "weights_sha256", "tokenizer_sha256"):  # another dtype, other digests
        actual, stated = model.identity.get(key), record["model"].get(key)
        require(
            isinstance(stated, str) and actual == stated,
            f"{key} of the given model is {actual!r:.80}, the manifest says {stated!r:.80}",
        )
    return True, "weights and tokenizer of the given model are those of the manifest"


def scored_again(
    record: dict[str, Any],
    manifest: dict[str, Any],
    model: Any,
    known: bool,
    documents: dict[int, Any],
    files: dict[str, pathlib.Path],
) -> tuple[bool, str]:
    """The losses of drawn documents come out again, and so do columns of the user.

    The scores follow from the losses, see `row_checks.formula`. Columns of the user are computed
    only where this process has registered them: nothing that a manifest names is imported.

    Args:
        record: the manifest's record of the run.
        manifest: as it was parsed, which says by which column the documents are ranked.
        model: the loaded model.
        known: what `identity` gave, so that this check is not made where that one failed.
        documents: the drawn documents, by their row in selection.parquet.
        files: listed files that passed their own checks, by listed path.

    Returns:
        True, and a detail.

    Raises:
        Failed: when a loss differs by more than RESCORE_TOLERANCE of the dtype, relative; a
            difference of losses by more than that share of the losses.
        NotChecked: when there are no documents, the reference set of the mode is not known here, or
            the documents are ranked by a column of the user
            that this process does not know.
    """
    if not documents:
        raise NotChecked("the sample is empty")
    from workbench.masking.references import is_known
    from workbench.scoring.columns.own_columns import known_columns
    from workbench.scoring.influence import scored
    from workbench.scoring.settings import ScoringSettings

    of_user = columns_in(record)
    columns = known_columns(record.get("columns", ()))
    unknown = [column.name for column in of_user if column.name not in {c.name for c in columns}]
    if (reference := record.get("reference")) is not None and not is_known(reference):
        raise NotChecked(
            f"masked heads put out what they give on the reference set {reference['name']!r:.80}, "
            "whose texts this process does not know: make it with reference_set, then verify"
        )
    settings = ScoringSettings.from_json(record, columns=columns)
    rows = sorted(documents)
    there = pq.read_schema(files[SELECTION_FILE]).names
    scored_then = stored_columns(record.get("format", 1))
    names = [name for name in _AGAIN if name in scored_then] + [c.name for c in columns]
    losses = read_table(files[SELECTION_FILE], [name for name in names if name in there])
    stated = losses.take(rows).to_pylist()
    drawn, rescored = [documents[row] for row in rows], []
    with progress_bar("scoring again", "doc", len(drawn), bar=len(drawn) > _QUIET) as done:
        for start in range(0, len(drawn), _TOGETHER):
            batch = drawn[start : start + _TOGETHER]
            rescored += [row for row in scored(model, settings, batch) if isinstance(row, dict)]
            done(len(batch))
    tolerance = RESCORE_TOLERANCE.get(record["model"].get("dtype"), 1e-4)
    require(len(rescored) == len(drawn), f"{len(drawn)} documents gave {len(rescored)} scores")
    wrong = []
    for document, wanted, row in zip(drawn, stated, rescored, strict=True):
        for name, value in wanted.items():
            if not _same(value, row[name], tolerance, max(row["loss_base"], row["loss_ref"], 1.0)):
                wrong.append(f"{document.doc_id!r:.80} {name} {row[name]!r:.12}, not {value!r:.12}")
    require(not wrong, f"{len(wrong)} values differ; first: {wrong[:1]}")
    by_score = ranked_by(manifest)
    if by_score in unknown:
        raise NotChecked(
            f"the losses agree, but the ranking is by {by_score!r}, a function of the user that "
            "this process does not know: make it with score_column, then verify"
        )
    return True, f"{len(drawn)} documents, {len(names)} columns within {tolerance:g}"


def _same(stated: Any, again: Any, tolerance: float, scale: float) -> bool:
    """Whether a value came out again; a mean over few tokens, or a difference, is off by more."""
    if stated is None or again is None or stated != stated:  # NaN
        return again is None and (stated is None or stated != stated)
    if isinstance(stated, str):
        return bool(stated == again)
    return math.isclose(stated, again, rel_tol=tolerance, abs_tol=tolerance * scale)
