"""Mask heads of a model for as long as a `with` block lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import get_args

import torch

from workbench.core.progress import preemptible
from workbench.models.attached_hooks import attach_hooks, is_overridden
from workbench.models.attention_hook import AttentionCall, Mode, Override
from workbench.models.geometry import geometry_of
from workbench.models.heads import HeadSet
from workbench.models.identity import state_of
from workbench.models.model import Model


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
            "zero" puts out nothing; "mean" puts out the head's average output over a reference set.
        means: for mode "mean", the average outputs (layers, heads, head size) from `head_means`
            (default: those of a small sample of the environment corpus).

    Yields:
        The model.

    Raises:
        TypeError: `heads` is anything but a HeadSet or None.
        ValueError: heads of another geometry, an unknown mode, or a model that is masked already
            (combine the sets with `|` instead).
    """
    require_fitting(model, heads, mode)
    with model.lock:
        require_unmasked(model)
        if heads and mode == "mean" and means is None:
            means = default_means(model)
        with attach_hooks(model.sites, overrides_of(heads, mode, means)):
            yield model


def require_fitting(model: Model, heads: HeadSet | None, mode: Mode) -> None:
    """Require heads of this model and a known mode.

    Args:
        model: the model.
        heads: a head set, or None for no head.
        mode: "uniform", "zero" or "mean".

    Raises:
        TypeError: `heads` is anything but a HeadSet or None.
        ValueError: the heads belong to a model of another geometry, or the mode is unknown.
    """
    if heads is not None and not isinstance(heads, HeadSet):
        raise TypeError(
            f"heads must be a HeadSet or None, got {type(heads).__name__}: make one with "
            "HeadSet.parse('L17H3 L18H6', model) or HeadSet.of([(17, 3), (18, 6)], model)"
        )
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    if heads is not None and heads.geometry != geometry_of(model):
        raise ValueError(
            f"these heads belong to a model of {heads.geometry}, this one has {geometry_of(model)}"
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
        mode: what a masked head does instead, "uniform", "zero" or "mean".
        means: for mode "mean", the average outputs (layers, heads, head size).
        rows: the rows of the batch (default: all).

    Returns:
        The overrides by layer.
    """
    return {
        layer: [
            Override(tuple(inside), mode, None if means is None else means[layer, inside], rows)
        ]
        for layer, inside in (heads.by_layer() if heads else {}).items()
    }


def default_means(model: Model) -> torch.Tensor:
    """Means over 32 documents of the environment corpus, computed once for these weights.

    Args:
        model: the model, with no head masked.

    Returns:
        The means (layers, heads, head size), as `head_means` gives them.
    """

    def means() -> torch.Tensor:
        from workbench.corpus.environment import environment_corpus

        texts = [document.text for document in environment_corpus(max_documents=32, seed=0)]
        return head_means(model, texts)

    return model.cache.kept("default means", means, state=state_of(model))
