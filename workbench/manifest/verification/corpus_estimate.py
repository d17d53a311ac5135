"""What the parts of a verification that read corpus and model will take, measured on small pieces.

The other parts, and how the pieces are put together, are in
`workbench.manifest.verification.times`.
"""

from __future__ import annotations

import hashlib
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.files import plain_file
from workbench.core.parquet import batches, read_table
from workbench.corpus.document import Document, Skipped
from workbench.corpus.random_access import (
    GivenCorpus,
    count_lines,
    is_plain_lines,
    reaches,
    row_groups,
    size_of,
)
from workbench.corpus.readers.rows import RawRow, read_source
from workbench.corpus.sources import Source
from workbench.manifest.croissant import SELECTION_FILE
from workbench.manifest.ranked_texts import RankedTexts
from workbench.manifest.verification.corpus_checks import digest
from workbench.selection.schema import SELECTION_SCHEMA

FIRST_ROWS = 20_000  # of the selection
FILES = 20  # of a kind that are opened to measure
SECONDS = 0.4  # at most, for going through them
_READ = 500  # rows of a source or a stream
_TOKENS = 512  # of the documents that are scored
_TOGETHER = 8  # documents at most that make them up
_PASSES = 12  # about what a certificate takes
_COUNTED = 1 << 24  # bytes of a file, to count lines

Piece = tuple[str, str, float, float]  # level, what (with its unit), amount, seconds


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spaced, the first among them."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, count).astype(int))]


def timed(function: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    found = function(*given)
    return time.perf_counter() - began, found


def first_rows(folder: pathlib.Path) -> pa.Table:
    """The first rows of the selection; sorted by score, so of sources in no order."""
    with (
        plain_file(folder, SELECTION_FILE).open("rb") as stream,
        pq.ParquetFile(stream, pre_buffer=False) as file,
    ):
        pieces, held = [], 0
        for piece in batches(file, stream, SELECTION_SCHEMA.names, most_rows=FIRST_ROWS):
            pieces.append(piece)
            held += len(piece)
            if held >= FIRST_ROWS:
                break
    return pa.Table.from_batches(pieces).slice(0, FIRST_ROWS)


def of_sources(folder: pathlib.Path, corpus: GivenCorpus, rows: int) -> Iterator[Piece]:
    head = first_rows(folder)
    with tempfile.TemporaryDirectory() as room:
        stored = pathlib.Path(room, SELECTION_FILE)
        pq.write_table(head, stored)
        seconds, _ = timed(RankedTexts, stored)
    yield "sources", "rows to place", rows, rows * seconds / len(head)
    if corpus.files is None:
        return
    found = list(corpus.files.values())
    by_line = [one for one in found if one.kind == "jsonl"]
    others = [one for one in found if one.kind != "jsonl"]
    if by_line:
        total = sum(size_of(one) for one in by_line)
        yield "sources", "bytes to count lines in", total, total * _counting(by_line)
    if others:
        seconds, _ = timed(lambda: [reaches(one, 0) for one in spread(others, FILES)])
        each = seconds / min(len(others), FILES)
        yield "sources", "files to open", len(others), len(others) * each


def _counting(files: Sequence[Source]) -> float:
    """Seconds a byte (as it lies on disk) of counting lines."""
    taken, counted_bytes, end = 0.0, 0, time.perf_counter() + SECONDS
    for one in spread(files, FILES):
        seconds, (_, size) = timed(count_lines, one, None, _COUNTED)
        taken, counted_bytes = taken + seconds, counted_bytes + size
        if time.perf_counter() > end:
            break
    return taken / max(counted_bytes, 1)


def of_texts(
    folder: pathlib.Path,
    corpus: GivenCorpus,
    record: dict[str, Any],
    rows: int,
    hashed: int,
) -> Iterator[Piece]:
    seconds, documents = _reading(folder, corpus)
    if not documents:
        return
    read = record["documents"]["read"]
    if corpus.files is not None and hashed < rows:
        plain = [one for one in corpus.files.values() if is_plain_lines(one)]
        if plain:
            total = sum(size_of(one) for one in plain)
            yield "texts", "bytes to find lines in", total, total * 2 * _counting(plain)
        read = _rows_to_read(corpus.files, read, hashed)
    yield "texts", "documents to read and hash", read, read * seconds / len(documents)


def _reading(
    folder: pathlib.Path, corpus: GivenCorpus
) -> tuple[float, list[Document | Skipped | RawRow]]:
    """Seconds that it took to read and hash some rows of the corpus, and these rows."""
    found: list[Document | Skipped | RawRow] = []
    began = time.perf_counter()
    if corpus.files is None:
        found += corpus.ahead(_READ, SECONDS)
    else:
        names = first_rows(folder)["source"].to_pylist()
        sources = [corpus.files[name] for name in spread(names, FILES) if name in corpus.files]
        for source in sources:
            found += read_source(source, corpus.columns, 0, _READ)
            if time.perf_counter() > began + SECONDS:
                break
    for one in found:
        digest(getattr(one, "text", None))
    return time.perf_counter() - began, found


def of_scores(
    folder: pathlib.Path,
    corpus: GivenCorpus,
    model: Any,
    record: dict[str, Any],
    drawn: np.ndarray,
) -> Iterator[Piece]:
    from workbench.models.heads import HeadSet
    from workbench.scoring.influence import score_documents

    texts = [getattr(one, "text", None) for one in _reading(folder, corpus)[1]]
    found = [text for text in texts if isinstance(text, str) and text.strip()]
    if not found:
        return
    weights = sum(one.numel() * one.element_size() for one in model.hf.state_dict().values())
    block = bytes(1 << 24)
    hashing_rate = timed(lambda: hashlib.sha256(block).digest())[0] / len(block)
    yield "scores", "bytes of weights to hash", weights, weights * hashing_rate
    heads, most = HeadSet.from_json(record["heads"]), record["max_tokens"] or _TOKENS

    def score(documents: Sequence[Document], tokens: int) -> float:
        settings = {"mode": record["mode"], "window": record["window"], "max_tokens": tokens}
        return timed(
            lambda: score_documents(model, heads, documents, require_certificate=False, **settings)
        )[0]

    documents: list[Document] = []
    tokens = 0
    for text in found[:_TOGETHER]:
        documents.append(Document("measured", text, "all", "measured", len(documents)))
        tokens += len(model.encode(text)[: min(most, _TOKENS)])
        if tokens >= _TOKENS:
            break
    score(documents[:1], 8)  # what is done only once
    short = score(documents[:1], 8)
    if "workbench_certificate" not in model.__dict__:
        yield "scores", "passes of the certificate", _PASSES, _PASSES * short
    seconds = score(documents, min(most, _TOKENS))
    lengths = read_table(plain_file(folder, SELECTION_FILE), ["tokens"])["tokens"].to_numpy()[drawn]
    total = int(np.minimum(lengths, record["max_tokens"] or lengths.max()).sum())
    yield "scores", "tokens to score again", total, total * seconds / tokens


def _rows_to_read(files: Mapping[str, Source], read: int, hashed: int) -> int:
    """About how many of `read` rows are gone through for a draw of `hashed` of them."""
    plain = sum(map(is_plain_lines, files.values()))
    tables = [one for one in files.values() if one.kind == "parquet"]
    some = spread(tables, FILES)
    pieces = len(files) - plain - len(tables)  # texts and packed lines are read from a place on
    if some:
        pieces += sum(len(row_groups(one)) for one in some) * len(tables) // len(some)
    share = (len(files) - plain) / len(files)  # of the rows, for want of something better
    if not pieces:
        return hashed
    # Of a piece with k draws, (k - 1) / (k + 1) lie between the first and the last, and what is
    # before the first is decoded too; k is about Poisson.
    each = hashed * share / pieces
    return round(hashed * (1 - share) + read * share * (1 - (1 - np.exp(-each)) / each))
