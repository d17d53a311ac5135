"""The score over the tokens that the document itself has not spelled out before.

Copying heads help most where text repeats, so the plain score ranks repetition first. Here only
those tokens count that no earlier occurrence of the same few preceding tokens already foretells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from workbench.attention import Mode
from workbench.corpus import Document
from workbench.heads import HeadSet
from workbench.losses import losses_of_ids, require_max_tokens, require_window
from workbench.models import Model
from workbench.progress import counted


def novel_tokens(ids: Sequence[int], context: int = 1) -> np.ndarray:
    """Which tokens are novel, (tokens,) of bool.

    Token i is not if the `context` tokens before it stood earlier in `ids` with the same token
    after them; with fewer tokens before it, it is novel.
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
    """The score of each document over its novel tokens, from the same two losses as the plain one.

    Columns: doc_id, domain, source, row (to be joined to a score table), predicted, predicted_novel
    (tokens that count), loss_base_novel and loss_ref_novel (nats a novel token), score (over all
    tokens), novel = (loss_ref_novel - loss_base_novel) / loss_base_novel. NaN where no token is
    novel. Documents without a predicted token have no row.
    """
    require_max_tokens(max_tokens)
    documents = list(documents)
    room = require_window(model, window) - len(model.special_prefix)
    rows = []
    with counted("scoring novel tokens", "doc", len(documents)) as done:
        for one in documents:
            ids = model.encode(one.text)[:max_tokens]
            ((base, ref),) = losses_of_ids(model, [ids], [None, heads], mode=mode, window=window)
            done(1)
            if not len(base):
                continue
            predicted = np.ones(len(ids), dtype=bool)
            if not model.special_prefix:
                predicted[::room] = False  # the first token of a window has no prediction
            kept = novel_tokens(ids, context)[predicted]
            before, after = (
                float(x[kept].mean(dtype="float64")) if kept.any() else np.nan for x in (base, ref)
            )
            plain, masked = float(base.mean(dtype="float64")), float(ref.mean(dtype="float64"))
            rows.append(
                {
                    "doc_id": one.doc_id, "domain": one.domain, "source": one.source,
                    "row": one.row, "predicted": len(base), "predicted_novel": int(kept.sum()),
                    "loss_base_novel": before, "loss_ref_novel": after,
                    "score": (masked - plain) / plain, "novel": (after - before) / before,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)
