"""Floating point operations that the two losses of documents need, counted from the shapes.

Two a multiplication with its addition, matrix products only: what sgemm is measured in. Norms,
activations, softmax and running means are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """A Llama-like decoder: what its matrix products depend on."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    inner: int
    vocabulary: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """From the fields of a config.json."""
        heads = config["num_attention_heads"]
        return cls(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_size=config.get("head_dim") or config["hidden_size"] // heads,
            inner=config["intermediate_size"],
            vocabulary=config["vocab_size"],
        )

    @property
    def linear(self) -> int:
        """Operations of one layer's linear maps, a token."""
        attention = 2 * self.width * (self.heads + self.kv_heads) * self.head_size
        return 2 * (attention + 3 * self.width * self.inner)

    @property
    def pair(self) -> int:
        """Operations of one head for one query and one key: the score, and the value's share."""
        return 2 * 2 * self.head_size

    @property
    def logits(self) -> int:
        """Operations of all logits of one position."""
        return 2 * self.width * self.vocabulary


def naive(shape: Shape, lengths: Iterable[int], *, whole_square: bool) -> int:
    """Two whole passes and all logits; the eager kernel computes future keys too (whole_square)."""
    total = 0
    for n in lengths:
        pairs = n * n if whole_square else n * (n + 1) // 2
        layer = n * shape.linear + pairs * shape.heads * shape.pair
        total += 2 * (shape.layers * layer + n * shape.logits)
    return total


def needed(shape: Shape, lengths: Iterable[int], heads: Sequence[tuple[int, int]]) -> int:
    """What cannot be left out: one pass, a second from the first masked layer on, the logits of
    both that predict a token. A masked head needs no scores, and no key after its query is seen."""
    first = min((layer for layer, _ in heads), default=shape.layers)
    total = 0
    for n in lengths:
        pairs = n * (n + 1) // 2
        rows = shape.layers + (shape.layers - first)
        seen = rows * shape.heads - len(set(heads))
        total += rows * n * shape.linear + seen * pairs * shape.pair
        total += (2 if heads else 1) * (n - 1) * shape.logits
    return total
