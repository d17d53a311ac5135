"""How a decoder is trained from scratch: the recipe, also for other widths than it was tuned at."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import torch

from workbench.training.decoder import Decoder


@dataclass(frozen=True)
class Recipe:
    """How a decoder is trained; one step reads batch x decoder.context tokens.

    The rate warms up, stays, and decays (section 4.1 of the paper, arXiv 2505.07293).

    Attributes:
        decoder: the shape of the model.
        steps: optimizer steps.
        batch: rows in a step, over all devices.
        learning_rate: in between warm-up and decay; at their outer ends it is a tenth of that.
        warm_up: share of the steps (the paper: .1 %).
        decay: share of the steps (the paper: 25 %).
        weight_decay: of AdamW, for all weights but norms and biases.
        clip: bound on the norm of the gradient.
        precision: accelerate's mixed_precision: "no", "bf16" or "fp16".
        base_width: the width that learning_rate and weight_decay are meant for, where `at_width`
            made the recipe; None: they are taken as they are.

    Raises:
        ValueError: a number is out of its range.
    """

    decoder: Decoder = field(default_factory=Decoder)
    steps: int = 400
    batch: int = 16
    learning_rate: float = 3e-3
    warm_up: float = 0.001
    decay: float = 0.25
    weight_decay: float = 0.1
    clip: float = 1.0
    precision: str = "no"
    base_width: int | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0 or not self.clip > 0:
            raise ValueError(f"steps, batch, learning_rate and clip are positive; got {self}")
        if min(self.warm_up, self.decay) < 0 or self.warm_up + self.decay > 1:
            raise ValueError(
                f"warm_up ({self.warm_up}) and decay ({self.decay}) are shares of the steps and "
                "together at most 1"
            )
        if self.base_width is not None and self.base_width < 1:
            raise ValueError(f"base_width is 1 or more, or None; got {self.base_width}")

    def at_width(self, width: int) -> Recipe:
        """This recipe for another width, so that the best rate found at this one holds there.

        The rule of Robust Layerwise Scaling (arXiv 2510.15262) for AdamW, with m the width over the
        base: matrices are trained at learning_rate / m and weight_decay sqrt(m), which keeps
        sqrt(rate / decay) width^.75, the scale of their singular values; embeddings, and vectors
        such as norms, at learning_rate, undecayed.

        Args:
            width: of the new decoder, which has heads of the same size.

        Returns:
            The recipe. Its learning_rate and weight_decay are still those of the base width.

        Raises:
            ValueError: there are no whole heads of that size in the width.
        """
        old = self.decoder
        sizes = [width * n for n in (old.heads, old.kv_heads or old.heads)]
        if any(size % old.width for size in sizes):
            raise ValueError(
                f"a width of {width} has no whole number of heads: at {old.width} there are "
                f"{old.heads}, {old.kv_heads or old.heads} of them of keys and values"
            )
        heads, kv_heads = (size // old.width for size in sizes)
        decoder = dataclasses.replace(
            old, width=width, heads=heads, kv_heads=None if old.kv_heads is None else kv_heads
        )
        return dataclasses.replace(self, decoder=decoder, base_width=self.base_width or old.width)

    def groups(self, hf: torch.nn.Module) -> list[dict[str, Any]]:
        """The parameters of a decoder in groups for AdamW, those at learning_rate last.

        Args:
            hf: the decoder.

        Returns:
            Dicts with params, lr and weight_decay: matrices and vectors; with a base width
            matrices, embeddings and vectors.
        """
        named = dict(hf.named_parameters())
        vectors = [p for p in named.values() if p.dim() <= 1]
        matrices = {name: p for name, p in named.items() if p.dim() > 1}
        rest = {"params": vectors, "lr": self.learning_rate, "weight_decay": 0.0}
        if self.base_width is None:  # norms and biases are not decayed, as usual
            return [
                {"params": list(matrices.values()), "lr": self.learning_rate,
                 "weight_decay": self.weight_decay}, rest,
            ]  # fmt: skip
        m = self.decoder.width / self.base_width
        embeddings = [matrices.pop(name) for name in list(matrices) if "embed_tokens" in name]
        return [
            {"params": list(matrices.values()), "lr": self.learning_rate / m,
             "weight_decay": self.weight_decay * math.sqrt(m)},
            {"params": embeddings, "lr": self.learning_rate, "weight_decay": 0.0}, rest,
        ]  # fmt: skip

    @property
    def tokens_a_step(self) -> int:
        """Tokens that one step reads."""
        return self.batch * self.decoder.context
