"""How long each level of a verification will take here, from rates measured on small parts of it.

Measured are: bytes a second of SHA-256, what opening a file costs, rows a second of ranking,
documents a second of reading and hashing, and tokens a second of the model. Each takes a fraction
of a second, the model's a few. The estimate supposes that the machine stays as busy as it is.
"""

from __future__ import annotations

import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import plain_file
from workbench.core.parquet import groups_of
from workbench.core.progress import counted
from workbench.corpus.random_access import GivenCorpus
from workbench.corpus.readers.rows import Columns
from workbench.manifest.croissant import SELECTION_FILE
from workbench.manifest.verification import checks, on_disk_checks
from workbench.manifest.verification import corpus_checks as of_corpus
from workbench.manifest.verification.corpus_estimate import (
    FILES,
    FIRST_ROWS,
    SECONDS,
    Piece,
    first_rows,
    of_scores,
    of_sources,
    of_texts,
    spread,
    timed,
)
from workbench.manifest.verification.levels import levels_to
from workbench.manifest.writing import differences, public_record, read_scores, text_digest
from workbench.scoring.receipts import with_score_files
from workbench.selection.ranking import SCORE_COLUMNS, select

_HASHED = 1 << 26  # bytes of the first file
_QUIET = 1 << 30  # fewer bytes than this are hashed without a bar


def verification_estimate(
    folder: str | os.PathLike[str],
    model: Any = None,
    corpus: Any = None,
    *,
    level: str | None = None,
    texts: int | None = None,
    sample: int = 8,
    seed: int = 0,
    id: str = "id",
    text: str = "text",
    domain: str | None = "domain",
) -> pd.DataFrame:
    """Estimate what `verify_manifest` with the same arguments takes, without checking anything.

    One row a piece of work: level, what (with its unit), amount, seconds; levels that cannot be
    reached with what is given have none. Of a corpus that can be read only once, the rows that were
    measured with are gone afterwards.

    Raises ValueError or OSError where manifest.json or selection.parquet cannot be read.
    """
    reached = levels_to(level)
    folder, given = pathlib.Path(folder), of_corpus.opened(corpus, Columns(id, text, domain))
    if isinstance(given, Exception):
        raise given
    try:
        return _frame(_pieces(folder, model, given, reached, texts=texts, sample=sample, seed=seed))
    except (KeyError, TypeError, AttributeError, checks.Failed) as error:
        raise ValueError(
            f"{folder} holds no manifest to make an estimate for ({error!s:.300}): verify it"
        ) from error


def estimated(
    folder: pathlib.Path, model: Any, corpus: Any, reached: Sequence[str], **draws: Any
) -> pd.DataFrame:
    """The estimate of a verification that goes on whatever comes: pieces up to what cannot be
    measured, since the checks will say what is wrong."""
    pieces: list[Piece] = []
    try:
        given = None if isinstance(corpus, Exception) else corpus
        for piece in _pieces(folder, model, given, reached, **draws):
            pieces.append(piece)
    except Exception:  # garbage may raise anything
        pass
    return _frame(pieces)


def hashing(
    folder: pathlib.Path, distribution: Iterable[Any]
) -> AbstractContextManager[Callable[[int], object]]:
    """Progress over the bytes of all listed files that are there, in MB."""
    total = sum(size for _, size in _listed(folder, distribution))
    return _megabytes(total)


@contextmanager
def _megabytes(total: int) -> Iterator[Callable[[int], object]]:
    with counted("hashing files", "MB", round(total / 1e6), bar=total > _QUIET) as done:
        told = seen = 0

        def hashed(size: int) -> None:
            nonlocal told, seen
            seen += size
            done(round(seen / 1e6) - told)
            told = round(seen / 1e6)

        yield hashed


def _frame(pieces: Iterable[Piece]) -> pd.DataFrame:
    return pd.DataFrame(list(pieces), columns=["level", "what", "amount", "seconds"])


def _pieces(
    folder: pathlib.Path,
    model: Any,
    corpus: GivenCorpus | None,
    reached: Sequence[str],
    *,
    texts: int | None,
    sample: int,
    seed: int,
) -> Iterator[Piece]:
    began = time.perf_counter()
    manifest, _ = checks.manifest_terms(folder)
    record = manifest["aiw:run"]
    public_record(record)
    # The record is made public twice, and compared with the manifest and with run.json.
    yield "files", "manifests and records to compare", 2, 2 * (time.perf_counter() - began)
    yield from _of_files(folder, manifest)
    with plain_file(folder, SELECTION_FILE).open("rb") as stream:
        rows = sum(group.rows for group in groups_of(stream))
    if "sources" in reached and corpus is not None:
        yield from of_sources(folder, corpus, rows)
    if "ranks" in reached:
        yield from _of_ranks(folder, manifest, rows)
    if "texts" in reached and corpus is not None:
        hashed = rows if texts is None else min(texts, rows)
        yield from of_texts(folder, corpus, record, rows, hashed)
    if "scores" in reached and corpus is not None and model is not None:
        yield from of_scores(
            folder, corpus, model, record, of_corpus.drawn_rows(rows, sample, seed)
        )


def _listed(
    folder: pathlib.Path, distribution: Iterable[Any]
) -> Iterator[tuple[pathlib.Path, int]]:
    """Path and size of the listed files that are there; sizes as they are, not as stated."""
    for entry in distribution:
        try:
            path = plain_file(folder, entry.get("contentUrl"))
            yield path, path.stat().st_size
        except (ValueError, OSError, AttributeError):
            continue


def _of_files(folder: pathlib.Path, manifest: dict[str, Any]) -> Iterator[Piece]:
    listed = list(_listed(folder, manifest["distribution"]))
    if "score_files" not in manifest["aiw:run"]:  # they hang on the list of receipts
        hanging = [*folder.glob("receipts/part-*"), *folder.glob("scores/part-*")]
        listed += [(path, path.stat().st_size) for path in hanging]
    first, size = max(listed, key=lambda one: one[1])
    seconds, _ = timed(checks.hashed, first, lambda _: None, _HASHED)
    total = sum(size for _, size in listed)
    yield "files", "bytes to hash", total, total * seconds / min(size, _HASHED)
    some = spread(listed, FILES)
    opening, _ = timed(
        lambda: [checks.hashed(plain_file(folder, path.relative_to(folder).as_posix()),
                               lambda _: None, 1) for path, _ in some]
    )  # fmt: skip
    yield "files", "files to open", len(listed), opening / len(some) * len(listed)


def _of_ranks(folder: pathlib.Path, manifest: dict[str, Any], rows: int) -> Iterator[Piece]:
    record = manifest["aiw:run"]
    if on_disk_checks.is_for(manifest, {SELECTION_FILE: plain_file(folder, SELECTION_FILE)}):
        yield "ranks", "rows to rank, on disk", rows, rows * _seconds_on_disk(folder, manifest)
        return

    def ranked() -> None:
        head = first_rows(folder).to_pandas()
        checks.formula(head)
        scores = head[list(SCORE_COLUMNS)]
        select(scores)
        differences(head, scores)
        text_digest(head)

    seconds, _ = timed(ranked)
    yield "ranks", "rows to rank", rows, rows * seconds / min(rows, FIRST_ROWS)
    files = [one["path"] for one in with_score_files(folder, record)["score_files"]]
    files = [path for path in files if os.path.lexists(folder / path)]
    if not files:
        return
    taken, end = [], time.perf_counter() + SECONDS
    for path in spread(files, FILES):
        taken.append(timed(read_scores, [plain_file(folder, path)])[0])
        if time.perf_counter() > end:
            break
    yield "ranks", "score files to read", len(files), len(files) * float(np.mean(taken))


def _seconds_on_disk(folder: pathlib.Path, manifest: dict[str, Any]) -> float:
    """Seconds a row, from two measures on the first rows: what DuckDB takes to start is no part."""
    head = first_rows(folder)
    few = head.slice(0, 1 + len(head) // 10)
    asked = {"aiw:selection": {**manifest["aiw:selection"], "clusters": None}}
    first, second = (_ranking_on_disk(rows, asked) for rows in (few, head))
    return max(second - first, 0.1 * second) / max(len(head) - len(few), 1)


def _ranking_on_disk(rows: pa.Table, manifest: dict[str, Any]) -> float:
    with tempfile.TemporaryDirectory() as room:
        files = {SELECTION_FILE: pathlib.Path(room, SELECTION_FILE)}
        pq.write_table(rows, files[SELECTION_FILE])
        stored = on_disk_checks.StoredRows(files[SELECTION_FILE])
        again = on_disk_checks.RankedAgain(stored, manifest, {"score_files": []}, files)
        began = time.perf_counter()
        on_disk_checks.selection_rows(files)
        on_disk_checks.formula(stored)
        _ = again.found
        return time.perf_counter() - began
