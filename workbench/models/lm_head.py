"""From final hidden states to logits: the LM head of a model, run on a part at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from workbench.models.install import sample_ids
from workbench.models.packing.transfer import runs_ahead

POSITIONS, TILE = 2048, 4096  # logits in memory at once: 32 MiB in float32
DEVICE_POSITIONS, DEVICE_TILE = 4096, 16384  # on CUDA, fewer and larger launches: 256 MiB


@dataclass(frozen=True, eq=False)
class LMHead:
    """From final hidden states to logits, as the model itself does it, on any part of either.

    Running it on a few positions, or on a tile of the vocabulary, means that all logits of a text
    are never in memory.

    Attributes:
        projection: the output embedding.
        scale: what the logits are multiplied by (Cohere, Granite).
        cap: the soft cap of the logits (Gemma); None for none.
    """

    projection: torch.nn.Linear
    scale: float = 1.0
    cap: float | None = None

    @property
    def size(self) -> int:
        """How many tokens have a logit."""
        return self.projection.out_features

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states.

        Args:
            hidden: final hidden states (..., width).

        Returns:
            Logits (..., vocabulary).
        """
        return self._finished(self.projection(hidden))

    def cross_entropy(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Nats that hidden states need for their targets.

        The vocabulary is worked through in tiles: the logits of all states are never in memory.

        Args:
            hidden: final hidden states (N, width).
            targets: token ids (N,).

        Returns:
            Nats (N,) in float32.
        """
        if runs_ahead(hidden.device):
            return self.streamed_cross_entropy(hidden, targets)
        parts = []
        for states, wanted in zip(hidden.split(POSITIONS), targets.split(POSITIONS), strict=True):
            loss = self._tiled(states, wanted)
            if loss is None:
                loss = self._tiled(states, wanted, shifted=True)
            if loss is None:
                pieces = [
                    torch.nn.functional.cross_entropy(self(part).float(), w, reduction="none")
                    for part, w in zip(states.split(256), wanted.split(256), strict=True)
                ]
                loss = torch.cat(pieces)
            parts.append(loss)
        return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)

    def streamed_cross_entropy(
        self,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        positions: int = DEVICE_POSITIONS,
        tile: int = DEVICE_TILE,
    ) -> torch.Tensor:
        """`cross_entropy` that never looks at a number, so that the device need not be waited for.

        The largest logit so far goes along with the sum, which is brought down whenever a tile has
        a larger one: nothing overflows and nothing is lost, for one more pass over each tile.

        Args:
            hidden: final hidden states (N, width).
            targets: token ids (N,).
            positions: states that are worked through together.
            tile: tokens of the vocabulary that are.

        Returns:
            Nats (N,) in float32.
        """
        rows, tile = min(positions, len(hidden)), min(tile, self.size)
        buffer = hidden.new_empty(rows * tile)
        floats = (
            buffer
            if buffer.dtype == torch.float32
            else torch.empty_like(buffer, dtype=torch.float32)
        )
        parts = []
        for states, wanted in zip(hidden.split(positions), targets.split(positions), strict=True):
            own = self.of(states, wanted).float()
            largest, total = own, torch.zeros_like(own)
            for start in range(0, self.size, tile):
                logits = self.tile(states, start, start + tile, buffer)
                if logits.dtype != torch.float32:
                    logits = floats[: logits.numel()].view_as(logits).copy_(logits)
                higher = torch.maximum(largest, logits.amax(dim=1))
                total *= (largest - higher).exp_()
                total += logits.sub_(higher[:, None]).exp_().sum(dim=1)
                largest = higher
            parts.append(total.log_() + largest - own)
        return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)

    def _tiled(
        self, states: torch.Tensor, wanted: torch.Tensor, shifted: bool = False
    ) -> torch.Tensor | None:
        """Log of the summed exponentials, tile by tile; None where float32 does not hold the sum.

        Most models' logits are small enough for plain exponentials, and finding the maximum first
        would take a second pass over the tiles. Where they are not (GPT-2's lie about -100), they
        are shifted by the target's logit: the sum is then at least 1, and overflows only for a loss
        of 88 nats. Logits are in the model's dtype, as in the model itself, sums in float32.
        """
        own = self.of(states, wanted).float()
        shift = own if shifted else torch.zeros_like(own)
        total = torch.zeros(len(states), device=states.device)
        buffer = torch.empty(len(states) * TILE, device=states.device, dtype=states.dtype)
        # One more buffer instead of `.float()`, which takes new memory for every tile.
        floats = (
            buffer
            if buffer.dtype == torch.float32
            else torch.empty_like(buffer, dtype=torch.float32)
        )
        for start in range(0, self.size, TILE):
            logits = self.tile(states, start, start + TILE, buffer)
            if logits.dtype != torch.float32:
                logits = floats[: logits.numel()].view_as(logits).copy_(logits)
            if shifted:
                logits -= shift[:, None]
            total += logits.exp_().sum(dim=1)
        loss = total.log() + shift - own
        # Far below 1e-30 the exponentials of all but the largest logits would be lost.
        return loss if bool((torch.isfinite(loss) & (total > 1e-30)).all()) else None

    def tile(
        self, hidden: torch.Tensor, start: int, stop: int, buffer: torch.Tensor
    ) -> torch.Tensor:
        """Logits of hidden states for some tokens of the vocabulary, computed in `buffer`.

        Args:
            hidden: final hidden states (N, width).
            start: the first token.
            stop: the token behind the last one; may lie behind the vocabulary's end.
            buffer: memory for at least N times (stop - start) values of the states' dtype.

        Returns:
            Logits (N, tile).
        """
        weight = self.projection.weight[start:stop]
        out = buffer[: len(hidden) * len(weight)].view(len(hidden), len(weight))
        torch.mm(hidden, weight.T, out=out)
        if self.projection.bias is not None:
            out += self.projection.bias[start:stop]
        return self._finished(out)

    def of(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The one logit that each hidden state gives its token.

        Args:
            hidden: final hidden states (N, width).
            tokens: token ids (N,).

        Returns:
            Logits (N,).
        """
        products = hidden.float() * self.projection.weight[tokens].float()
        logits = products.sum(dim=-1).to(hidden.dtype)
        if self.projection.bias is not None:
            logits += self.projection.bias[tokens]
        return self._finished(logits)

    def _finished(self, logits: torch.Tensor) -> torch.Tensor:
        if self.scale != 1.0:
            logits *= self.scale
        if self.cap is not None:
            logits = logits.div_(self.cap).tanh_()
            # tanh keeps its result for its gradient, so that must not change in place.
            logits = logits * self.cap if logits.requires_grad else logits.mul_(self.cap)
        return logits


def head_of(hf: PreTrainedModel, decoder: torch.nn.Module) -> LMHead | None:
    """The LM head of a model, if running it alone gives the model's own logits.

    Args:
        hf: the transformers model.
        decoder: the part of `hf` that turns ids into final hidden states.

    Returns:
        The head; None where its logits are not those of the model.
    """
    projection, config = hf.get_output_embeddings(), hf.config.get_text_config()
    if not isinstance(projection, torch.nn.Linear):
        return None
    scale = getattr(config, "logit_scale", None) or 1.0  # Cohere
    scale = scale / (getattr(config, "logits_scaling", None) or 1.0)  # Granite
    cap = getattr(config, "final_logit_softcapping", None)  # Gemma 2
    cap = cap or getattr(config, "logits_soft_cap", None)  # RecurrentGemma
    head = LMHead(projection, scale, cap)
    ids = sample_ids(hf)
    with torch.inference_mode():
        whole = hf(input_ids=ids, use_cache=False).logits
        try:
            ours = head(decoder(input_ids=ids, use_cache=False).last_hidden_state)
        except (AttributeError, RuntimeError, TypeError):
            return None
    same = ours.shape == whole.shape and torch.allclose(ours, whole, rtol=1e-5, atol=1e-5)
    return head if same else None
