"""Logits of several continuations of one text under many head sets; the text is computed once.

The numbers come from one packed pass (`PackedPasses.branched`) where it reproduces the plain path,
which is one pass a continuation and head set, each over the whole of text and continuation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from workbench.core.progress import preemptible
from workbench.masking.fast_path import fast_path
from workbench.masking.masks import masked, replacements
from workbench.masking.packed import PackedPasses, packed_passes
from workbench.masking.references import kind_of
from workbench.masking.row_size import is_out_of_memory
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.install import vocabulary_size
from workbench.models.model import Model

Logits = Iterator[tuple[int, int, torch.Tensor]]


def continuation_logits(
    model: Model,
    shared: Sequence[int],
    continuations: Sequence[Sequence[int]],
    predicted: Sequence[int],
    heads: Sequence[HeadSet | None] = (None,),
    mode: Mode = "uniform",
) -> Logits:
    """Logits that predict the last tokens of each continuation, under each head set.

    Args:
        model: the model, with no head masked.
        shared: token ids of the text that all continuations go on from, with the special prefix; at
            least one.
        continuations: token ids of each continuation.
        predicted: how many last tokens of each continuation are predicted.
        heads: the head sets to mask (None: no head masked).
        mode: what a masked head does instead (see `masked`).

    Yields:
        Index into `heads`, index into `continuations`, and the logits (predicted, vocabulary) in
        float32.

    Raises:
        ValueError: there is no text to go on from, or more tokens are predicted than a continuation
            has.
    """
    if not shared or any(n > len(ids) for n, ids in zip(predicted, continuations, strict=True)):
        raise ValueError(
            "expected a text of at least one token, and no more predicted tokens than each "
            f"continuation has, got {len(shared)} tokens, {list(map(len, continuations))} and "
            f"{list(predicted)}"
        )
    batches = _branching_passes(model)
    if batches is None or kind_of(mode) == "resample":
        return plain_continuation_logits(model, shared, continuations, predicted, heads, mode)
    return _packed_logits(batches, shared, continuations, predicted, heads, mode)


def plain_continuation_logits(
    model: Model,
    shared: Sequence[int],
    continuations: Sequence[Sequence[int]],
    predicted: Sequence[int],
    heads: Sequence[HeadSet | None] = (None,),
    mode: Mode = "uniform",
) -> Logits:
    """`continuation_logits` by a pass for each continuation and head set.

    Args:
        model: the model, with no head masked.
        shared: token ids of the text that all continuations go on from.
        continuations: token ids of each continuation.
        predicted: how many last tokens of each continuation are predicted.
        heads: the head sets to mask (None: no head masked).
        mode: what a masked head does instead (see `masked`).

    Yields:
        What `continuation_logits` yields.
    """
    for column, head_set in enumerate(heads):
        for number, (ids, count) in enumerate(zip(continuations, predicted, strict=True)):
            yield column, number, _plain(model, [*shared, *ids], count, head_set, mode)


@preemptible
def _plain(
    model: Model, ids: Sequence[int], predicted: int, heads: HeadSet | None, mode: Mode
) -> torch.Tensor:
    row = torch.tensor([list(ids)], device=model.device)
    positions = torch.arange(len(ids) - predicted - 1, len(ids) - 1, device=model.device)
    means = replacements(model, mode, ids) if heads else None
    with masked(model, heads, mode, means=means), torch.inference_mode():
        return model.logits(row, positions).float()


def _packed_logits(
    batches: PackedPasses,
    shared: Sequence[int],
    continuations: Sequence[Sequence[int]],
    predicted: Sequence[int],
    heads: Sequence[HeadSet | None],
    mode: Mode,
) -> Logits:
    """`continuation_logits` in one pass; in smaller parts where the memory does not do."""
    model, states = batches.model, None
    try:
        states = batches.branched(shared, continuations, heads, mode)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if states is None:
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(heads) == 1:
            yield from plain_continuation_logits(
                model, shared, continuations, predicted, heads, mode
            )
            return
        for column, head_set in enumerate(heads):
            args = (shared, continuations, predicted, [head_set], mode)
            for _, number, logits in _packed_logits(batches, *args):
                yield column, number, logits
        return
    assert model.head is not None  # `packed_passes` makes none without it
    for column in range(len(heads)):
        for number, (part, count) in enumerate(zip(states, predicted, strict=True)):
            with torch.inference_mode():
                logits = model.head(part[column, -count - 1 : -1]).float()
            yield column, number, logits


def _branching_passes(model: Model) -> PackedPasses | None:
    """Packed passes that can branch; None where they cannot, or differ from the plain path.

    Compared once for each dtype and device that the model is moved to.
    """
    batches = packed_passes(model)
    if batches is None or batches.alone:
        return None
    return fast_path(
        model,
        "branches",
        lambda: batches,
        _difference,
        "continuations of one text cannot be computed together on this model ({problem}); each is "
        "computed by itself",
    )


def _difference(batches: PackedPasses) -> str | None:
    """How branches differ from the plain path on a small sample; None if they do not."""
    model = batches.model
    size = vocabulary_size(model.hf)
    shared, *branches = ([i * 37 % size for i in range(n, 2 * n)] for n in (11, 4, 7))
    shared = [*model.bos_ids, *shared]
    layers = [site.layer for site in model.sites]
    sets = [None, HeadSet.of([(layers[len(layers) // 2], 0), (layers[-1], 0)], model)]
    tolerance = 1e-4 if model.dtype == torch.float32 else 0.1
    sample = (shared, branches, [len(branch) for branch in branches], sets)
    pairs = zip(
        _packed_logits(batches, *sample, "uniform"),
        plain_continuation_logits(model, *sample),
        strict=True,
    )
    for (*_, logits), (*_, expected) in pairs:
        worst = float((logits - expected).abs().max())
        if not worst <= tolerance * max(1.0, float(expected.abs().max())):
            return f"a logit differs by {worst:.2g}"
    return None
