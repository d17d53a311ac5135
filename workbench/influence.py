"""AttentionInfluence of documents: a corpus in, one score row a document out.

score = (L_ref - L_base) / L_base, with L the mean token loss of the document under the model as it
is (base) and with its retrieval heads masked (ref). (METHOD section 3; equation 5 of the paper.)

The corpus streams through in shards. A shard's scores go to a file of their own, written whole or
not at all, whose name holds a digest of the settings and of the documents in it. A run that is
started again therefore finds what is done, and never takes a number made from other text, another
model or other heads for its own.
"""

from __future__ import annotations

import math
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench import runs
from workbench.attention import Mode
from workbench.certificate import certify, require_certified
from workbench.corpus import Document, Skipped, read_corpus, text_sha256
from workbench.heads import HeadSet
from workbench.losses import losses_of_ids, require_max_tokens, require_window
from workbench.masking import require_fitting, require_unmasked
from workbench.models import Model
from workbench.progress import counted, stop_if_asked


def score_corpus(
    model: Model,
    heads: HeadSet,
    corpus: Any,
    out: str | Path | None = None,
    *,
    mode: Mode = "uniform",
    window: int | None = None,
    max_tokens: int | None = None,
    id: str = "id",
    text: str = "text",
    domain: str = "domain",
    shard_size: int = 32,
    overwrite: bool = False,
    require_certificate: bool = True,
) -> pd.DataFrame:
    """Score every document of `corpus` under `heads`; one row a document.

    corpus: paths, a frame, a dataset or an iterable, with columns named by id, text and domain (see
    `read_corpus`). window: tokens in one pass (default: the model's context); max_tokens: read only
    the beginning of each document. out: a folder; shards are written to it as they are done and are
    not scored again by a later call with the same settings. A folder that holds scores made with
    other settings is refused, unless `overwrite` is set.

    A model that fails a check of its certificate is refused with NotCertified. With
    require_certificate=False it is scored all the same; the record keeps the failed certificate,
    and the manifest will not verify.

    Columns: doc_id, domain, source, row, tokens (of the whole document), predicted (tokens that
    the mean losses are over), loss_base and loss_ref (nats a token), score, compression_ratio (zlib
    over the first 2,000 characters: low means repetitive), text_sha256. attrs["run"] is the record
    that manifests are made of. Documents that cannot be scored are in attrs["skipped"], each with
    its reason: every document read is in one of the two.

    Scores of different domains are not comparable, and the score rises with repetition: look at
    compression_ratio and loss_base beside it.
    """
    if not heads:
        raise ValueError("no heads to mask: every score would be 0. Give at least one head")
    require_max_tokens(max_tokens)
    if shard_size < 1:
        raise ValueError(f"shard_size must be at least 1, got {shard_size}")
    require_fitting(model, heads, mode)
    require_unmasked(model)
    if mode == "mean":
        raise ValueError(
            "mode 'mean' depends on a reference set that no manifest names, so scores made with "
            "it could not be verified: score with 'uniform' (the paper's) or 'zero'"
        )
    window = require_window(model, window)
    settings = {"mode": mode, "window": window, "max_tokens": max_tokens}
    certificate = require_certified(model) if require_certificate else certify(model)
    run = runs.run_record(model, heads, settings, certificate)
    columns = {"id": id, "text": text, "domain": domain}
    # A first look through the text costs little beside scoring it, and gives the time left. What
    # may give its documents only once, or has to fetch them, is not looked through.
    total = None
    if isinstance(corpus, Path) or (hasattr(corpus, "__len__") and not _is_remote(corpus)):
        total = 0
        for _ in read_corpus(corpus, **columns):
            stop_if_asked()
            total += 1
    shards = _shards(read_corpus(corpus, **columns), shard_size)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room if out is None else out)
        with runs.alone_in(folder), counted("scoring", "doc", total) as done:
            runs.start(folder, run, overwrite)
            files, skipped = [], []
            for number, (documents, unreadable) in enumerate(shards):
                done(len(unreadable))
                path = folder / "scores" / runs.shard_name(number, run, documents)
                if runs.is_intact(path):
                    done(len(documents))
                else:
                    results = []
                    for one in scored(model, heads, documents, mode, window, max_tokens):
                        results.append(one)
                        done(1)
                    runs.write_shard(path, results)
                files.append(path)
                skipped += [asdict(one) for one in unreadable] + runs.skipped_in(path)
            runs.finish(folder, run, files, skipped)
        table = runs.load_scores(folder)
    if out is None:  # nothing is left on disk that could be listed
        table.attrs["run"] |= {"score_files": [], "skipped_file": None}
    return table


def score_documents(
    model: Model,
    heads: HeadSet,
    documents: Sequence[Document],
    *,
    mode: Mode = "uniform",
    window: int | None = None,
    max_tokens: int | None = None,
    require_certificate: bool = True,
) -> list[dict[str, Any]]:
    """Score rows (the columns of `score_corpus`) of a few documents, without the unscorable.

    Raises NotCertified for a model that fails a check of its certificate, unless told otherwise.
    """
    require_max_tokens(max_tokens)
    if require_certificate:
        require_certified(model)
    rows = scored(model, heads, documents, mode, window, max_tokens)
    return [row for row in rows if isinstance(row, dict)]


def compression_ratio(text: str) -> float:
    """Compressed over plain size (zlib) of the first 2,000 characters; low means repetitive."""
    raw = text[:2000].encode("utf-8")
    return len(zlib.compress(raw)) / len(raw)


# ---- one document, one shard ------------------------------------------------------------------


def _is_remote(corpus: Any) -> bool:
    given = [corpus] if isinstance(corpus, str) else corpus if isinstance(corpus, list) else []
    return any(isinstance(one, str) and one.startswith("hf://") for one in given)


def scored(
    model: Model,
    heads: HeadSet,
    documents: Sequence[Document],
    mode: Mode,
    window: int | None,
    max_tokens: int | None,
) -> Iterator[dict[str, Any] | Skipped]:
    """A score row, or why there is none, for each document in order."""
    tokens = [model.encode(one.text) for one in documents]
    read = [ids[:max_tokens] for ids in tokens]
    losses = losses_of_ids(model, read, [None, heads], mode=mode, window=window)
    for document, ids, (base, ref) in zip(documents, tokens, losses, strict=True):
        yield _row(document, len(ids), base, ref)


def _row(
    document: Document, tokens: int, base: np.ndarray, ref: np.ndarray
) -> dict[str, Any] | Skipped:
    def skipped(reason: str) -> Skipped:
        return Skipped(document.doc_id, document.domain, document.source, document.row, reason)

    if not len(base):
        return skipped(f"too short: {tokens} token, so no token is predicted")
    loss_base, loss_ref = float(base.mean(dtype="float64")), float(ref.mean(dtype="float64"))
    if not (math.isfinite(loss_base) and math.isfinite(loss_ref)):
        return skipped(f"loss is not finite: base {loss_base}, masked {loss_ref}")
    if loss_base <= 0:
        return skipped("base loss is 0: a relative rise is not defined")
    return {
        "doc_id": document.doc_id,
        "domain": document.domain,
        "source": document.source,
        "row": document.row,
        "tokens": tokens,
        "predicted": len(base),
        "loss_base": loss_base,
        "loss_ref": loss_ref,
        "score": (loss_ref - loss_base) / loss_base,
        "compression_ratio": compression_ratio(document.text),
        "text_sha256": text_sha256(document.text),
    }


def _shards(
    stream: Iterable[Document | Skipped], size: int
) -> Iterator[tuple[list[Document], list[Skipped]]]:
    """Runs of `size` documents, each with what the reader skipped on the way to them."""
    documents: list[Document] = []
    skipped: list[Skipped] = []
    for one in stream:
        if isinstance(one, Skipped):
            skipped.append(one)
        else:
            documents.append(one)
        if len(documents) == size or len(skipped) == 10 * size:
            yield documents, skipped
            documents, skipped = [], []
    if documents or skipped:
        yield documents, skipped
