"""Which heads retrieve: the score of every head on lookup probes, and what masking does to them.

Attention matrices are never held. For each probe the queries that predict the answer (about 30
rows) are compared with all keys, layer by layer, while the model runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from workbench.core.intervals import mean_interval
from workbench.core.progress import preemptible, track
from workbench.detection.probes import Probe, Probes
from workbench.masking.masks import masked, replacements, require_unmasked
from workbench.masking.packed import packed_passes
from workbench.masking.row_size import is_out_of_memory
from workbench.models.attached_hooks import attach_hooks
from workbench.models.attention_hook import AttentionCall, Mode
from workbench.models.attention_weights import hidden_keys
from workbench.models.head_scores import HeadScores
from workbench.models.heads import HeadSet
from workbench.models.identity import tokenizer_sha256
from workbench.models.model import Model


class Answerable(Protocol):
    """Token ids and the place of an answer in them: what `answered` and `answer_rows` read."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Token ids of prompt and answer, without special tokens."""

    @property
    def answer(self) -> tuple[int, int]:
        """Positions [start, stop) of the answer in `ids`."""


def retrieval_scores(
    model: Model, probes: Probes, *, only_solved: bool = False, bootstrap: int = 1000
) -> HeadScores:
    """Retrieval score of every head: the share of answer tokens that it copies.

    A head copies an answer token when, at the position that predicts it, the key it attends to most
    lies in the value inside the JSON object and is that very token. See `workbench/METHOD.md`.

    Source: Wu et al., arXiv 2404.15574; Hua et al., arXiv 2505.07293.

    Args:
        model: the model, with no head masked.
        probes: probes made with the model's tokenizer.
        only_solved: whether to leave out probes in whose answer the model gets fewer than half of
            the tokens right; how many is recorded in `origin`.
        bootstrap: draws over probes behind the interval.

    Returns:
        The scores. Their frame has one row a head with layer, head, score (mean over probes, in
        [0, 1]) and low, high (95 % percentile bootstrap over probes); `per_probe` keeps the scores
        behind the means, and `origin` says which probes. Layers that have no heads have no rows;
        `headless` lists them.

    Raises:
        ValueError: the probes were made with another tokenizer, heads are masked, or the model
            solves none of the probes with only_solved.
    """
    require_tokenizer(model, probes)
    rows, kept = [], []
    for number, probe in enumerate(track(probes.items, "detecting heads", "probe")):
        copied, solved = _copied(model, probe)
        if solved or not only_solved:
            rows.append(copied)
            kept.append(number)
    if not rows:
        raise ValueError(
            f"the model solves none of the {len(probes)} probes: use shorter ones (max_tokens) or "
            "only_solved=False"
        )
    return summarised(model, np.stack(rows), "retrieval score", probes, bootstrap, kept)


def require_tokenizer(model: Model, probes: Probes) -> None:
    """Require that probes were made with this model's tokenizer.

    Args:
        model: the model.
        probes: the probes.

    Raises:
        ValueError: they were made with another one.
    """
    if probes.tokenizer_sha256 != tokenizer_sha256(model.tokenizer):
        raise ValueError(
            "these probes were made with another tokenizer than this model's: make them with "
            "make_probes(model, ...)"
        )


def summarised(
    model: Model,
    per_probe: np.ndarray,
    by: str,
    probes: Probes,
    bootstrap: int,
    kept: Sequence[int] | None = None,
) -> HeadScores:
    """The scores of heads on probes, summarised as `retrieval_scores` describes.

    Args:
        model: the model whose heads are scored.
        per_probe: the scores of all heads on each probe, (probes, layers, heads).
        by: the name of the score.
        probes: the probes that the scores come from.
        bootstrap: draws over probes behind the interval.
        kept: the indices of the probes behind the rows of per_probe (default: all).

    Returns:
        The scores; the columns of their frame are layer, head, score, low and high.
    """
    every = HeadSet.of([], model).complement()
    layer, head = np.array(every.members).T
    per_probe = per_probe[:, layer, head]
    low, high = mean_interval(per_probe, bootstrap, seed=0)
    return HeadScores(
        pd.DataFrame(
            {"layer": layer, "head": head, "score": per_probe.mean(axis=0), "low": low,
             "high": high}
        ),
        by=by,
        per_probe=per_probe,
        kept=range(len(probes)) if kept is None else kept,
        origin={
            "probes": len(per_probe),
            "probes_left_out": len(probes) - len(per_probe),
            "probe_tokens": probes.max_tokens,
            "probe_seed": probes.seed,
            "probes_sha256": probes.digest,
            **({"probes_changed": probes.variant} if probes.variant else {}),
        },
        headless=model.headless,
    )  # fmt: skip


def lookup_losses(
    model: Model,
    probes: Probes,
    heads: Sequence[HeadSet | None] = (None,),
    *,
    mode: Mode = "uniform",
) -> pd.DataFrame:
    """How well the model answers the probes under each head set.

    Args:
        model: the model, with no head masked.
        probes: the probes, made with the model's tokenizer.
        heads: the head sets to mask, one after the other (None: no head masked).
        mode: what a masked head does instead (see `masked`).

    Returns:
        One row a probe and head set: column (index into heads), probe (index), loss (mean nats a
        token of the answer) and accuracy (share of answer tokens that are the model's first choice,
        the true answer being fed).
    """
    rows = []
    for number, probe in enumerate(track(probes.items, "answering probes", "probe")):
        for column, (loss, accuracy) in enumerate(answered(model, probe, heads, mode)):
            rows.append((column, number, loss, accuracy))
    return pd.DataFrame(rows, columns=["column", "probe", "loss", "accuracy"])


def answered(
    model: Model, probe: Answerable, heads: Sequence[HeadSet | None], mode: Mode = "uniform"
) -> Iterator[tuple[float, float]]:
    """Loss and accuracy of one answer under each head set.

    Args:
        model: the model, with no head masked.
        probe: the token ids and the place of the answer in them.
        heads: the head sets to mask, one after the other (None: no head masked).
        mode: what a masked head does instead (see `masked`).

    Yields:
        For each set the mean nats a token of the answer, and the share of its tokens that are the
        model's first choice.
    """
    ids, positions, targets = answer_rows(model, probe)
    for logits in _logits(model, ids, positions, heads, mode):
        loss = torch.nn.functional.cross_entropy(logits, targets)
        accuracy = (logits.argmax(dim=-1) == targets).float().mean()
        yield float(loss), float(accuracy)


def _logits(
    model: Model,
    ids: torch.Tensor,
    positions: torch.Tensor,
    heads: Sequence[HeadSet | None],
    mode: Mode,
) -> Iterator[torch.Tensor]:
    """Logits (positions, vocabulary) in float32 of one row of ids, for each head set in turn."""
    batches = packed_passes(model)
    if batches is not None and model.head is not None:
        every = None
        try:
            every = batches.hidden(ids.tolist(), heads, mode)
        except (RuntimeError, MemoryError) as error:
            if len(heads) == 1 or not is_out_of_memory(error):
                raise
        if every is None:
            for head_set in heads:  # one after the other takes less
                yield from _logits(model, ids, positions, [head_set], mode)
            return
        for states in every:
            with torch.inference_mode():
                yield model.head(states[positions]).float()
        return
    for head_set in heads:
        means = replacements(model, mode, ids.tolist()[0]) if head_set else None
        with masked(model, head_set, mode, means=means), torch.inference_mode():
            logits = model.logits(ids, positions).float()
        yield logits


def lookup_summary(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Mean loss and accuracy of each head set with 95 % intervals (bootstrap over probes).

    Args:
        table: what `lookup_losses` returned.
        labels: a name for each of its columns, the index of the result.

    Returns:
        One row a head set: loss, loss_low, loss_high (nats a token), accuracy, accuracy_low,
        accuracy_high.
    """
    parts: dict[str, np.ndarray] = {}
    for measure in ("loss", "accuracy"):
        wide = table.pivot(index="probe", columns="column", values=measure)
        low, high = mean_interval(wide.to_numpy(), 1000, seed=0)
        parts |= {measure: wide.mean().to_numpy(), f"{measure}_low": low, f"{measure}_high": high}
    return pd.DataFrame(parts, index=list(labels))


def answer_rows(model: Model, probe: Answerable) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The token ids of a probe, and the rows that predict its answer.

    Args:
        model: the model that will read them.
        probe: the token ids and the place of the answer in them.

    Returns:
        ids (1, T) with the special prefix, the positions (R,) that *predict* the answer, and the
        answer's tokens (R,), all on the model's device.
    """
    prefix = model.bos_ids
    ids = torch.tensor([[*prefix, *probe.ids]], device=model.device)
    start, stop = (len(prefix) + edge for edge in probe.answer)
    positions = torch.arange(start - 1, stop - 1, device=model.device)
    return ids, positions, ids[0, start:stop]


@preemptible
def _copied(model: Model, probe: Probe) -> tuple[np.ndarray, bool]:
    """Share of the answer copied by each head, (layers, heads), and whether the model solves it.

    Head h copies the token at t when the row of the query at t-1 has its largest entry at a key j
    in the value's span inside the JSON object, and token j is token t.
    """
    ids, positions, targets = answer_rows(model, probe)
    offset = len(model.bos_ids)
    first, last = (offset + edge for edge in probe.value)
    copied = np.zeros((model.num_layers, model.num_heads), dtype=np.float64)

    def look(seen: AttentionCall) -> None:
        top = strongest_keys(seen, positions)  # (H, R)
        inside = (top >= first) & (top < last) & (ids[0, top] == targets)
        copied[seen.layer] = inside.cpu().double().mean(dim=-1).numpy()

    with model.lock, torch.inference_mode():
        require_unmasked(model)
        with attach_hooks(model.sites, observer=look):
            logits = model.logits(ids, positions)
    solved = bool((logits.argmax(dim=-1) == targets).float().mean() >= 0.5)
    return copied, solved


def strongest_keys(seen: AttentionCall, rows: torch.Tensor) -> torch.Tensor:
    """The key at the peak of each head's attention row, for some queries of batch row 0.

    Softmax, scaling and soft-capping keep the order of the scores, so none of them is computed. An
    attention sink is no key: what is compared are tokens.

    Args:
        seen: one attention call, as an observer gets it.
        rows: the positions of the queries, (R,).

    Returns:
        The positions of the keys, (H, R).
    """
    kv_heads, keys, size = seen.key.shape[1:]
    query = seen.query[0, :, rows].float()  # (H, R, D)
    query = query.reshape(kv_heads, -1, size)  # heads of one group are neighbours
    scores = (query @ seen.key[0].float().transpose(1, 2)).reshape(-1, len(rows), keys)
    return scores.masked_fill(hidden_keys(seen, rows), -torch.inf).argmax(dim=-1)
