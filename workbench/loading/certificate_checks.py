"""The single checks of a certificate: claims about a model, each with how it is measured.

A measure reads the passes of a `CertificatePasses` and gives the number measured with its limit,
which depends on the dtype, or a text where the claim says nothing about this model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from workbench.loading.certificate_passes import EDITED, CertificatePasses
from workbench.masking.masks import masked
from workbench.models.heads import HeadSet

# float32 is as strict as the check of packed batches; half precision rounds otherwise in another
# order of sums.
SAME_PASS = {
    torch.float32: 1e-4,
    torch.float16: 1e-2,
    torch.bfloat16: 1e-2,
}  # nats; two passes of the same shape
LOSS = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 2e-2}  # of a loss above 1 nat
BATCHED = {torch.float32: 1e-4}  # of a loss above 1 nat; `workbench.masking.packed` takes the same
OUTPUT = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}  # of the largest value
HALF = 0.1  # where a dtype has no limit of its own
CHANGE = 1e-4  # nats; a mask must change some loss by more
OTHERS = 0.75  # retrieval score; heads that do not copy

Measured = tuple[float | str, float]  # what was found, or why nothing can be; its limit


def _every_weight_read(passes: CertificatePasses) -> Measured:
    unread = passes.model.from_nowhere
    if unread is None:
        return "not known: the model was handed over, and its files were not seen", 0
    return len(unread), 0


def _empty_mask(passes: CertificatePasses) -> Measured:
    with masked(passes.model, HeadSet.of([], passes.model)) as model:
        ours = model.hf(input_ids=passes.row(passes.window), use_cache=False).logits
    return int((ours != passes.stock[0]).sum()), 0


def _every_layer(passes: CertificatePasses) -> Measured:
    return sum(layer.changed for layer in passes.layers.values()), len(passes.model.sites)


def _reaches_loss(passes: CertificatePasses) -> Measured:
    return _distance(passes.losses(passes.window), passes.losses(passes.window, True)), CHANGE


def _no_look_ahead(under_mask: bool) -> Callable[[CertificatePasses], Measured]:
    def measure(passes: CertificatePasses) -> Measured:
        before, after = (passes.losses(ids, under_mask) for ids in (passes.window, passes.edited))
        return _distance(before[:-EDITED], after[:-EDITED]), _limit(passes, SAME_PASS)

    return measure


def _siblings(passes: CertificatePasses) -> Measured:
    return max(layer.others for layer in passes.layers.values()), _limit(passes, OUTPUT)


def _average(passes: CertificatePasses) -> Measured:
    return max(layer.average for layer in passes.layers.values()), _limit(passes, OUTPUT)


def _own_loss(passes: CertificatePasses) -> Measured:
    own = passes.stock[1]
    ours = [passes.losses(passes.window)]
    if passes.batched is not None:
        ours.append(passes.batched[0][0])
    worst = max(abs(float(losses.mean(dtype="float64")) - own) for losses in ours)
    return worst, _limit(passes, LOSS) * max(1.0, own)


def _batched(passes: CertificatePasses) -> Measured:
    if passes.batched is None:
        return "not batched: losses go one window at a time", 0
    worst, highest = 0.0, 1.0
    for under_mask in (False, True):
        whole = passes.losses(passes.window, under_mask)
        single = [whole, whole[:-EDITED], passes.losses(passes.edited, under_mask)]
        for packed, expected in zip(passes.batched, single, strict=True):
            worst = max(worst, _distance(packed[under_mask], expected))
            highest = max(highest, float(expected.max()))
    return worst, _limit(passes, BATCHED) * highest


def _planted_found(passes: CertificatePasses) -> Measured:
    return float(min(passes.copied[0][head] for head in passes.every)), 1


def _only_planted(passes: CertificatePasses) -> Measured:
    """The highest score of the planted heads' siblings, and of the same heads with nothing planted.

    Heads of other groups are left out: a model may have copying heads of its own.
    """
    planted, natural = passes.copied
    highest = max(natural[head] for head in passes.every)
    for site, (layer, head) in zip(passes.model.sites, passes.every, strict=True):
        group = site.heads // site.kv_heads
        start = head // group * group
        siblings = [planted[layer, i] for i in range(start, start + group) if i != head]
        highest = max([highest, *siblings])
    return float(highest), OTHERS


def _limit(passes: CertificatePasses, limits: dict[torch.dtype, float]) -> float:
    dtype = passes.model.dtype
    return limits.get(torch.float32 if dtype == torch.float64 else dtype, HALF)


def _distance(losses: np.ndarray, expected: np.ndarray) -> float:
    if losses.shape != expected.shape:
        raise ValueError(f"{len(losses)} losses where {len(expected)} were expected")
    return float(np.abs(losses - expected).max())


@dataclass(frozen=True)
class CheckSpec:
    """One check: what is claimed about a model, and how it is measured.

    Attributes:
        name: the check's short name.
        measure: gives the number measured and its limit from the passes, or a text and 0 where the
            claim says nothing about this model.
        bound: "at most" or "at least": on which side of the limit the number must lie.
        unit: the unit of the number and its limit.
        tested: the claim in words.
    """

    name: str
    measure: Callable[[CertificatePasses], Measured]
    bound: Literal["at most", "at least"]
    unit: str
    tested: str


CHECKS = (
    CheckSpec("every weight was read", _every_weight_read, "at most", "weights",
          "weights of the model that no file of its checkpoint held"),
    CheckSpec("empty mask", _empty_mask, "at most", "logits",
          "logits under an empty mask that are not the stock model's, bit for bit"),
    CheckSpec("every layer masks", _every_layer, "at least", "layers",
          "layers in which masking one head changes what attention puts out"),
    CheckSpec("mask changes the loss", _reaches_loss, "at least", "nats",
          "largest change of a token's loss with one head a layer masked"),
    CheckSpec("no look ahead", _no_look_ahead(False), "at most", "nats",
          "change of the losses before an edited token"),
    CheckSpec("no look ahead, masked", _no_look_ahead(True), "at most", "nats",
          "the same with one head a layer masked"),
    CheckSpec("other heads untouched", _siblings, "at most", "of a value",
          "change of the other heads of a masked head's layer, siblings of its group included"),
    CheckSpec("masked head averages", _average, "at most", "of a value",
          "distance of a masked head's output from the running mean of its values"),
    CheckSpec("the model's own loss", _own_loss, "at most", "nats",
          "distance of our mean loss from the model's with labels=input_ids"),
    CheckSpec("batched as single", _batched, "at most", "nats",
          "largest difference of a token's loss, packed with others and alone"),
    CheckSpec("planted head found", _planted_found, "at least", "score",
          "lowest retrieval score of a copying head planted in each layer"),
    CheckSpec("siblings not found", _only_planted, "at most", "score",
          "highest score of its siblings, and of the same head with nothing planted"),
)  # fmt: skip
