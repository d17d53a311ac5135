"""Heads that are masked step by step while a model is trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.models.heads import HeadSet


@dataclass(frozen=True)
class MaskSchedule:
    """When heads are masked in a training: first many at a time, then fewer (Zhu and Gupta).

    The share of all heads that are masked is s_t = s_f (1 - (1 - (t - t0)/(n Dt))^3) at the steps
    t0, t0 + Dt, ..., t0 + n Dt (arXiv 1710.01878, equation 1, from no head on), rounded to whole
    heads. A masked head puts out nothing ("zero"), so its queries, and the weights that take its
    output, get no gradient; keys and values get that of the heads that share them.

    Attributes:
        heads: those that are masked at the end.
        begin: t0, the step after which it begins, from 0.
        every: Dt, the steps between two changes.
        times: n, how many changes there are.
        seed: of the order in which the heads come.

    Raises:
        TypeError: `heads` is no HeadSet.
        ValueError: a number is out of its range.
    """

    heads: HeadSet
    begin: int = 0
    every: int = 10
    times: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.heads, HeadSet):
            raise TypeError(
                f"a mask schedule takes a HeadSet, got {type(self.heads).__name__}: make one with "
                "HeadSet(((0, 1), (2, 3)), layers, heads)"
            )
        if self.begin < 0 or self.every < 1 or self.times < 1:
            raise ValueError(f"begin is 0 or more, every and times 1 or more; got {self}")

    def share(self, step: int) -> float:
        """The share of all heads that is masked in a step, before it is rounded to whole heads.

        Args:
            step: of the training, from 1.

        Returns:
            s_t, from 0 to the share of `heads`.
        """
        changes = (step - self.begin) // self.every
        done = min(max(changes / self.times, 0.0), 1.0)
        final = len(self.heads) / (self.heads.layers * self.heads.heads_per_layer)
        return final * (1 - (1 - done) ** 3)

    def heads_at(self, step: int) -> HeadSet:
        """The heads that are masked in a step: those of every earlier one, and further ones.

        Args:
            step: of the training, from 1.

        Returns:
            The heads.
        """
        order = np.random.default_rng(self.seed).permutation(len(self.heads))
        every = self.heads.layers * self.heads.heads_per_layer
        count = round(self.share(step) * every)
        members = self.heads.members
        return dataclasses.replace(self.heads, members=tuple(members[i] for i in order[:count]))

    def to_json(self) -> dict[str, Any]:
        """What settles it, as plain JSON values."""
        numbers = ("begin", "every", "times", "seed")
        return {name: getattr(self, name) for name in numbers} | {"heads": self.heads.to_json()}
