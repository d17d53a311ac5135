"""A second detector of retrieval heads: by what a head writes instead of where it looks.

LOCOS (logit-contribution scoring; Gema, Alex, Minervini, arXiv 2607.01002) splits what a head adds
to the residual stream by the source position that it came from, and asks how much of it points to
the answer token. As in detection, only the few rows that predict the answer are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from workbench.core.progress import track
from workbench.detection.probes import Probe, Probes
from workbench.detection.retrieval import answer_rows, require_tokenizer, summarised
from workbench.masking.masks import require_unmasked
from workbench.models.attached_hooks import attach_hooks
from workbench.models.attention_hook import AttentionCall
from workbench.models.attention_weights import attention_weights, deviation
from workbench.models.head_scores import HeadScores
from workbench.models.install import sample_ids
from workbench.models.model import Model


class CannotSplit(ValueError):
    """What the heads of this model write cannot be split by source position."""


@dataclass(frozen=True)
class Parts:
    """What the heads of one layer put out in some rows, split by source position.

    The sum of both is the head's output. Shape (rows, H, head size), float32.

    Attributes:
        needle: what comes from the keys of a span.
        elsewhere: what comes from all other keys.
    """

    needle: torch.Tensor
    elsewhere: torch.Tensor


def locos_scores(model: Model, probes: Probes, *, bootstrap: int = 1000) -> HeadScores:
    """LOCOS score of every head: how much more it writes towards the answer from the needle.

    The needle is the value's place in the JSON object; it is compared with as many tokens
    elsewhere.

    At the position that predicts answer token y, a head's output from source j is passed through
    the head's columns of the output projection and multiplied with the unembedding row of y. The
    score is the sum over the needle, minus the sum over all other keys times (needle tokens / other
    tokens), averaged over answer tokens and probes. This is the direct path alone: what later
    layers make of it, the norms behind the projection (Gemma, OLMo 2) and the final norm with its
    gains are left out, as in the paper. Unlike the paper, the true answer is fed and no probe is
    left out for a wrong answer.

    Source: Gema, Alex, Minervini, arXiv 2607.01002.

    Args:
        model: the model, with no head masked.
        probes: probes made with the model's tokenizer.
        bootstrap: draws over probes behind the interval.

    Returns:
        Scores as `retrieval_scores` gives them, in logits, with two more columns in the frame:
        needle and elsewhere, the two sums before the rescaling, in logits.

    Raises:
        CannotSplit: an output projection is not found, the vocabulary projection does not read the
            residual stream directly, or the attention weights cannot be reproduced.
        ValueError: the probes were made with another tokenizer.
    """
    require_tokenizer(model, probes)
    projections = output_projections(model)
    embedding = model.hf.get_output_embeddings()
    unembed = getattr(embedding, "weight", None)
    width = len(next(iter(projections.values())))
    if not isinstance(unembed, torch.Tensor) or unembed.shape[1] != width:
        raise CannotSplit(
            f"{type(model.hf).__name__} has no vocabulary projection that reads the residual "
            f"stream (width {width}) directly"
        )
    rows = [
        _written(model, probe, projections, unembed)
        for probe in track(probes.items, "what heads write", "probe")
    ]
    needle, elsewhere, contrast = (np.stack(values) for values in zip(*rows, strict=True))
    scores = summarised(model, contrast, "LOCOS score", probes, bootstrap)
    at = scores.frame["layer"].to_numpy(), scores.frame["head"].to_numpy()
    sums = {"needle": needle.mean(axis=0)[at], "elsewhere": elsewhere.mean(axis=0)[at]}
    return replace(scores, frame=scores.frame.assign(**sums))


def _written(
    model: Model, probe: Probe, projections: Mapping[int, torch.Tensor], unembed: torch.Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Needle, elsewhere and contrast of each head on one probe, (layers, heads) each."""
    ids, positions, targets = answer_rows(model, probe)
    first, last = (len(model.bos_ids) + edge for edge in probe.value)
    answers = unembed[targets].float()  # (R, width)
    # Keys that are not the needle, for each row: the query at p has p + 1 keys before or at it.
    ratio = (last - first) / (positions + 1 - (last - first)).float()
    sums = np.zeros((3, model.num_layers, model.num_heads))

    def look(seen: AttentionCall) -> None:
        parts = split_output(seen, positions, first, last)
        # What direction of a head's output raises the answer's logit: (R, H, head size).
        wanted = (answers @ projections[seen.layer].float()).view_as(parts.needle)
        needle = (parts.needle * wanted).sum(dim=-1)  # (R, H)
        elsewhere = (parts.elsewhere * wanted).sum(dim=-1)
        contrast = needle - ratio[:, None] * elsewhere
        for row, values in enumerate((needle, elsewhere, contrast)):
            sums[row, seen.layer] = values.mean(dim=0).cpu().double().numpy()

    with model.lock, torch.inference_mode():
        require_unmasked(model)
        with attach_hooks(model.sites, observer=look):
            model.hidden(ids)
    needle, elsewhere, contrast = sums
    return needle, elsewhere, contrast


def split_output(seen: AttentionCall, rows: torch.Tensor, first: int, last: int) -> Parts:
    """What each head puts out in some queries of batch row 0, split at a span of keys.

    The attention weights of these rows are computed anew from queries and keys
    (`attention_weights`).

    Args:
        seen: one attention call, as an observer gets it.
        rows: the positions of the queries, (R,).
        first: the first key of the span.
        last: the key behind the span's last one.

    Raises:
        CannotSplit: the parts do not sum to what the kernel gave.
    """
    kv_heads, keys = seen.key.shape[1:3]
    weights = attention_weights(seen, rows).reshape(kv_heads, -1, keys)  # groups are neighbours
    value = seen.value[0].float()
    needle = weights[..., first:last] @ value[:, first:last]
    weights[..., first:last] = 0
    elsewhere = weights @ value
    heads = seen.query.shape[1]
    parts = Parts(
        needle.reshape(heads, len(rows), -1).transpose(0, 1).contiguous(),
        elsewhere.reshape(heads, len(rows), -1).transpose(0, 1).contiguous(),
    )
    off = deviation(parts.needle + parts.elsewhere, seen.output[0, rows])
    if off is not None:
        raise CannotSplit(
            f"the attention weights of layer {seen.layer} cannot be reproduced from its queries "
            f"and keys: the parts miss the kernel's output by {off:.1%} of its largest entry"
        )
    return parts


def output_projections(model: Model) -> dict[int, torch.Tensor]:
    """The output projection of each layer with heads, as a matrix (width, heads * head size).

    Found by watching one short pass: the submodule of the attention module that gets the heads'
    outputs, side by side, and multiplies them with its weight.

    Args:
        model: the model, with no head masked.

    Returns:
        The matrices by layer.

    Raises:
        CannotSplit: a layer has no such module (the heads are mixed or gated first, or the weights
            are packed).
    """
    heads: dict[int, torch.Tensor] = {}  # what the heads of each layer put out, side by side
    matrices_of: dict[int, list[torch.Tensor | None]] = {}

    def look(seen: AttentionCall) -> None:
        heads[seen.layer] = seen.output.flatten(start_dim=2)

    hooks = [
        module.register_forward_hook(_watch(heads, matrices_of, site.layer))
        for site in model.sites
        for module in site.module.modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor)
    ]
    try:
        with model.lock, torch.inference_mode():
            require_unmasked(model)
            with attach_hooks(model.sites, observer=look):
                model.hidden(sample_ids(model.hf))
    finally:
        for hook in hooks:
            hook.remove()
    matrices = {}
    for site in model.sites:
        # More than one reader means that something is added to the plain projection (an adapter).
        readers = matrices_of.get(site.layer, [])
        if len(readers) != 1 or readers[0] is None:
            raise CannotSplit(
                f"{type(model.hf).__name__} has no plain output projection in layer {site.layer}: "
                "expected one module that multiplies the heads' outputs, side by side, with one "
                "weight matrix (merge adapters and unpack quantised weights first)"
            )
        matrices[site.layer] = readers[0]
    return matrices


def _watch(
    heads: dict[int, torch.Tensor], matrices_of: dict[int, list[torch.Tensor | None]], layer: int
) -> Callable[..., None]:
    """A forward hook: if the module reads what the heads put out, note its matrix (or None)."""

    def hook(module: torch.nn.Module, inputs: tuple[object, ...], output: object) -> None:
        read, wanted = inputs[0] if inputs else None, heads.get(layer)
        if not isinstance(read, torch.Tensor) or wanted is None:
            return
        if read.shape == wanted.shape and torch.equal(read, wanted):
            matrices_of.setdefault(layer, []).append(_matrix(module, read, output))

    return hook


def _matrix(module: torch.nn.Module, read: torch.Tensor, output: object) -> torch.Tensor | None:
    """The matrix (out, in) with which the module made `output` of `read`; None if there is none.

    Linear keeps (out, in), GPT-2's Conv1D (in, out); only one of them gives this output.
    """
    weight, bias = module.weight, getattr(module, "bias", None)
    if not (isinstance(output, torch.Tensor) and isinstance(weight, torch.Tensor)):
        return None
    plain = output if bias is None else output - bias
    for matrix in (weight, weight.T) if weight.dim() == 2 else ():
        if matrix.shape == (output.shape[-1], read.shape[-1]) and torch.allclose(
            (read @ matrix.T).float(), plain.float(), rtol=0, atol=float(plain.abs().max()) / 50
        ):
            return matrix.detach()
    return None
