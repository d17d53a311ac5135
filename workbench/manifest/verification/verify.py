"""Checking a manifest: is everything that it says about the selection so?

Everything is computed again from the files beside it, offline, in the levels of
`workbench.manifest.verification.levels`: files, sources, ranks, texts, scores. A manifest is not
signed, so a check proves that it agrees with its files, its corpus and its model, not who wrote it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from workbench.corpus.readers.rows import Columns
from workbench.manifest.croissant import FUNNEL
from workbench.manifest.mixture import MIXTURE
from workbench.manifest.verification import (
    corpus_checks,
    file_checks,
    model_checks,
    rank_checks,
    row_checks,
)
from workbench.manifest.verification.levels import LEVELS, levels_to
from workbench.manifest.verification.ranking_again import ranked_again
from workbench.manifest.verification.report import Steps, Verification, VerificationError


def verify_manifest(
    folder: str | os.PathLike[str],
    model: Any = None,
    corpus: Any = None,
    *,
    level: str | None = None,
    texts: int | None = None,
    sample: int = 8,
    seed: int = 0,
    strict: bool = True,
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
) -> Verification:
    """Check every statement of `folder`/manifest.json that can be checked with what is given.

    Levels, in order of cost, each with all before it:

    - "files": every listed file has the stated size and SHA-256, the list is complete, manifest,
      run record and run.json agree, the certificate is whole and passed, and the mixture, where
      there is one, is one of the selection's domains. Not that the files are right: anybody can
      state the hashes of any files.
    - "sources": each named source is a file of `corpus` and reaches to its last ranked row. Not
      that its rows hold the same texts.
    - "ranks": scores, ranks, thresholds, counts, shares and duplicate policy follow from the
      losses, and the rows are those of the score files. Not that the losses are those of the texts.
    - "texts": the (drawn) ranked texts are those that were scored. Not that the losses are theirs.
    - "scores": the model is the stated one, and gives the stated losses for the drawn documents.
      Not those of the others, nor that the corpus was scored whole.

    What was not checked stands in the report with `ok` None. Score files and run.json that are
    not in the folder are such a case: the manifest may be published without them. Long loops show
    a bar with the time left, and the report says how long each level took.

    The ranks are checked in pieces, with the system's temporary folder for what 1 GB of memory does
    not hold. The texts take about 50 bytes a row.

    Args:
        folder: where manifest.json and the files beside it lie.
        model: a loaded model; its `identity` must hold the stated weights_sha256 and
            tokenizer_sha256, and it must pass the checks of `certify`. With `corpus`, `sample`
            documents are scored again and both losses must agree (within 1e-4, relative, in
            float32).
        corpus: anything that `workbench.corpus.reading.read_corpus` takes. The texts of ranked
            rows, found by (source, row), must have the stated SHA-256. Files are read source by
            source, anything else is streamed once.
        level: the last level to go to, which must be reached; None goes as far as what is given
            and what lies in the folder allow, and the report says how far that was.
        texts: hash so many texts, drawn by source, instead of all. A draw finds a change of one
            row in a hundred with 95 % probability from 300 texts, and of a single row hardly ever.
        sample: how many ranked documents to score again.
        seed: of both draws. Whoever forges a manifest knows the default: take another.
        strict: raise VerificationError when a check fails or the level is not reached, instead of
            returning the report.
        id: name of the corpus's column of identifiers.
        text: name of the corpus's column of texts.
        domain: name of the corpus's column of domains, or None.

    Returns:
        The outcome of each check, the level that was reached, and the time that each level took.

    Raises:
        ValueError: for a level that cannot be reached with what is given, or a draw below 1.
        VerificationError: with `strict`, when a check fails or the level is not reached.
    """
    wanted = _levels_to_go(level, model, corpus, texts, sample)
    opened = corpus_checks.opened(corpus, Columns(id, text, domain))
    folder = pathlib.Path(folder)
    run = _Run(Steps(), folder, model, opened, texts, sample, seed)
    for name in wanted:
        with run.steps.level(name):
            getattr(run, name)()
    for name in LEVELS[len(wanted) :]:
        run.steps.skip(f"level {name!r}", f"level={level!r} was asked for", name)
    report = Verification(run.steps.frame(), run.steps.levels(), level, str(folder))
    if strict and not report.ok:
        raise VerificationError(report)
    return report


def _levels_to_go(
    level: str | None, model: Any, corpus: Any, texts: int | None, sample: int
) -> tuple[str, ...]:
    """The levels to go through; ValueError where what is given does not do."""
    for name, number in (("sample", sample), ("texts", 1 if texts is None else texts)):
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be a whole number from 1, got {number!r}")
    wanted = levels_to(level)
    if corpus is None and level in ("sources", "texts", "scores"):
        raise ValueError(f"level {level!r} takes the corpus: give corpus=, or another level")
    if model is None and level == "scores":
        raise ValueError("level 'scores' takes the model: give model=, or another level")
    return wanted


@dataclasses.dataclass
class _Run:
    """One verification on its way: what was given, and what later levels need of earlier ones."""

    steps: Steps
    folder: pathlib.Path
    model: Any
    corpus: corpus_checks.CorpusHandle | Exception | None
    hashed: int | None
    sample: int
    seed: int

    manifest: Any = None
    record: Any = None
    listed: Any = None
    ranked: Any = None
    documents: Any = None

    def files(self) -> None:
        steps, folder = self.steps, self.folder
        self.manifest = manifest = steps.run("manifest", file_checks.manifest_terms, folder)
        self.record = record = steps.run("run record", file_checks.run_record, manifest)
        steps.run("certificate", model_checks.certificate, record, manifest)
        if manifest is not None and MIXTURE in manifest:
            steps.run("mixture", file_checks.mixture, manifest)
        self.listed = self._listed()
        steps.run("list of files", file_checks.listing, folder, manifest, record)
        steps.run("run.json", file_checks.run_file, manifest, self.listed)
        if record is not None and "score_files" not in record:
            self._follow_receipts(record)

    def _follow_receipts(self, record: Any) -> None:
        """Check what hangs on the list of receipts, and add what passed to the files and record."""
        run = self.steps.run
        stated = run("receipts", file_checks.receipts, self.folder, record, self.listed)
        scores = [{"contentUrl": file["path"]} for file in stated or ()]
        with file_checks.hashing(self.folder, scores) as done:
            paths = run("score files", file_checks.score_files, self.folder, stated, done)
        self.listed = {**(self.listed or {}), **(paths or {})}
        self.record = {**record, "score_files": stated if paths else []}

    def _listed(self) -> dict[str, pathlib.Path] | None:
        """Check each listed file in a row of its own; return those that passed, by listed path."""
        if self.manifest is None:
            return None
        good: dict[str, pathlib.Path] = {}
        with file_checks.hashing(self.folder, self.manifest["distribution"]) as done:
            for entry in self.manifest["distribution"]:
                listed = entry.get("contentUrl") if isinstance(entry, dict) else None
                check = f"file {listed!r:.120}"
                path = self.steps.run(check, file_checks.listed_file, self.folder, entry, done)
                if path is not None and isinstance(listed, str):
                    # A damaged file is not opened again: the checks that need it say so.
                    good[listed] = path
        return good

    def sources(self) -> None:
        if self.corpus is None:
            self.steps.skip("sources of the corpus", "no corpus= was given")
            return
        run = self.steps.run
        self.ranked = run("places of the ranked rows", corpus_checks.ranked_texts, self.listed)
        run("sources of the corpus", corpus_checks.sources, self.ranked, self.corpus)

    def ranks(self) -> None:
        run, manifest, record, listed = self.steps.run, self.manifest, self.record, self.listed
        stored = run("selection rows", row_checks.selection_rows, manifest, listed)
        run("scores follow from losses", row_checks.formula, stored)
        again = None
        if stored is not None and manifest is not None:
            again = ranked_again(stored, manifest, record, listed)
        arguments = again, manifest, record, listed
        run("rows are the scored rows", rank_checks.scored_rows, *arguments)
        run("ranks and thresholds", rank_checks.ranking, again, manifest)
        if manifest is not None and FUNNEL in manifest:
            run("funnel", rank_checks.funnel, manifest, listed)
        run("counts", rank_checks.counts, again, manifest, record)
        run("skipped documents", file_checks.skipped, manifest, record, listed)

    def texts(self) -> None:
        if self.corpus is None:
            self.steps.skip("texts of the corpus", "no corpus= was given")
            return
        kept = 0 if self.model is None else self.sample
        draws = corpus_checks.Draws(self.hashed, kept, self.seed)
        self.documents = self.steps.run(
            "texts of the corpus", corpus_checks.texts, self.ranked, self.corpus, draws
        )

    def scores(self) -> None:
        run, model, record = self.steps.run, self.model, self.record
        if model is None:
            self.steps.skip("model identity", "no model= was given")
            self.steps.skip("certificate again", "no model= was given")
        else:
            known = run("model identity", model_checks.identity, record, model)
            run("certificate again", model_checks.certified_again, model)
        if model is None or self.corpus is None:
            self.steps.skip("sample scored again", "it takes both model= and corpus=")
        else:
            drawn = self.documents, self.listed
            check = "sample scored again"
            run(check, model_checks.scored_again, record, self.manifest, model, known, *drawn)
