"""The score over the tokens that the document itself has not spelled out before.

Copying heads help most where text repeats, so the plain score ranks repetition first. Here only
those tokens count that no earlier occurrence of the same few preceding tokens already foretells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from workbench.core.progress import progress_bar
from workbench.corpus.document import Document, Skipped
from workbench.masking.reference import require_max_tokens, require_window
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.influence import document_losses, mean_loss, relative_rise, score_row
from workbench.scoring.settings import ScoringSettings


def novel_tokens(ids: Sequence[int], context: int = 1) -> np.ndarray:
    """Which tokens are novel.

    Token i is not if the `context` tokens before it stood earlier in `ids` with the same token
    after them; with fewer tokens before it, it is novel.

    Args:
        ids: the tokens of a document.
        context: how many tokens before a token are compared, at least 1.

    Returns:
        For each token whether it is novel, (tokens,) of bool.

    Raises:
        ValueError: context is below 1.
    """
    if context < 1:
        raise ValueError(f"context must be at least 1 token, got {context}")
    seen: set[tuple[int, ...]] = set()
    novel = np.ones(len(ids), dtype=bool)
    for i in range(context, len(ids)):
        gram = tuple(ids[i - context : i + 1])
        novel[i] = gram not in seen
        seen.add(gram)
    return novel


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
    """Score documents over their novel tokens, beside the plain score, from the same passes.

    Args:
        model: the selector.
        heads: the heads to mask.
        documents: the documents, all of which are held in memory.
        context: how many tokens before a token have to be repeated too (see `novel_tokens`).
        mode: as in `score_corpus`.
        window: as in `score_corpus`.
        max_tokens: as in `score_corpus`.

    Returns:
        One row a document, with the columns of `score_corpus` (so that the table can be ranked, cut
        and compared), and predicted_novel (tokens that count), loss_base_novel and loss_ref_novel
        (mean nats of these), novel = (loss_ref_novel - loss_base_novel) / loss_base_novel. The
        last three are NaN where no token is novel. Documents without a predicted token, or whose
        base loss is 0 or whose losses are not finite, have no row.

    Raises:
        ValueError: max_tokens, the window, the mode or the heads do not fit the model, or context
            is below 1.
        TypeError: `heads` is no HeadSet.
    """
    require_max_tokens(max_tokens)
    documents = list(documents)
    stride = require_window(model, window) - len(model.bos_ids)
    settings = ScoringSettings(heads, mode, window, max_tokens)
    rows = []
    with progress_bar("scoring novel tokens", "doc", len(documents)) as done:
        for losses in document_losses(model, settings, documents):
            done(1)
            row = score_row(losses)
            if isinstance(row, Skipped):
                continue
            predicted = np.ones(len(losses.ids), dtype=bool)
            if not model.bos_ids:
                predicted[::stride] = False  # the first token of a window has no prediction
            novel = novel_tokens(losses.ids, context)[predicted]
            base, ref = mean_loss(losses.base[novel]), mean_loss(losses.ref[novel])
            rows.append(
                {
                    **row,
                    "predicted_novel": int(novel.sum()),
                    "loss_base_novel": base,
                    "loss_ref_novel": ref,
                    "novel": relative_rise(base, ref) if base else math.nan,
                }
            )
    return pd.DataFrame(rows)
