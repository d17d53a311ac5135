"""The manifest: what was selected, from which scores, made by which model with which heads masked.

A manifest is `manifest.json` (Croissant 1.1 JSON-LD, http://mlcommons.org/croissant/1.1, with
W3C PROV and our own `aiw:` terms) beside `selection.parquet`. It never holds document text or an
absolute path. `workbench.manifest.verification.verify` reads it back and checks its statements.

The `aiw:` terms are JSON literals: `aiw:format` (int), `aiw:run` (see `run_record.public_record`),
`aiw:documents` (counts), `aiw:skippedReasons` (list of reason, documents; or null), `aiw:corpus`
(note, sources, text_digest), `aiw:selection` (see `selection_term`), `aiw:domains` (the rows of
`Selection.domains`) and, where one was given, `aiw:mixture` (see `workbench.manifest.mixture`) and
`aiw:funnel` (see `workbench.selection.filter_funnel.Funnel.to_json`).
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
from typing import Any

import pandas as pd
import pyarrow as pa

from workbench.core.files import sha256_of, write_atomically
from workbench.core.parquet_writing import scratch_folder, written
from workbench.manifest.croissant import (
    CLUSTERS_FILE,
    EXCLUDED_FILE,
    FORMAT,
    FUNNEL,
    SELECTION_FILE,
    by_score_term,
    check_publishable,
    dataset,
    documents_term,
    file_object,
    selection_term,
)
from workbench.manifest.mixture import MIXTURE, Mixture, mixture_term
from workbench.manifest.run_record import RunBeside, run_beside, run_of_selection
from workbench.scoring.folder.receipts import check_files
from workbench.scoring.schema import ADDED, columns_in, completed
from workbench.selection.duckdb_scores import ScoreFiles
from workbench.selection.duplicates import CLUSTER_SCHEMA
from workbench.selection.filter_funnel import SCHEMA, Funnel, excluded_rows
from workbench.selection.ranking import Selection
from workbench.selection.schema import schema_of
from workbench.selection.text_digest import text_digest

MANIFEST_FILE = "manifest.json"


def write_manifest(
    selection: Selection,
    folder: str | os.PathLike[str],
    *,
    name: str = "attention-influence-selection",
    corpus_note: str | None = None,
    license: str | None = None,
    date: datetime.date | None = None,
    mixture: Mixture | None = None,
) -> pathlib.Path:
    """Write `selection.parquet` and `manifest.json` into a folder.

    Both files are replaced atomically; nothing is written when an error is raised.

    Args:
        selection: what `workbench.selection.ranking.select` returned.
        folder: usually the folder of the run, where score files, `skipped.jsonl` and `run.json`
            lie: these are then listed too, and every ranked row must be found in the score files
            with the same values. Any other folder works and is made when missing.
        name: name of the data set.
        corpus_note: which corpus this is, in words (name, revision, where it can be had).
        license: URL or SPDX name for the published rows.
        date: date of publication; today when None, the only thing that differs between two calls.
        mixture: the shares in which the domains are to be trained on, of `MixtureFit.best`; the
            default weights of `write_blends`. None: no statement.

    Returns:
        The path of manifest.json.

    Raises:
        ValueError: when there is no run record, when record, files and selection disagree, when
            the documents are ranked by what is no column of the score files, when the mixture is
            not one of the selection's domains, or when a source name or the note is an absolute
            path.
    """
    folder = pathlib.Path(folder)
    table = selection.table
    check_publishable(corpus_note, table["source"].unique())
    run = run_beside(folder, run_of_selection(selection, folder))
    ranked_by = by_score_term(run.record, selection.by_score)
    schema = schema_of(of_user=columns_in(run.record))
    shares = mixture_term(mixture, selection.domains["domain"])
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder) as scratch:
        rows = table.assign(repeat=table["selected"].astype("int64"))
        made = {SELECTION_FILE: _written(scratch / SELECTION_FILE, rows, schema)}
        if selection.clusters is not None:
            path = scratch / CLUSTERS_FILE
            made[CLUSTERS_FILE] = _written(path, selection.clusters, CLUSTER_SCHEMA)
        if selection.exclude is not None:
            made[EXCLUDED_FILE] = write_excluded(scratch / EXCLUDED_FILE, selection.exclude)
        _require_scored(run, folder, scratch, len(table))
        return publish(
            folder, scratch, run, made,
            corpus={
                "note": corpus_note,
                "sources": int(table["source"].nunique()),
                "text_digest": text_digest(table),
            },
            selection=selection_term(
                selection.fraction, selection.by, selection.duplicates, selection.cap,
                selection.clusters is not None, ranked_by,
            ),
            domains=selection.domains.to_dict("records"), mixture=shares,
            funnel=None if selection.exclude is None else selection.exclude.to_json(),
            name=name, license=license, date=date,
        )  # fmt: skip


def publish(
    folder: pathlib.Path,
    scratch: pathlib.Path,
    run: RunBeside,
    made: dict[str, tuple[str, int]],
    *,
    corpus: dict[str, Any],
    selection: dict[str, Any],
    domains: list[Any],
    mixture: dict[str, Any] | None,
    funnel: dict[str, Any] | None = None,
    name: str,
    license: str | None,
    date: datetime.date | None,
) -> pathlib.Path:
    """Move the files of a selection out of the scratch folder and write their manifest.

    Args:
        folder: of the manifest.
        scratch: where the files lie, on the same disk.
        run: whose scores were ranked.
        made: sha256 and bytes of each file by its name, selection.parquet first.
        corpus: aiw:corpus: note, sources (their number) and text_digest.
        selection: aiw:selection, as `selection_term` gives it.
        domains: aiw:domains, the rows of `Selection.domains`.
        mixture: aiw:mixture, as `mixture_term` gives it; None: no such term.
        funnel: aiw:funnel, as `Funnel.to_json` gives it; None: no such term.
        name: of the data set.
        license: URL or SPDX name, or None.
        date: of publication; today when None.

    Returns:
        The path of manifest.json.
    """
    ranked, selected = (
        sum(domain[f"documents_{key}"] for domain in domains) for key in ("seen", "selected")
    )
    left_out = run.record["documents"]["scored"] - ranked
    terms = {
        "aiw:format": FORMAT,
        "aiw:run": run.record,
        "aiw:documents": documents_term(run.record, left_out, ranked, selected),
        "aiw:skippedReasons": run.reasons,
        "aiw:corpus": corpus,
        "aiw:selection": selection,
        "aiw:domains": domains,
        **({} if mixture is None else {MIXTURE: mixture}),
        **({} if funnel is None else {FUNNEL: funnel}),
    }
    about = {
        path: (sha256_of(folder / path), (folder / path).stat().st_size) for path in run.listed
    }
    files = [file_object(file, *stated) for file, stated in {**made, **about}.items()]
    manifest = dataset(name, terms, files, license, date or datetime.date.today())
    statement = (json.dumps(manifest, indent=2, allow_nan=False) + "\n").encode()
    for file in made:
        os.replace(scratch / file, folder / file)
    # Last, so that a manifest never states rows that are not there yet.
    return write_atomically(folder / MANIFEST_FILE, statement)


def write_excluded(path: pathlib.Path, funnel: Funnel) -> tuple[str, int]:
    """Write the documents that a funnel leaves out, each with stage and reason.

    Args:
        path: of the file.
        funnel: the funnel.

    Returns:
        sha256 and bytes of the file.
    """
    rows = pa.Table.from_pandas(excluded_rows(funnel)[1], schema=SCHEMA, preserve_index=False)
    return written(path, rows.replace_schema_metadata(None).to_batches(), SCHEMA)


def _require_scored(
    run: RunBeside, folder: pathlib.Path, scratch: pathlib.Path, ranked: int
) -> None:
    """Refuse rows that are not rows of the run, where its score files are there to say so."""
    scored = run.record["documents"]["scored"]
    if run.score_files:
        paths = check_files(folder, run.score_files)
        with ScoreFiles(
            paths, None, ranked=scratch / SELECTION_FILE, scratch=scratch,
            of_user=columns_in(run.record),
        ) as files:  # fmt: skip
            rows, problems = files.differences()
        if rows != scored:
            problems.append(f"the score files hold {rows} rows, the run scored {scored}")
        if problems:
            raise ValueError(
                f"the selection is not one of this folder's scores: {'; '.join(problems)}; "
                "select again from the score files"
            )
    if ranked > scored:
        raise ValueError(f"{ranked} documents are ranked, but the run scored only {scored}")


def _written(path: pathlib.Path, table: pd.DataFrame, schema: pa.Schema) -> tuple[str, int]:
    """Write a frame as `written` does, without what pandas adds to the schema.

    Columns of scores that came with a later version are filled in (`completed`).
    """
    there = pa.schema([field for field in schema if field.name in table])
    lacking = [name for name in schema.names if name not in there.names and name not in ADDED]
    if lacking:
        raise ValueError(
            f"the run has the columns {lacking}, the selection has not: select from the table of "
            "score_corpus or load_scores itself"
        )
    rows = pa.Table.from_pandas(table[there.names], schema=there, preserve_index=False)
    rows = completed(rows, schema)
    return written(path, rows.replace_schema_metadata(None).to_batches(), schema)
