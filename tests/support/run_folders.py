"""Run folders for the tests, as score_corpus lays them down, with and without a manifest."""

from __future__ import annotations

import datetime
import hashlib
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import sha256_of
from workbench.corpus.reading import Document
from workbench.loading.certificate import Certificate, Check
from workbench.loading.certificate_checks import CHECKS
from workbench.manifest.croissant import BY_SCORE, dataset, file_object
from workbench.manifest.verification.report import VerificationError
from workbench.manifest.verification.verify import verify_manifest
from workbench.manifest.writing import write_manifest
from workbench.scoring.score_table import ScoreTable
from workbench.selection.ranking import select
from workbench.selection.schema import schema_of

DATE = datetime.date(2026, 1, 2)
HOSTILE = '<img src=x onerror=alert(1)> "@id": \n ../../etc'
IDENTITY = {"dtype": "float32", "weights_sha256": "a" * 64, "tokenizer_sha256": "b" * 64}
SKIPPED = [("too short", 3), ("not text", 1)]
LISTED = ["selection.parquet", "run.json", "skipped.jsonl", "scores/part-0.parquet"]


def documents():
    """The corpus of the synthetic scores."""
    return [
        Document(
            f"doc {i}", f"document number {i} é", ["code", "math", HOSTILE][i % 3], "a.jsonl", i
        )
        for i in range(24)
    ]


def score_table():
    """Scores of `documents`, the way that score_corpus gives them, with a tie in each domain."""
    random = np.random.default_rng(0)
    base = random.uniform(1, 3, 24)
    ref = base * random.uniform(1, 2, 24)
    base[3:6], ref[3:6] = base[:3], ref[:3]
    corpus = documents()
    return pd.DataFrame(
        {
            "doc_id": [document.doc_id for document in corpus],
            "domain": [document.domain for document in corpus],
            "source": [document.source for document in corpus],
            "row": [document.row for document in corpus],
            "tokens": random.integers(5, 90, 24),
            "predicted": 4,
            "loss_base": base,
            "loss_ref": ref,
            "score": (ref - base) / base,
            "compression_ratio": np.where(np.arange(24) == 7, np.nan, 2.0),
            "text_sha256": [hashlib.sha256(d.text.encode()).hexdigest() for d in corpus],
        }
    )


def certificate():
    """A certificate in which every check passed, as a run record holds it."""
    checks = [Check(c.name, True, 0.0, 0.0, c.bound, c.unit, c.tested) for c in CHECKS]
    return Certificate(tuple(checks), "float32", "cpu", "sdpa", True).to_json()


def run_record(table):
    return {
        "format": 1,
        "software": {"workbench": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
        "model": {
            "source": "/home/somebody/models/small-lm",
            "revision": None,
            **IDENTITY,
            "device": "cpu",
            "layers": 30,
            "heads": 9,
            "special_tokens_prepended": [],
        },
        "certificate": certificate(),
        "heads": {
            "heads": "L17H3 L18H6",
            "text": "L17H3 L18H6",
            "layers": 30,
            "heads_per_layer": 9,
            "origin": {"probes": "/home/some body/probes.json", "note": "of /home/x/y, =1/2"},
        },
        "mode": "uniform",
        "window": 8192,
        "max_tokens": 512,
        "formula": "(loss_ref - loss_base) / loss_base",
        "documents": {"read": len(table) + 4, "scored": len(table), "skipped": 4},
        "score_files": [],
        "skipped_file": None,
    }


def describe(path, folder, rows):
    size = path.stat().st_size
    name = path.relative_to(folder).as_posix()
    return {"path": name, "sha256": sha256_of(path), "bytes": size, "rows": rows}


def lay_down_run(folder, frame=None):
    """Write a run's folder as score_corpus does, of scores or made-up ones; its ScoreTable."""
    frame = score_table() if frame is None else frame
    record = run_record(frame)
    (folder / "scores").mkdir(parents=True)
    for part, places in enumerate(np.array_split(np.arange(len(frame)), 2)):
        path = folder / f"scores/part-{part}.parquet"
        rows = frame.iloc[places]
        pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), path)
        record["score_files"].append(describe(path, folder, len(rows)))
    skipped = [
        {"doc_id": None, "domain": None, "source": "a", "row": 0, "reason": reason}
        for reason, count in SKIPPED
        for _ in range(count)
    ]
    lines = [json.dumps(document) for document in skipped]
    (folder / "skipped.jsonl").write_text("\n".join(lines) + "\n")
    record["skipped_file"] = describe(folder / "skipped.jsonl", folder, 4)
    (folder / "run.json").write_text(json.dumps(record))
    return ScoreTable(frame, record, skipped)


def lay_down_manifest(folder):
    """Write a run's folder and the manifest of a selection from it; return the folder."""
    write_manifest(select(lay_down_run(folder), 0.3), folder, corpus_note="made up", date=DATE)
    return folder


OWN = {"name": "surprise", "formula": "share of tokens above 5 nats"}  # a column of the user


def ranked_by(folder, column):
    """Write a manifest over the scores, ranked by a column such as OWN; return the chosen rows."""
    frame = score_table()
    frame["surprise"] = np.random.default_rng(1).uniform(size=len(frame))
    frame["rise"] = frame["loss_ref"] - frame["loss_base"]
    run = run_record(frame) | {"columns": [OWN]}
    write_manifest(select(ScoreTable(frame, run, []), 0.3, by_score=column), folder, date=DATE)
    return pq.read_table(folder / "selection.parquet").to_pandas().query("selected")


def of_older_format(folder, format):
    """Make the manifest of a folder one as versions of an older format wrote it."""
    stated = json.loads((folder / "manifest.json").read_text())
    rows = pq.read_table(folder / "selection.parquet", columns=schema_of(format).names)
    pq.write_table(rows, folder / "selection.parquet")
    terms = {key: value for key, value in stated.items() if key.startswith("aiw:")}
    if format < BY_SCORE:
        del terms["aiw:selection"]["by_score"]
    path = folder / "selection.parquet"
    files = [file_object(path.name, sha256_of(path), path.stat().st_size)]
    files += stated["distribution"][1:]
    older = dataset(stated["name"], terms | {"aiw:format": format}, files, None, DATE)
    (folder / "manifest.json").write_text(json.dumps(older))


def edit_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def failures(folder, **options):
    """The names of the failed checks, for which verification must raise an error that names them.

    It goes through the files once: that a report without the error is the same stands in
    tests/manifest/verification/test_verify.py.
    """
    said = None
    try:
        report = verify_manifest(folder, **options)
    except VerificationError as error:
        report, said = error.report, str(error)
    failed = [row.check for row in report.checks.itertuples() if row.ok is False]
    assert report.ok is (said is None) is not bool(failed)
    assert all(check in said for check in failed)
    return failed
