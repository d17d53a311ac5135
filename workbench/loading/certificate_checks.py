"""The single checks of a certificate: claims about a model, each with how it is measured.

A measure reads the passes of a `Trial` and gives the number found with its limit, which depends on
the dtype, or a text where the claim says nothing about this model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from workbench.loading.certificate_passes import EDITED, Trial
from workbench.masking.masks import masked
from workbench.models.heads import HeadSet

# float32 is as strict as the engine; in half precision another order of sums rounds otherwise.
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


def _every_weight_read(trial: Trial) -> Measured:
    unread = trial.model.from_nowhere
    if unread is None:
        return "not known: the model was handed over, and its files were not seen", 0
    return len(unread), 0


def _empty_mask(trial: Trial) -> Measured:
    with masked(trial.model, HeadSet.of([], trial.model)) as model:
        ours = model.hf(input_ids=trial.row(trial.window), use_cache=False).logits
    return int((ours != trial.stock[0]).sum()), 0


def _every_layer(trial: Trial) -> Measured:
    return sum(one.changed for one in trial.layers.values()), len(trial.model.sites)


def _reaches_loss(trial: Trial) -> Measured:
    return _distance(trial.losses(trial.window), trial.losses(trial.window, True)), CHANGE


def _no_look_ahead(under_mask: bool) -> Callable[[Trial], Measured]:
    def measure(trial: Trial) -> Measured:
        one, other = (trial.losses(ids, under_mask) for ids in (trial.window, trial.edited))
        return _distance(one[:-EDITED], other[:-EDITED]), _limit(trial, SAME_PASS)

    return measure


def _siblings(trial: Trial) -> Measured:
    return max(one.others for one in trial.layers.values()), _limit(trial, OUTPUT)


def _average(trial: Trial) -> Measured:
    return max(one.average for one in trial.layers.values()), _limit(trial, OUTPUT)


def _own_loss(trial: Trial) -> Measured:
    own = trial.stock[1]
    ours = [trial.losses(trial.window)]
    if trial.batched is not None:
        ours.append(trial.batched[0][0])
    worst = max(abs(float(one.mean(dtype="float64")) - own) for one in ours)
    return worst, _limit(trial, LOSS) * max(1.0, own)


def _batched(trial: Trial) -> Measured:
    if trial.batched is None:
        return "not batched: losses go one window at a time", 0
    worst, highest = 0.0, 1.0
    for under_mask in (False, True):
        whole = trial.losses(trial.window, under_mask)
        single = [whole, whole[:-EDITED], trial.losses(trial.edited, under_mask)]
        for found, expected in zip(trial.batched, single, strict=True):
            worst = max(worst, _distance(found[under_mask], expected))
            highest = max(highest, float(expected.max()))
    return worst, _limit(trial, BATCHED) * highest


def _planted_found(trial: Trial) -> Measured:
    return float(min(trial.copied[0][one] for one in trial.every)), 1


def _only_planted(trial: Trial) -> Measured:
    """The highest score of the planted heads' siblings, and of the same heads with nothing planted.

    Heads of other groups are left out: a model may have copying heads of its own.
    """
    planted, natural = trial.copied
    highest = max(natural[one] for one in trial.every)
    for site, (layer, head) in zip(trial.model.sites, trial.every, strict=True):
        group = site.heads // site.kv_heads
        start = head // group * group
        siblings = [planted[layer, i] for i in range(start, start + group) if i != head]
        highest = max([highest, *siblings])
    return float(highest), OTHERS


def _limit(trial: Trial, limits: dict[torch.dtype, float]) -> float:
    dtype = trial.model.dtype
    return limits.get(torch.float32 if dtype == torch.float64 else dtype, HALF)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        raise ValueError(f"{len(one)} losses where {len(other)} were expected")
    return float(np.abs(one - other).max())


@dataclass(frozen=True)
class Claim:
    """One claim: its name, how it is measured, what bounds the number and in what unit, and what
    is claimed, in words."""

    name: str
    measure: Callable[[Trial], Measured]
    bound: Literal["at most", "at least"]
    unit: str
    tested: str


CHECKS = (
    Claim("every weight was read", _every_weight_read, "at most", "weights",
          "weights of the model that no file of its checkpoint held"),
    Claim("empty mask", _empty_mask, "at most", "logits",
          "logits under an empty mask that are not the stock model's, bit for bit"),
    Claim("every layer masks", _every_layer, "at least", "layers",
          "layers in which masking one head changes what attention puts out"),
    Claim("mask changes the loss", _reaches_loss, "at least", "nats",
          "largest change of a token's loss with one head a layer masked"),
    Claim("no look ahead", _no_look_ahead(False), "at most", "nats",
          "change of the losses before an edited token"),
    Claim("no look ahead, masked", _no_look_ahead(True), "at most", "nats",
          "the same with one head a layer masked"),
    Claim("other heads untouched", _siblings, "at most", "of a value",
          "change of the other heads of a masked head's layer, siblings of its group included"),
    Claim("masked head averages", _average, "at most", "of a value",
          "distance of a masked head's output from the running mean of its values"),
    Claim("the model's own loss", _own_loss, "at most", "nats",
          "distance of our mean loss from the model's with labels=input_ids"),
    Claim("batched as single", _batched, "at most", "nats",
          "largest difference of a token's loss, packed with others and alone"),
    Claim("planted head found", _planted_found, "at least", "score",
          "lowest retrieval score of a copying head planted in each layer"),
    Claim("siblings not found", _only_planted, "at most", "score",
          "highest score of its siblings, and of the same head with nothing planted"),
)  # fmt: skip
