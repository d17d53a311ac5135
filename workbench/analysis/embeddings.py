"""One vector a text: the mean last hidden state of the model in hand, or a sentence embedding.

A language model of the usual kind was not trained to embed sentences. Its mean hidden state tells
kinds of text apart, which is what clusters and maps of a selection need, and it needs no download;
sentence-transformers, where it is installed, is the better judge of topics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from workbench.core.progress import preemptible, progress_bar
from workbench.masking.masks import require_unmasked
from workbench.masking.packed import packed_passes
from workbench.masking.reference import require_max_tokens
from workbench.models.model import Model


def embed(texts: Sequence[str], model: Model | str, *, max_tokens: int | None = None) -> np.ndarray:
    """One vector a text.

    Args:
        texts: one or more.
        model: a `Model`, whose last hidden state (after the final norm, no head masked) is averaged
            over the tokens of the text, special tokens left out; or the name of a
            sentence-transformers model, which is loaded for the call (`pip install
            sentence-transformers`).
        max_tokens: read only so many first tokens of each text; None: as many as the model's
            context holds, which is never exceeded.

    Returns:
        Shape (texts, width), float32.

    Raises:
        ValueError: there is no text, or one without a token.
        ImportError: sentence-transformers is asked for and not installed.
    """
    if isinstance(texts, str) or not len(texts):
        raise ValueError("texts must be a list of one text or more")
    require_max_tokens(max_tokens, least=1)
    if isinstance(model, str):
        return _sentences(texts, model, max_tokens)
    require_unmasked(model)
    most = model.context - len(model.bos_ids)
    most = most if max_tokens is None else min(most, max_tokens)
    windows = []
    for number, ids in enumerate(model.encode_all(texts)):
        if not ids:
            raise ValueError(f"texts[{number}] has no token to embed: leave it out")
        windows.append([*model.bos_ids, *ids[:most]])
    rows = []
    with progress_bar("embedding", "doc", len(windows)) as done:
        for packed in _packed(model, windows):
            rows += _means(model, packed)
            done(len(packed))
    return np.stack(rows)


def _packed(model: Model, windows: Sequence[list[int]]) -> Iterator[list[list[int]]]:
    """Consecutive windows that share a row of the engine; one at a time without an engine."""
    engine = packed_passes(model)
    budget = engine.row_tokens if engine else 1
    row: list[list[int]] = []
    for window in windows:
        if row and sum(map(len, row)) + len(window) > budget:
            yield row
            row = []
        row.append(window)
    yield row


def _means(model: Model, packed: Sequence[list[int]]) -> list[np.ndarray]:
    """Mean hidden state of each window, over its own tokens."""
    engine = packed_passes(model)
    states = engine.hidden(packed, [None])[0] if engine else _plain_hidden(model, packed[0])
    skip = len(model.bos_ids)
    parts = states.split([len(ids) for ids in packed])
    return [part[skip:].float().mean(dim=0).cpu().numpy() for part in parts]


@preemptible
def _plain_hidden(model: Model, ids: list[int]) -> torch.Tensor:
    """Final hidden states (tokens, width) of one window."""
    with model.lock, torch.inference_mode():
        return model.hidden(torch.tensor([ids], device=model.device))[0]


def _sentences(texts: Sequence[str], name: str, max_tokens: int | None) -> np.ndarray:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ImportError(
            f"{name!r} would be a sentence-transformers model, and that package is not installed: "
            "pip install sentence-transformers, or pass a model of load_model to average its "
            "hidden states"
        ) from error
    encoder = SentenceTransformer(name)
    if max_tokens is not None:
        encoder.max_seq_length = max_tokens
    return np.asarray(encoder.encode(list(texts), convert_to_numpy=True), dtype=np.float32)
