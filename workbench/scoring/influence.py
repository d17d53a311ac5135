"""AttentionInfluence of documents: a document in, its score row out.

score = (L_ref - L_base) / L_base, with L the mean token loss of the document under the model as it
is (base) and with its retrieval heads masked (ref). (METHOD section 3; equation 5 of the paper.)
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from workbench.corpus.reading import Document, Skipped, text_sha256
from workbench.loading.certificate import require_certified
from workbench.masking.losses import losses_of_ids
from workbench.masking.reference import require_max_tokens
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.settings import ScoringSettings


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
    rows = scored(model, ScoringSettings(heads, mode, window, max_tokens), documents)
    return [row for row in rows if isinstance(row, dict)]


def compression_ratio(text: str) -> float:
    """Compressed over plain size (zlib) of the first 2,000 characters; low means repetitive."""
    raw = text[:2000].encode("utf-8")
    return len(zlib.compress(raw)) / len(raw)


def scored(
    model: Model, settings: ScoringSettings, documents: Sequence[Document]
) -> Iterator[dict[str, Any] | Skipped]:
    """Score documents, with settings that fit the model.

    Args:
        model: the selector.
        settings: how to score.
        documents: the documents, all of which are tokenized before the first is scored.

    Yields:
        A score row, or why there is none, for each document in order.
    """
    # All of each text, whatever max_tokens is: shares and budgets count whole documents.
    tokens = list(model.encode_all([one.text for one in documents]))
    read = [ids[: settings.max_tokens] for ids in tokens]
    losses = losses_of_ids(
        model, read, [None, settings.heads], mode=settings.mode, window=settings.window
    )
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
