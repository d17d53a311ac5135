"""Control sets: heads as many as the masked ones, against which a document's rise is held.

Masking any heads does some damage. What is left of the rise when that of other sets is taken off,
the excess, is owed to these heads and not to their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from workbench.models.geometry import Geometry
from workbench.models.heads import Head, HeadSet

Match = Literal["none", "layers"]


def control_sets(
    heads: HeadSet,
    count: int = 5,
    *,
    seed: int = 0,
    match: Match | Sequence[float] | np.ndarray = "none",
) -> tuple[HeadSet, ...]:
    """Draw head sets of the same size, none of which holds one of the given heads.

    Args:
        heads: the heads to be compared with.
        count: how many sets.
        seed: of the draws; set i has the seed `seed` + i.
        match: "none" draws among all other heads; "layers" draws, for each head, another of its
            layer. An array (layers, heads), such as `HeadEffects.effect` (the effect of each head
            masked alone): draws, for each head, one of the ten other heads nearest to it in that.

    Returns:
        The sets. Two may share heads, or be the same where there are few to draw from.

    Raises:
        ValueError: count is below 1, no heads are given, there are too few others, or the array has
            another shape or values that are not finite at heads of the model.
    """
    if count < 1:
        raise ValueError(f"at least one control set is drawn, got count={count}")
    if not heads:
        raise ValueError("no heads to draw control sets for: give at least one head")
    if isinstance(match, str) and match not in ("none", "layers"):
        raise ValueError(f"match must be 'none', 'layers' or an array of effects, got {match!r}")
    if isinstance(match, str) and match == "none":
        model = Geometry(heads.layers, heads.heads_per_layer, heads.headless)
        return tuple(HeadSet.random(model, exclude=heads, seed=seed + i) for i in range(count))
    nearness = None if isinstance(match, str) else _effects(heads, np.asarray(match, dtype=float))
    return tuple(_matched(heads, nearness, seed + i) for i in range(count))


def _effects(heads: HeadSet, effects: np.ndarray) -> np.ndarray:
    everything = heads | heads.complement()
    shape = (heads.layers, heads.heads_per_layer)
    if effects.shape != shape or not all(np.isfinite(effects[head]) for head in everything.members):
        raise ValueError(
            f"match takes a finite number for each head, an array of shape {shape}; got the shape "
            f"{effects.shape}"
        )
    return effects


def _matched(heads: HeadSet, effects: np.ndarray | None, seed: int) -> HeadSet:
    """A set in which each head is replaced by another one of its layer, or of like effect."""
    rng = np.random.default_rng(seed)
    free = list(heads.complement().members)
    drawn: list[Head] = []
    for head in rng.permutation(np.array(heads.members)):
        layer, number = int(head[0]), int(head[1])
        if effects is None:
            pool = [other for other in free if other.layer == layer]
        else:
            own = effects[layer, number]
            pool = sorted(free, key=lambda other: abs(effects[other] - own))[:10]
        if not pool:
            where = f"layer {layer}" if effects is None else "the model"
            raise ValueError(
                f"{where} has no other head left to match L{layer}H{number} with: draw with "
                "match='none', or match fewer heads"
            )
        drawn.append(pool[rng.integers(len(pool))])
        free.remove(drawn[-1])
    how = "of the same layers" if effects is None else "of like effect alone"
    origin = {"chosen": f"{len(drawn)} other heads {how} at random", "seed": seed}
    return replace(heads, members=tuple(drawn), origin=origin)
