"""Checking a manifest: is everything that it says about the selection so?

Everything is computed again from the files beside it, offline: hashes, the scores' formula, ranks,
thresholds and counts. With the corpus the texts are hashed again, with the model its certificate is
made again, and with both a sample is scored again. A manifest is not signed, so a check proves that
it agrees with its files, its corpus and its model, not who wrote it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import pandas as pd

from workbench import manifest_checks as checks
from workbench import manifest_model


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Verification:
    """What was checked: a frame with the columns check (str), ok (True, False, None), detail (str).

    `ok` of None means that the check was not made; the detail then says why.
    """

    checks: pd.DataFrame

    @property
    def ok(self) -> bool:
        """True when no check failed; checks that were not made do not count against it."""
        return not self.failed

    @property
    def failed(self) -> list[str]:
        """The failed checks, each as "check: detail"."""
        return [f"{check}: {detail}" for check, ok, detail in self._rows() if ok is False]

    def _rows(self) -> list[tuple[str, bool | None, str]]:
        return list(self.checks[["check", "ok", "detail"]].itertuples(index=False, name=None))

    def __repr__(self) -> str:
        marks = {True: "ok     ", False: "FAILED ", None: "-      "}
        lines = [f"{marks[ok]} {check}: {detail}" for check, ok, detail in self._rows()]
        return "\n".join([f"Verification: {'ok' if self.ok else 'FAILED'}", *lines])


class VerificationError(ValueError):
    """A manifest does not agree with its files; `report` is the Verification."""

    def __init__(self, report: Verification) -> None:
        self.report = report
        super().__init__(
            f"{len(report.failed)} checks of the manifest failed:\n  "
            + "\n  ".join(report.failed)
            + "\nDo not use this selection: fetch the folder again, or select and write it again."
        )


class _Steps:
    """Runs one check after the other; whatever a check meets becomes a row, never a crash."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, bool | None, str]] = []

    def run(self, check: str, function: Callable[..., tuple[Any, str]], *given: Any) -> Any:
        """Call `function(*given) -> (value, detail)`; return the value, or None when it failed."""
        value: Any = None
        ok: bool | None = False
        try:
            if any(item is None for item in given):
                raise checks.NotChecked("what it is about failed an earlier check, or is not there")
            value, detail = function(*given)
            ok = True
        except checks.NotChecked as reason:
            ok, detail = None, f"not checked: {reason}"
        except checks.Failed as failure:
            detail = str(failure)
        except Exception as error:  # garbage must end as a failed row, whatever it provokes
            detail = f"{type(error).__name__}: {error!s:.300}"
        self.rows.append((check, ok, detail))
        return value

    def skip(self, check: str, why: str) -> None:
        """Note a check that was not made."""
        self.rows.append((check, None, f"not checked: {why}"))


def verify_manifest(
    folder: str | os.PathLike[str],
    model: Any = None,
    corpus: Any = None,
    *,
    sample: int = 8,
    strict: bool = True,
) -> Verification:
    """Check every statement of `folder`/manifest.json that can be checked with what is given.

    Args:
        folder: where manifest.json and the files beside it lie.
        model: a loaded model; its `identity` must hold the stated weights_sha256 and
            tokenizer_sha256, and it must pass the checks of `certify`. With `corpus`, `sample`
            documents are scored again and both losses must agree (within 1e-4, relative, in
            float32).
        corpus: anything that `workbench.corpus.read_corpus` takes. It is streamed once, and the
            text of every ranked row, found by (source, row), must have the stated SHA-256.
        sample: how many ranked documents to score again, drawn with a fixed seed.
        strict: raise VerificationError when a check fails, instead of returning the report.

    What was not checked stands in the report with `ok` None. Score files and run.json that are
    not in the folder are such a case: the manifest may be published without them.
    """
    if not isinstance(sample, int) or sample < 1:
        raise ValueError(f"sample must be a whole number from 1, got {sample!r}")
    folder = pathlib.Path(folder)
    steps = _Steps()
    manifest = steps.run("manifest", checks.manifest_terms, folder)
    record = steps.run("run record", checks.run_record, manifest)
    steps.run("certificate", manifest_model.certificate, record)
    files = _files(steps, folder, manifest)
    steps.run("list of files", checks.listing, folder, manifest, record)
    steps.run("run.json", checks.run_file, manifest, files)
    table = steps.run("selection rows", checks.selection_rows, files)
    steps.run("scores follow from losses", checks.formula, table)
    steps.run("rows are the scored rows", checks.scored_rows, table, manifest, record, files)
    steps.run("ranks and thresholds", checks.ranking, table, manifest)
    steps.run("counts", checks.counts, table, manifest, record)
    steps.run("skipped documents", checks.skipped, manifest, record, files)
    drawn = known = None
    if corpus is None:
        steps.skip("texts of the corpus", "no corpus= was given")
    else:
        drawn = steps.run("texts of the corpus", checks.texts, table, corpus, sample)
    if model is None:
        steps.skip("model identity", "no model= was given")
        steps.skip("certificate again", "no model= was given")
    else:
        known = steps.run("model identity", manifest_model.identity, record, model)
        steps.run("certificate again", manifest_model.certified_again, model)
    if model is None or corpus is None:
        steps.skip("sample scored again", "it takes both model= and corpus=")
    else:
        steps.run("sample scored again", manifest_model.scored_again, record, model, known, drawn)
    report = Verification(_frame(steps.rows))
    if strict and not report.ok:
        raise VerificationError(report)
    return report


def _files(
    steps: _Steps, folder: pathlib.Path, manifest: dict[str, Any] | None
) -> dict[str, pathlib.Path] | None:
    """Check each listed file in a row of its own; return those that passed, by listed path."""
    if manifest is None:
        return None
    good: dict[str, pathlib.Path] = {}
    for entry in manifest["distribution"]:
        listed = entry.get("contentUrl") if isinstance(entry, dict) else None
        path = steps.run(f"file {listed!r:.120}", checks.listed_file, folder, entry)
        if path is not None and isinstance(listed, str):
            # A damaged file is not opened again: the checks that need it say so.
            good[listed] = path
    return good


def _frame(rows: list[tuple[str, bool | None, str]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "check": [check for check, _, _ in rows],
            # object, or pandas would turn None into something that is neither
            "ok": pd.Series([ok for _, ok, _ in rows], dtype=object),
            "detail": [detail for _, _, detail in rows],
        }
    )
