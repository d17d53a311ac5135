"""AttentionInfluence of documents: a document in, its score row out.

score = (L_ref - L_base) / L_base, with L the mean token loss of the document under the model as it
is (base) and with its retrieval heads masked (ref): arXiv 2505.07293, equation 5. The row holds
the same over the novel tokens alone (`workbench.scoring.columns.novelty`), from the same passes.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.progress import progress_bar
from workbench.corpus.reading import Document, Skipped, text_sha256
from workbench.loading.certificate import require_certified
from workbench.masking.losses import losses_of_ids
from workbench.masking.reference import require_max_tokens, require_window
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.columns.built_in import TokenLosses, formed
from workbench.scoring.columns.novelty import novel_tokens
from workbench.scoring.columns.own_columns import Column, Function
from workbench.scoring.passages import Read, passages, require_read, spans_of
from workbench.scoring.schema import SCHEMA
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
    read: Read = "start",
    controls: int | Sequence[HeadSet] = 0,
    columns: Sequence[str | Function | Column] = (),
) -> list[dict[str, Any]]:
    """Score a few documents in memory.

    Args:
        model: the selector.
        heads: the heads to mask.
        documents: the documents.
        mode: as in `score_corpus`.
        window: as in `score_corpus`.
        max_tokens: as in `score_corpus`.
        require_certificate: refuse a model that fails a check of its certificate.
        read: as in `score_corpus`.
        controls: as in `score_corpus`.
        columns: as in `score_corpus`.

    Returns:
        A dict for each document that has a score, in order, with the columns of `score_corpus`.
        Those that cannot be scored are left out.

    Raises:
        NotCertified: the model fails a check, and require_certificate is True.
        ValueError: max_tokens, the window, the mode or the heads do not fit the model.
        TypeError: `heads` is no HeadSet.
    """
    require_max_tokens(max_tokens)
    require_read(read)
    if require_certificate:
        require_certified(model)
    settings = ScoringSettings.of(
        heads, mode=mode, window=window, max_tokens=max_tokens, read=read, controls=controls,
        columns=columns,
    )  # fmt: skip
    rows = scored(model, settings, documents)
    return [row for row in rows if isinstance(row, dict)]


def novel_scores(
    model: Model,
    heads: HeadSet,
    documents: Iterable[Document],
    *,
    context: int = 1,
    mode: Mode = "uniform",
    window: int | None = None,
    max_tokens: int | None = None,
) -> pd.DataFrame:
    """Score documents in memory, with another context for novel tokens than `score_corpus` has.

    Args:
        model: the selector.
        heads: the heads to mask.
        documents: the documents, all of which are held in memory.
        context: how many tokens before a token have to be repeated too, so that it is not novel
            (see `novel_tokens`); `score_corpus` compares one.
        mode: as in `score_corpus`.
        window: as in `score_corpus`.
        max_tokens: as in `score_corpus`.

    Returns:
        One row a document, with the columns of `score_corpus`. Documents without a predicted token,
        or whose base loss is 0 or whose losses are not finite, have no row.

    Raises:
        ValueError: max_tokens, the window, the mode or the heads do not fit the model, or context
            is below 1.
        TypeError: `heads` is no HeadSet.
    """
    require_max_tokens(max_tokens)
    settings = ScoringSettings(heads, mode, window, max_tokens)
    documents, rows = list(documents), []
    with progress_bar("scoring", "doc", len(documents)) as done:
        for losses in document_losses(model, settings, documents, context=context):
            row = score_row(losses)
            rows += [row] if isinstance(row, dict) else []
            done(1)
    return pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas()


def compression_ratio(text: str) -> float:
    """Compressed over plain size (zlib) of the first 2,000 characters; low means repetitive.

    Args:
        text: of a document, not empty.

    Returns:
        The ratio of both sizes in bytes of UTF-8.
    """
    raw = text[:2000].encode("utf-8")
    return len(zlib.compress(raw)) / len(raw)


class DocumentLosses(NamedTuple):
    """A document, what was read of it, and its losses.

    Attributes:
        document: the document.
        tokens: how many tokens all of its text has.
        read: where in the text lies what was read (`workbench.scoring.passages.spans_of`).
        losses: of the tokens that were read.
        novel: whether each predicted token is novel (`novel_tokens`).
    """

    document: Document
    tokens: int
    read: str | None
    losses: TokenLosses
    novel: np.ndarray


def document_losses(
    model: Model, settings: ScoringSettings, documents: Sequence[Document], *, context: int = 1
) -> Iterator[DocumentLosses]:
    """The losses that documents are scored by, with settings that fit the model.

    Args:
        model: the selector.
        settings: how to score.
        documents: the documents, all of which are tokenized before the first is scored. All of
            each text is, whatever max_tokens is: shares and budgets count whole documents.
        context: how many tokens before a token have to be repeated too, so that it is not novel.

    Yields:
        The losses of each document in order.
    """
    stride = require_window(model, settings.window) - len(model.bos_ids)
    lengths, read, spans = [], [], []
    texts = [document.text for document in documents]
    for text, (ids, place) in zip(texts, model.encode_with_places(texts), strict=True):
        cut = passages(len(ids), settings.max_tokens, settings.read)
        lengths.append(len(ids))
        read.append([ids[start:end] for start, end in cut])
        whole = cut == [(0, len(ids))]
        spans.append(f"0:{len(text)}" if whole else spans_of(cut, place))
    losses = _in_order(model, settings, documents, read)
    for document, tokens, parts, where, (base, masked, *controls) in zip(
        documents, lengths, read, spans, losses, strict=True
    ):
        places = [np.arange(len(part)) for part in parts]
        begins = np.concatenate([place % stride == 0 for place in places])
        # The first token of a window has no prediction, unless BOS stands before it.
        predicted = ~begins if not model.bos_ids else np.ones(len(begins), dtype=bool)
        controlled = np.stack(controls) if controls else np.zeros((0, len(base)), np.float32)
        of_tokens = TokenLosses(
            np.concatenate(parts), predicted, begins.cumsum(), base, masked, controlled
        )
        novel = novel_tokens(of_tokens.ids, context)[predicted]
        yield DocumentLosses(document, tokens, where, of_tokens, novel)


def _in_order(
    model: Model,
    settings: ScoringSettings,
    documents: Sequence[Document],
    read: Sequence[Sequence[Sequence[int]]],
) -> Iterator[list[np.ndarray]]:
    """Losses of each document under no mask, the heads, and the controls where it has any.

    A passage sees none of the others.
    """
    plain: list[HeadSet | None] = [None, settings.heads]
    drawn = [_has_controls(document, settings) for document in documents]
    streams = {
        has_controls: losses_of_ids(
            model,
            [
                ids
                for parts, own in zip(read, drawn, strict=True)
                for ids in parts
                if own == has_controls
            ],
            [*plain, *settings.controls] if has_controls else plain,
            mode=settings.mode,
            window=settings.window,
        )
        for has_controls in set(drawn)
    }
    for parts, has_controls in zip(read, drawn, strict=True):
        losses = [next(streams[has_controls]) for _ in parts]
        yield [np.concatenate(column) for column in zip(*losses, strict=True)]


def _has_controls(document: Document, settings: ScoringSettings) -> bool:
    """Whether a document is one of those that controls are masked for: its text alone decides."""
    if not settings.controls or settings.controls_share == 1:
        return bool(settings.controls)
    return int(text_sha256(document.text)[:8], 16) < settings.controls_share * 2**32


def scored(
    model: Model, settings: ScoringSettings, documents: Sequence[Document]
) -> Iterator[dict[str, Any] | Skipped]:
    """Score documents, with settings that fit the model.

    Args:
        model: the selector.
        settings: how to score.
        documents: as in `document_losses`.

    Returns:
        An iterator over the documents in order: of each its score row
        (`workbench.scoring.schema`), or why there is none.
    """
    return (
        score_row(losses, settings.columns)
        for losses in document_losses(model, settings, documents)
    )


def score_row(of: DocumentLosses, columns: Sequence[Column] = ()) -> dict[str, Any] | Skipped:
    """The score row of a document, or why there is none: its base loss is 0, or a loss no number.

    Args:
        of: the document with its losses.
        columns: columns of the user's own.

    Returns:
        A value for each column of `workbench.scoring.schema.SCORE_ROW` and of the user's, None
        where a column cannot be formed: the novel losses where no token is novel, score_novel also
        where the base loss of these is 0, the others as `workbench.scoring.columns.built_in` says;
        or the Skipped.

    Raises:
        ValueError: a column of the user gives no finite number.
    """
    document, losses = of.document, of.losses
    loss_base, loss_ref = mean_loss(losses.base), mean_loss(losses.masked)
    reason = None
    if not len(losses.base):
        reason = f"too short: {of.tokens} token, so no token is predicted"
    elif not (math.isfinite(loss_base) and math.isfinite(loss_ref)):
        reason = f"loss is not finite: base {loss_base}, masked {loss_ref}"
    elif loss_base <= 0:
        reason = "base loss is 0: a relative rise is not defined"
    if reason is not None:
        return Skipped(document.doc_id, document.domain, document.source, document.row, reason)
    predicted_novel = int(of.novel.sum())
    base_novel = ref_novel = score_novel = None
    if predicted_novel:
        base_novel, ref_novel = (mean_loss(x[of.novel]) for x in (losses.base, losses.masked))
        score_novel = relative_rise(base_novel, ref_novel) if base_novel else None
    return {
        "doc_id": document.doc_id,
        "domain": document.domain,
        "source": document.source,
        "row": document.row,
        "tokens": of.tokens,
        "predicted": len(losses.base),
        "read": of.read,
        "loss_base": loss_base,
        "loss_ref": loss_ref,
        "score": relative_rise(loss_base, loss_ref),
        "rise": loss_ref - loss_base,
        "predicted_novel": predicted_novel,
        "loss_base_novel": base_novel,
        "loss_ref_novel": ref_novel,
        "score_novel": score_novel,
        **formed(losses),
        "compression_ratio": compression_ratio(document.text),
        "text_sha256": text_sha256(document.text),
        **{column.name: column.value(losses, document.doc_id) for column in columns},
    }


def mean_loss(losses: np.ndarray) -> float:
    """Mean of losses, added up in float64.

    Args:
        losses: nats of each token, (tokens,).

    Returns:
        Nats a token; NaN where there are none.
    """
    return float(losses.mean(dtype="float64")) if len(losses) else math.nan


def relative_rise(loss_base: float, loss_ref: float) -> float:
    """The score: (loss_ref - loss_base) / loss_base (arXiv 2505.07293, equation 5).

    Args:
        loss_base: mean loss of the model as it is, nats a token, above 0.
        loss_ref: mean loss with the heads masked, nats a token.

    Returns:
        The relative rise, without a unit.
    """
    return (loss_ref - loss_base) / loss_base
