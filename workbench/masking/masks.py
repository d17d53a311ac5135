"""Mask heads of a model for as long as a `with` block lasts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import get_args

import torch

from workbench.core.progress import preemptible
from workbench.masking.references import ENVIRONMENT, ReferenceSet, donor, kind_of, reference_of
from workbench.models.attached_hooks import attach_hooks, is_overridden
from workbench.models.attention_hook import AttentionCall, Mode, Override
from workbench.models.geometry import geometry_of
from workbench.models.heads import HeadSet
from workbench.models.identity import state_of
from workbench.models.model import Model
from workbench.models.packing.transfer import runs_ahead, sent_together

DONORS = 2**29  # bytes of outputs of other texts that a model keeps for mode "resample"


@contextmanager
def masked(
    model: Model,
    heads: HeadSet | None,
    mode: Mode = "uniform",
    *,
    means: torch.Tensor | None = None,
) -> Iterator[Model]:
    """Mask heads in every pass through the model (forward, generate) inside a `with` block.

    Query heads that share keys and values with a masked one are untouched. Where a model has
    attention sinks, uniform attention leaves to a sink the part of the row that it takes, and
    spreads the rest.

    The model is the stock one again after the block, however it is left. Other threads that call
    the Model wait until then (the bare `model.hf` knows no lock, and a deep copy of it that is made
    inside the block stays masked).

    Args:
        model: the model whose heads are masked.
        heads: the head set; None or an empty set masks nothing.
        mode: what a masked head does instead. "uniform" spreads each query over the positions that
            it may see (the choice of the paper, arXiv 2505.07293; see `workbench/METHOD.md`);
            "zero" puts out nothing; "mean" puts out the head's average output over a reference set;
            "resample" what the head puts out at the same place of another text, drawn from the
            set, which is gone through again (but for its first token) where it is shorter.
            "mean:mine" and "resample:mine" take the set that `reference_set` calls "mine", the
            bare ones a small sample of the environment corpus. Under "resample" texts are read in
            one pass, without a cache, and what is passed inside this block gets one and the same
            text of the set: `token_losses` and `score_corpus` draw one for each text.
        means: the outputs to put in instead of those of the set: for "mean" (layers, heads, head
            size), as `head_means` gives them, for "resample" (layers, tokens, heads, head size).

    Yields:
        The model.

    Raises:
        TypeError: `heads` is anything but a HeadSet or None.
        ValueError: heads of another geometry, an unknown mode, or a model that is masked already
            (combine the sets with `|` instead).
        CannotMask: under "resample", a pass goes on from cached keys.
    """
    require_fitting(model, heads, mode)
    with model.lock:
        require_unmasked(model)
        if heads and means is None:
            means = replacements(model, mode)
        with attach_hooks(model.sites, overrides_of(heads, mode, means)):
            yield model


def require_fitting(model: Model, heads: HeadSet | None, mode: Mode) -> None:
    """Require heads of this model and a known mode.

    Args:
        model: the model.
        heads: a head set, or None for no head.
        mode: as in `masked`.

    Raises:
        TypeError: `heads` is anything but a HeadSet or None.
        ValueError: the heads belong to a model of another geometry, or the mode or its reference
            set is unknown.
    """
    if heads is not None and not isinstance(heads, HeadSet):
        raise TypeError(
            f"heads must be a HeadSet or None, got {type(heads).__name__}: make one with "
            "HeadSet.parse('L17H3 L18H6', model) or HeadSet.of([(17, 3), (18, 6)], model)"
        )
    if not isinstance(mode, str) or kind_of(mode) not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    if ":" in mode:
        reference_of(mode)
    if heads is not None and heads.geometry != geometry_of(model):
        raise ValueError(
            f"these heads belong to a model of {heads.geometry}, this one has {geometry_of(model)}"
        )


def require_heads(heads: HeadSet | None) -> None:
    """Require a set with a head in it, where nothing is measured without.

    Args:
        heads: a head set; None is none.

    Raises:
        ValueError: there is no head.
    """
    if not heads:
        raise ValueError(
            "no heads to mask: every score and every change would be 0. Give at least one head"
        )


def require_unmasked(model: Model) -> None:
    """Require that no head of a model is masked; waits while another thread masks some.

    Args:
        model: the model.

    Raises:
        ValueError: this thread masks heads of the model.
    """
    with model.lock:
        already = is_overridden(model.sites)
    if already:
        raise ValueError(
            "heads of this model are masked already: leave the `with masked(...)` block first, or "
            "mask the union (`heads | others`)"
        )


def head_means(model: Model, texts: Iterable[str], max_tokens: int = 256) -> torch.Tensor:
    """Mean output of every head over all positions of some texts.

    This is the reference that masking with mode "mean" puts in a head's place.

    Args:
        model: the model, with no head masked.
        texts: the reference set.
        max_tokens: how many tokens of each text are read, BOS included; at most the model's
            context.

    Returns:
        The means (layers, heads, head size), float32, on the CPU.

    Raises:
        ValueError: there is no text with tokens, or heads of the model are masked.
    """
    sums = torch.zeros(model.num_layers, model.num_heads, model.sites[0].head_size)
    positions = 0
    for text in texts:
        ids = (model.bos_ids + model.encode(text))[: min(max_tokens, model.context)]
        if ids:
            sums += _summed_outputs(model, ids)
            positions += len(ids)
    if not positions:
        raise ValueError("head_means needs at least one text with tokens, got none")
    return sums / positions


@preemptible
def _summed_outputs(model: Model, ids: list[int]) -> torch.Tensor:
    """The output of every head, summed over the positions of one row; (layers, heads, size)."""
    sums = torch.zeros(model.num_layers, model.num_heads, model.sites[0].head_size)

    def add(seen: AttentionCall) -> None:
        sums[seen.layer] = seen.output[0].float().sum(dim=0).cpu()

    with model.lock, torch.inference_mode():
        require_unmasked(model)
        with attach_hooks(model.sites, observer=add):
            model.hidden(torch.tensor([ids], device=model.device))
    return sums


def overrides_of(
    heads: HeadSet | None,
    mode: Mode,
    means: torch.Tensor | None = None,
    rows: slice = slice(None),
) -> dict[int, list[Override]]:
    """What each layer must carry so that heads are masked in some rows of a batch.

    Args:
        heads: the head set; None masks nothing.
        mode: what a masked head does instead (see `masked`).
        means: what `replacements` gives.
        rows: the rows of the batch (default: all).

    Returns:
        The overrides by layer.
    """
    return {
        layer: [
            Override(
                tuple(inside),
                kind_of(mode),
                None if means is None else means[layer][..., inside, :],
                rows,
            )
        ]
        for layer, inside in (heads.by_layer() if heads else {}).items()
    }


def overrides_on(model: Model, overrides: dict[int, list[Override]]) -> dict[int, list[Override]]:
    """Overrides whose outputs to put in lie where the model computes.

    Args:
        model: the model, for its device and its dtype.
        overrides: by layer, as `overrides_of` gives them.

    Returns:
        The same, all that they put in sent in one copy where the device would be waited for in
        every layer else.
    """
    if not runs_ahead(model.device):
        return overrides
    put_in = [load.means for loads in overrides.values() for load in loads]
    own = [means.to(model.dtype) for means in put_in if means is not None]
    there = iter(sent_together(own, model.device))
    return {
        layer: [load if load.means is None else replace(load, means=next(there)) for load in loads]
        for layer, loads in overrides.items()
    }


def replacements(model: Model, mode: Mode, ids: Sequence[int] = ()) -> torch.Tensor | None:
    """What the heads of a model put out instead under the modes that take it from other texts.

    Args:
        model: the model, with no head masked.
        mode: as in `masked`.
        ids: under "resample", token ids of the text that is read, with the special prefix: another
            text of the reference set is drawn for it.

    Returns:
        For "mean" the means (layers, heads, head size), for "resample" the outputs of the drawn
        text (layers, tokens, heads, head size), else None.

    Raises:
        ValueError: the reference set is unknown, or holds no other text.
    """
    if kind_of(mode) == "mean":
        return default_means(model) if mode == "mean" else _means(model, mode)
    if kind_of(mode) != "resample":
        return None
    reference = reference_of(mode)
    assert reference is not None
    state = state_of(model)
    key = ("resampled", reference)
    rows, kept = model.cache.kept(key, lambda: _begin(model, reference), state=state)
    number = donor(reference, ids, rows)
    if number not in kept:
        kept[number] = head_outputs(model, rows[number])
    kept.move_to_end(number)
    while len(kept) > 1 and sum(x.numel() for x in kept.values()) * 4 > DONORS:
        kept.popitem(last=False)
    return kept[number]


def _begin(
    model: Model, reference: ReferenceSet
) -> tuple[list[list[int]], OrderedDict[int, torch.Tensor]]:
    """The token ids of each text of a set, and room for their outputs."""
    return reference_rows(model, reference), OrderedDict()


def reference_rows(model: Model, reference: ReferenceSet) -> list[list[int]]:
    """What a model reads of the texts of a reference set.

    Args:
        model: the model.
        reference: the set.

    Returns:
        The token ids of each text, with the special prefix, as far as they are read.
    """
    length = min(reference.max_tokens, model.context)
    return [(model.bos_ids + model.encode(text))[:length] for text in reference.texts]


def output_bytes(model: Model, tokens: int) -> int:
    """Bytes that the outputs of every head take, as they are kept for mode "resample".

    Args:
        model: the model.
        tokens: of the text.

    Returns:
        Bytes, in float32.
    """
    return model.num_layers * model.num_heads * model.sites[0].head_size * tokens * 4


@preemptible
def head_outputs(model: Model, ids: Sequence[int]) -> torch.Tensor:
    """The output of every head at each position of one text, in one pass.

    Args:
        model: the model, with no head masked.
        ids: token ids with the special prefix.

    Returns:
        The outputs (layers, tokens, heads, head size), float32, on the CPU.

    Raises:
        ValueError: heads of the model are masked.
    """
    size = model.sites[0].head_size
    outputs = torch.zeros(model.num_layers, len(ids), model.num_heads, size)

    def keep(seen: AttentionCall) -> None:
        outputs[seen.layer] = seen.output[0].float().cpu()

    with model.lock, torch.inference_mode():
        require_unmasked(model)
        with attach_hooks(model.sites, observer=keep):
            model.hidden(torch.tensor([list(ids)], device=model.device))
    return outputs


def default_means(model: Model) -> torch.Tensor:
    """Means over 32 documents of the environment corpus, computed once for these weights.

    Args:
        model: the model, with no head masked.

    Returns:
        The means (layers, heads, head size), as `head_means` gives them.
    """
    return _means(model, f"mean:{ENVIRONMENT}", "default means")


def _means(model: Model, mode: str, key: str | None = None) -> torch.Tensor:
    """Means over a reference set, computed once for these weights."""

    def means() -> torch.Tensor:
        reference = reference_of(mode)
        assert reference is not None
        return head_means(model, reference.texts, reference.max_tokens)

    return model.cache.kept(key or mode, means, state=state_of(model))
