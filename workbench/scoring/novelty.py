"""The score over the tokens that the document itself has not spelled out before.

Copying heads help most where text repeats, so the plain score ranks repetition first. Here only
those tokens count that no earlier occurrence of the same few preceding tokens already foretells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from workbench.core.progress import counted
from workbench.corpus.reading import Document, text_sha256
from workbench.masking.losses import losses_of_ids
from workbench.masking.reference import require_max_tokens, require_window
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.influence import compression_ratio


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
    """A score table with the score of each document over its novel tokens, from the same passes.

    Columns: those of `score_corpus` (so that the table can be ranked, cut and compared), and
    predicted_novel (tokens that count), loss_base_novel and loss_ref_novel (nats a novel token),
    novel = (loss_ref_novel - loss_base_novel) / loss_base_novel. NaN where no token is novel.
    Documents without a predicted token, or whose base loss is 0 or not finite, have no row.
    """
    require_max_tokens(max_tokens)
    documents = list(documents)
    room = require_window(model, window) - len(model.special_prefix)
    lengths, read = [], []
    for ids in model.encode_all([one.text for one in documents]):
        lengths.append(len(ids))
        read.append(ids[:max_tokens])
    stream = losses_of_ids(model, read, [None, heads], mode=mode, window=window)
    rows = []
    with counted("scoring novel tokens", "doc", len(documents)) as done:
        for one, length, ids, (base, ref) in zip(documents, lengths, read, stream, strict=True):
            done(1)
            plain, masked = _mean(base), _mean(ref)
            if not (plain > 0 and math.isfinite(plain) and math.isfinite(masked)):
                continue
            predicted = np.ones(len(ids), dtype=bool)
            if not model.special_prefix:
                predicted[::room] = False  # the first token of a window has no prediction
            kept = novel_tokens(ids, context)[predicted]
            before, after = _mean(base[kept]), _mean(ref[kept])
            rows.append(
                {
                    "doc_id": one.doc_id, "domain": one.domain, "source": one.source,
                    "row": one.row, "tokens": length, "predicted": len(base),
                    "loss_base": plain, "loss_ref": masked, "score": (masked - plain) / plain,
                    "compression_ratio": compression_ratio(one.text),
                    "text_sha256": text_sha256(one.text), "predicted_novel": int(kept.sum()),
                    "loss_base_novel": before, "loss_ref_novel": after,
                    "novel": (after - before) / before if before else math.nan,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _mean(values: np.ndarray) -> float:
    """Mean nats; NaN of nothing."""
    return float(values.mean(dtype="float64")) if len(values) else math.nan
