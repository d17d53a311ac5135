"""Query heads and sets of them: how they are named, chosen, combined and stored.

A head is one *query* head of one decoder layer, both counted from 0. Nothing here needs a model in
memory: a set knows the geometry (layers x query heads) that it belongs to, and that is all.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.models.geometry import Geometry, HasGeometry
from workbench.models.head_scores import HeadScores, as_head_scores

if TYPE_CHECKING:
    import pandas as pd

MOST_HEADS = 1_000_000  # of a model: far more than any has, and few enough to count one by one
_NAME = re.compile(r"L([0-9]{1,5})H([0-9]{1,5})", re.IGNORECASE)


class Head(NamedTuple):
    """One query head.

    Attributes:
        layer: the decoder layer, from 0.
        head: the position inside the layer, from 0.
    """

    layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"


@dataclass(frozen=True)
class HeadSet:
    """An immutable set of heads of a model with `layers` x `heads_per_layer` query heads.

    `|`, `&`, `-`, `^` and `~` combine sets of the same geometry.

    Attributes:
        members: the heads in model order (layer, then head), each once.
        layers: decoder layers of the model.
        heads_per_layer: query heads in each layer that has any.
        origin: where the set came from; it travels into manifests and takes no part in equality.
        headless: the layers without attention heads (the recurrent or convolutional ones of a
            hybrid model): no head of theirs can be a member.

    Raises:
        ValueError: a member is not a head of the model, or no model has so many layers and heads.
        TypeError: a member is not a pair of whole numbers.
    """

    members: tuple[Head, ...]
    layers: int
    heads_per_layer: int
    origin: Mapping[str, Any] = field(default_factory=dict, compare=False)
    headless: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.layers < 1 or self.heads_per_layer < 1:
            raise ValueError(
                "a model has at least one layer and one head a layer, got "
                f"{self.layers!r:.20} layers x {self.heads_per_layer!r:.20} heads"
            )
        if self.layers * self.heads_per_layer > MOST_HEADS:
            raise ValueError(f"no model has more than {MOST_HEADS:,} heads: layers x heads a layer")
        try:
            members = tuple(
                sorted({Head(index(layer), index(head)) for layer, head in self.members})
            )
        except TypeError as error:
            raise TypeError(
                "heads are (layer, head) pairs of whole numbers, both from 0, such as (17, 3); got "
                f"{list(self.members)!r:.100}"
            ) from error
        for member in members:
            layer, head = member
            if not (0 <= layer < self.layers and 0 <= head < self.heads_per_layer):
                raise ValueError(
                    f"{member} is not a head of this model: layers go from 0 to {self.layers - 1}, "
                    f"query heads from 0 to {self.heads_per_layer - 1}"
                )
            if layer in self.headless:
                raise ValueError(
                    f"{member} does not exist: layer {layer} has no attention heads (of layers 0 "
                    f"to {self.layers - 1}, these have none: {', '.join(map(str, self.headless))})"
                )
        object.__setattr__(self, "members", members)

    # ---- making one -------------------------------------------------------------------------

    @classmethod
    def of(cls, members: Iterable[tuple[int, int]], model: HasGeometry) -> HeadSet:
        """The heads given as (layer, head) pairs.

        Args:
            members: pairs of layer and head, both from 0.
            model: the model, or anything with its geometry.

        Raises:
            ValueError: a pair is not a head of `model`.
            TypeError: a member is not a pair of whole numbers.
        """
        headless = tuple(getattr(model, "headless", ()))
        heads = tuple(Head(*pair) for pair in members)
        return cls(heads, model.num_layers, model.num_heads, headless=headless)

    @classmethod
    def parse(cls, text: str, model: HasGeometry) -> HeadSet:
        """Read a head set from text such as `"L17H3 L18H6"`.

        Args:
            text: head names with spaces or commas between them, in upper or lower case; "" is
                empty.
            model: the model, or anything with its geometry.

        Raises:
            ValueError: the text holds anything that is not a head name, or not a head of `model`.
        """
        words = text.replace(",", " ").split()
        for word in words:
            if not _NAME.fullmatch(word):
                raise ValueError(
                    f"{word[:40]!r} is not a head: expected names like 'L17H3' (layer 17, query "
                    "head 3, both from 0) with spaces or commas between them"
                )
        names = [_NAME.fullmatch(word) for word in words]
        return cls.of([(int(m[1]), int(m[2])) for m in names if m], model)

    @classmethod
    def top(
        cls, scores: HeadScores | pd.DataFrame, fraction: float = 0.05, *, allow_ties: bool = False
    ) -> HeadSet:
        """The heads with the highest scores.

        The paper (arXiv 2505.07293) takes the top 5 % by retrieval score; see
        `workbench/METHOD.md`. A cut that falls among heads of equal score, or that takes heads of
        score 0, would be decided by the order of the rows, so it is an error unless `allow_ties` is
        set (then the lower layer and head wins).

        Args:
            scores: a score for each head of the model: what `retrieval_scores` or another detector
                returned, or a frame of your own with the columns layer, head and score.
            fraction: the share of all heads that is taken, between 0 and 1, rounded up to whole
                heads.
            allow_ties: whether the lower layer and head may decide a tie at the cut.

        Raises:
            ValueError: the scores are not complete or not finite, `fraction` takes all heads or
                lies outside its range, or the cut is not determined.
            TypeError: `scores` is neither `HeadScores` nor a frame.
        """
        scores = as_head_scores(scores)
        geometry = scores.geometry
        ranked = scores.ranked()
        value = ranked["score"].to_numpy(dtype=float)
        if not np.isfinite(value).all():
            odd = heads_in(ranked[~np.isfinite(value)].sort_values(["layer", "head"]))
            raise ValueError(
                f"{len(odd)} of {len(value)} scores are not finite (first: {odd[0]}), so the heads "
                "cannot be ranked by them: score them again, or give these heads a finite score"
            )
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must lie between 0 and 1, got {fraction}")
        size = cut_size(fraction, len(scores))
        if size == len(scores):
            raise ValueError(f"fraction {fraction} takes all {size} heads: nothing is left to rank")
        last, following = value[size - 1], value[size]
        if not allow_ties and last <= 0:
            raise ValueError(
                f"the top {size} heads would include heads that score 0: only "
                f"{int((value > 0).sum())} of {len(value)} heads copied anything. Use more or "
                "longer probes, a smaller fraction, or allow_ties=True"
            )
        if not allow_ties and last == following:
            tied = int((value == last).sum())
            raise ValueError(
                f"{tied} heads tie at the cut (score {last:.6g}), so the top {size} heads are not "
                "determined. Use more probes, another fraction, or allow_ties=True"
            )
        origin = {
            "chosen": f"top {100 * fraction:g} % of {len(value)} heads by {scores.by}",
            "fraction": fraction,
            "score_at_cut": round(float(last), 6),
            "score_after_cut": round(float(following), 6),
            **scores.origin,
        }
        return replace(cls.of(heads_in(ranked.head(size)), geometry), origin=origin)

    @classmethod
    def random(
        cls,
        scores: HeadScores | pd.DataFrame | HasGeometry,
        exclude: HeadSet | None = None,
        seed: int = 0,
        size: int | None = None,
    ) -> HeadSet:
        """Heads drawn at random, as a baseline for a head set.

        The draw depends on the seed alone, and can never contain an excluded head.

        Args:
            scores: scores as in `top`, or the model, for the geometry.
            exclude: heads that are not drawn (default: none).
            seed: seed of the draw.
            size: how many heads are drawn (default: as many as `exclude` holds).

        Raises:
            ValueError: neither `exclude` nor `size` is given, or there are too few heads to draw
                from.
        """
        geometry = scores if isinstance(scores, HasGeometry) else as_head_scores(scores).geometry
        everything = cls.of((), geometry).complement()
        pool = everything - exclude if exclude else everything
        size = len(exclude) if size is None and exclude is not None else size
        if size is None:
            raise ValueError("say how many heads to draw: give exclude= (as many) or size=")
        if not 0 <= size <= len(pool):
            raise ValueError(
                f"{size} heads were asked for, but only {len(pool)} are not excluded: draw fewer"
            )
        picks = np.random.default_rng(seed).choice(len(pool), size=size, replace=False)
        origin = {"chosen": f"{size} of {len(pool)} heads at random", "seed": seed}
        return replace(everything._same(pool.members[i] for i in picks), origin=origin)

    # ---- algebra ----------------------------------------------------------------------------

    def complement(self) -> HeadSet:
        """Every head of the model that is not in this set."""
        inside = set(self.members)
        layers = [layer for layer in range(self.layers) if layer not in self.headless]
        every = (Head(x, y) for x in layers for y in range(self.heads_per_layer))
        return self._same([head for head in every if head not in inside])

    def __or__(self, other: HeadSet) -> HeadSet:
        return self._same([*self.members, *self._checked(other)])

    def __and__(self, other: HeadSet) -> HeadSet:
        return self._same(set(self.members) & self._checked(other))

    def __sub__(self, other: HeadSet) -> HeadSet:
        return self._same(set(self.members) - self._checked(other))

    def __xor__(self, other: HeadSet) -> HeadSet:
        return self._same(set(self.members) ^ self._checked(other))

    def __invert__(self) -> HeadSet:
        return self.complement()

    def jaccard(self, other: HeadSet) -> float:
        """Jaccard index of two sets: |both| / |either|, 1.0 for two empty sets.

        Args:
            other: a set of the same geometry.
        """
        either = len(self | other)
        return len(self & other) / either if either else 1.0

    def _checked(self, other: HeadSet) -> set[Head]:
        if not isinstance(other, HeadSet):
            raise TypeError(
                f"expected a head set, got {other!r:.60}: HeadSet.parse('L3H1', model) makes one"
            )
        if self.geometry != other.geometry:
            raise ValueError(
                f"these sets belong to different models: {self.geometry} and {other.geometry}"
            )
        return set(other.members)

    def _same(self, members: Iterable[Head]) -> HeadSet:
        return HeadSet(tuple(members), *self.geometry[:2], headless=self.headless)

    # ---- looking ----------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Head]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, head: object) -> bool:
        return head in self.members

    def __str__(self) -> str:
        return " ".join(map(str, self.members))

    def __repr__(self) -> str:
        total = self.geometry.total
        return f"<HeadSet {len(self)} of {total} heads: {self or 'none'}>"

    @property
    def geometry(self) -> Geometry:
        """The layers and heads of the model that the set belongs to."""
        return Geometry(self.layers, self.heads_per_layer, self.headless)

    def by_layer(self) -> dict[int, list[int]]:
        """{layer: [heads]} for the layers that have members, in order."""
        grouped: dict[int, list[int]] = {}
        for layer, head in self.members:
            grouped.setdefault(layer, []).append(head)
        return grouped

    # ---- storing ----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict that `from_json` turns into an equal set."""
        return {
            "heads": str(self),
            "layers": self.layers,
            "heads_per_layer": self.heads_per_layer,
            "origin": dict(self.origin),
            **({"headless": list(self.headless)} if self.headless else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | str) -> HeadSet:
        """The set that `to_json` stored.

        Args:
            stored: its dict, or that as JSON text.

        Raises:
            ValueError: `stored` is anything else.
        """
        try:
            stored = json.loads(stored) if isinstance(stored, str) else stored
            if isinstance(stored, str):
                raise TypeError("a text inside the text")
            layers, width, text = stored["layers"], stored["heads_per_layer"], stored["heads"]
            if not (type(layers) is int and type(width) is int and isinstance(text, str)):
                raise TypeError("layers and heads_per_layer are whole numbers, heads is text")
            origin = dict(stored.get("origin") or {})
            headless = tuple(stored.get("headless") or ())
            if any(type(layer) is not int for layer in headless):
                raise TypeError("headless is a list of whole numbers")
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise ValueError(
                "not a stored head set: expected an object with 'heads' (\"L17H3 L18H6\"), "
                f"'layers' and 'heads_per_layer' ({error!r:.200})"
            ) from error
        heads = cls.parse(text, Geometry(layers, width, headless))
        return replace(heads, origin=origin)


def heads_in(frame: pd.DataFrame) -> list[Head]:
    """The head of each row of a frame.

    Args:
        frame: with the columns layer and head.
    """
    return [Head(int(a), int(b)) for a, b in frame[["layer", "head"]].to_numpy()]


def cut_size(fraction: float, total: int) -> int:
    """How many heads a share of all heads is, rounded up, at least one.

    Args:
        fraction: the share, between 0 and 1.
        total: how many heads there are.
    """
    # Not rounded up because 0.05 * 20 is 1.0000000000000002 in floating point.
    return max(1, math.ceil(fraction * total - 1e-9))
