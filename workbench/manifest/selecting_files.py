"""Choosing documents straight from the score files of a run, be they a hundred or many millions.

The files are those of `select` and `write_manifest`, byte for byte; the way there is DuckDB
(`workbench.selection.duckdb_scores`), a walk down each ranking in pieces
(`workbench.selection.streaming`) and a file that is written as the rows come.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
from contextlib import ExitStack

import pandas as pd

from workbench.core.files import read_json, resolve_inside
from workbench.core.parquet_writing import scratch_folder, written
from workbench.core.progress import progress_bar
from workbench.manifest.croissant import (
    CLUSTERS_FILE,
    EXCLUDED_FILE,
    SELECTION_FILE,
    by_score_term,
    check_publishable,
    selection_term,
)
from workbench.manifest.mixture import Mixture, mixture_term
from workbench.manifest.run_record import RUN_FILE, RunBeside, run_beside
from workbench.manifest.writing import publish, write_excluded
from workbench.scoring.folder.receipts import check_files
from workbench.scoring.schema import columns_in
from workbench.selection.domain_quota import By, check_by, share_of
from workbench.selection.duckdb_scores import ScoreFiles
from workbench.selection.duplicates import CLUSTER_SCHEMA, Duplicates, limit_of
from workbench.selection.filter_funnel import Funnel, excluded_rows
from workbench.selection.ranking import SCORE, selection_heading
from workbench.selection.streaming import QUIET, StreamingSelection


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FileSelection:
    """A selection that lies in files.

    Attributes:
        manifest: path of manifest.json; selection.parquet lies beside it.
        domains: one row a domain, as `Selection.domains`.
        fraction: the share that was asked for.
        by: whether the share is one of the documents or of the tokens.
        duplicates: the duplicate policy that was asked for.
        cap: how many documents of a duplicate group may be chosen under the policy "cap", or None.
        by_score: the column that the documents were ranked by.
        without_value: how many documents were left out because they have no value in it.
    """

    manifest: pathlib.Path
    domains: pd.DataFrame
    fraction: float
    by: By
    duplicates: Duplicates
    cap: int | None
    by_score: str = SCORE
    without_value: int = 0

    def __repr__(self) -> str:
        heading = selection_heading(self)
        return f"{heading}, in {self.manifest.parent}\n{self.domains.to_string(index=False)}"


def select_files(
    folder: str | os.PathLike[str],
    fraction: float = 0.20,
    by: By = "documents",
    *,
    duplicates: Duplicates = "report",
    cap: int | None = None,
    clusters: str | os.PathLike[str] | None = None,
    by_score: str = SCORE,
    exclude: Funnel | str | pathlib.Path | None = None,
    name: str = "attention-influence-selection",
    corpus_note: str | None = None,
    license: str | None = None,
    date: datetime.date | None = None,
    mixture: Mixture | None = None,
    memory: str = "1GB",
    threads: int = 2,
) -> FileSelection:
    """Choose from the score files of a finished run and write its manifest, on disk throughout.

    Files are replaced atomically, the manifest last; an error leaves the old ones.

    Measured once, on two cores shared with other work: 100 million rows in 20 domains, duplicates
    "keep one", took 50 minutes and 1,791 MiB at most, 498 of them for the imports; 11.9 GB of disk
    were used on the way. `python -m benchmarks --only selection --rows N` repeats it.

    Args:
        folder: folder of a finished run (`score_corpus(out=...)`); `selection.parquet` and
            `manifest.json` are written into it, and `selection_clusters.parquet` with clusters.
        fraction: share to choose in every domain, as in `select`.
        by: "documents" or "tokens", what the share is of, as in `select`.
        duplicates: the duplicate policy, as in `select`.
        cap: the number for the policy "cap", as in `select`.
        clusters: a Parquet file of near-duplicates, as `near_duplicates(out=)` writes it, or None.
        by_score: the column of the score files to rank by, as in `select`; documents without a
            value in it are left out.
        exclude: a funnel or its file, as in `select`.
        name: name of the data set.
        corpus_note: which corpus this is, in words (name, revision, where it can be had).
        license: URL or SPDX name for the published rows.
        date: date of publication; today when None.
        mixture: the shares in which the domains are to be trained on, as in `write_manifest`.
        memory: bound on the memory of the sorts and joins; beyond it the folder's disk is used,
            and freed again (about 200 bytes a row of 30 million, or of the largest domain). The
            process needs some 0.2 GB more, 12 bytes a text or cluster that several documents of a
            domain share, and what it held before.
        threads: threads of the sorts and joins.

    Returns:
        Where the selection lies, and the figures of each domain.

    Raises:
        ValueError: when the run is not finished, a score file was changed, a row could not be
            ranked, or an argument is out of range.
    """
    folder = pathlib.Path(folder)
    share, limit = share_of(fraction), limit_of(duplicates, cap)
    check_by(by)
    run = _finished_run(folder)
    ranked_by = by_score_term(run.record, by_score)
    check_publishable(corpus_note, ())
    paths = _unchanged(folder, run)
    if not isinstance(clusters, str | os.PathLike | None):
        raise TypeError(
            "clusters is the path of a Parquet file, which near_duplicates(out=) writes, got "
            f"{type(clusters).__name__}"
        )
    near = None if clusters is None else pathlib.Path(clusters)
    made: dict[str, tuple[str, int]] = {}
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(folder))
        funnel, out = None, None
        if exclude is not None:
            funnel, _ = excluded_rows(exclude)
            out = scratch / EXCLUDED_FILE
            made[EXCLUDED_FILE] = write_excluded(out, funnel)
        scores = stack.enter_context(
            ScoreFiles(
                paths, near, memory=memory, threads=threads, scratch=scratch,
                of_user=columns_in(run.record), by_score=by_score, excluded=out,
            )
        )  # fmt: skip
        scored = run.record["documents"]["scored"]
        if scores.documents != scored:
            raise ValueError(
                f"the score files hold {scores.documents} rows, the run scored {scored}; the "
                "folder is not that of this run"
            )
        walk = StreamingSelection(scores, share, by, limit)
        check_publishable(None, (source.as_py() for source in walk.sources))
        digest = walk.text_digest()
        with progress_bar("ranking", "doc", walk.documents, bar=walk.documents > QUIET) as done:
            path = scratch / SELECTION_FILE
            made = {SELECTION_FILE: written(path, walk.rows(done), walk.schema)} | made
        if near is not None:
            path = scratch / CLUSTERS_FILE
            made[CLUSTERS_FILE] = written(path, scores.clusters(), CLUSTER_SCHEMA)
        figures = walk.figures()
        manifest = publish(
            folder, scratch, run, made,
            corpus={"note": corpus_note, "sources": len(walk.sources), "text_digest": digest},
            selection=selection_term(
                float(fraction), by, duplicates, cap, near is not None, ranked_by
            ),
            domains=figures, mixture=mixture_term(mixture, [row["domain"] for row in figures]),
            funnel=None if funnel is None else funnel.to_json(),
            name=name, license=license, date=date,
        )  # fmt: skip
    return FileSelection(
        manifest, pd.DataFrame(figures), float(fraction), by, duplicates, cap, by_score,
        scored - scores.left_out - walk.documents,
    )  # fmt: skip


def _finished_run(folder: pathlib.Path) -> RunBeside:
    """The run of the folder, which has rows to rank."""
    if not os.path.lexists(folder / RUN_FILE):
        raise ValueError(
            f"{folder} holds no {RUN_FILE}: expected a folder written by score_corpus(out=...)"
        )
    try:
        stated = read_json(resolve_inside(folder, RUN_FILE))
    except ValueError as error:
        raise ValueError(f"{folder} is not the folder of a run: {error}") from error
    if isinstance(stated, dict) and stated.get("documents", 0) is None:
        raise ValueError(
            f"the run in {folder} is not finished: score with the same settings and it goes on"
        )
    run = run_beside(folder, stated)
    if not run.record["documents"]["scored"]:
        raise ValueError(
            f"the run in {folder} scored none of its documents, so there is nothing to choose "
            f"from: {folder / 'skipped.jsonl'} says why"
        )
    if not run.score_files:
        raise ValueError(f"{folder} holds no score files of its run, so there is nothing to rank")
    return run


def _unchanged(folder: pathlib.Path, run: RunBeside) -> list[pathlib.Path]:
    """The paths of the score files, whose bytes are those that the run wrote."""
    skipped, files = run.record["skipped_file"], run.score_files
    if skipped and skipped["path"] in run.listed:
        check_files(folder, [skipped])
    with progress_bar("checking score files", "file", len(files), bar=len(files) > 50) as done:
        paths = []
        for file in files:
            paths += check_files(folder, [file])
            done(1)
    return paths
