"""What each single head is worth to a text, or to one token of it: the map of all heads.

The exact map masks every head alone. Each pass starts from the stored residual stream in front of
the head's layer and takes several heads at once, so all heads cost about half of as many whole
passes. The gradient map is a first-order estimate from one forward and one backward pass: a preview
to look at while the exact map is computed, never a substitute.

Heads that do the same work hide each other here: masking one alone costs nothing while the other
stays. What a set of heads is worth shows when the set is masked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch

from workbench.core.progress import preemptible, progress_bar
from workbench.masking.masks import replacements, require_fitting, require_unmasked
from workbench.masking.reference import plain_losses, require_max_tokens
from workbench.masking.references import kind_of
from workbench.masking.residual_cache import can_resume, run_from
from workbench.models.attached_hooks import attach_hooks
from workbench.models.attention_hook import AttentionCall, Mode, Override
from workbench.models.attention_override import override_output
from workbench.models.head_scores import HeadScores
from workbench.models.heads import HeadSet
from workbench.models.model import Model

TOKENS = 4096  # heads x tokens in one pass

Method = Literal["exact", "gradient"]


@dataclass(frozen=True, eq=False)
class HeadEffects:
    """How much the loss of a text rises when each head is masked alone.

    Attributes:
        effect: (layers, heads) in nats, NaN where a map was stopped before it came there: the mean
            over the predicted tokens, or the rise at `token` alone.
        base: the unmasked losses behind it in nats, one a predicted token.
        per_token: (layers, heads, predicted tokens) in nats for exact maps of a whole text, else
            None.
        token: the index of the token that the map is of; None for a whole text.
        mode: what a masked head did instead (see `masked`).
        method: "exact", or "gradient" for the estimate.
        headless: the layers that have no heads (NaN).
    """

    effect: np.ndarray
    base: np.ndarray
    per_token: np.ndarray | None
    token: int | None
    mode: Mode
    method: Method
    headless: tuple[int, ...] = ()

    @property
    def scores(self) -> HeadScores:
        """The map as scores of heads (the effect in nats): what `head_map` and `HeadSet.top` take.

        The frame has one row a head with layer, head and score; NaN where the map was stopped.
        """
        layers = [layer for layer in range(len(self.effect)) if layer not in self.headless]
        layer, head = np.indices(self.effect.shape)[:, layers]
        frame = pd.DataFrame(
            {"layer": layer.ravel(), "head": head.ravel(), "score": self.effect[layers].ravel()}
        )
        kind = "loss rise" if self.method == "exact" else "estimated loss rise (gradient)"
        where = "mean over the text" if self.token is None else f"token {self.token}"
        return HeadScores(frame, f"{kind} in nats, {where}", headless=self.headless)

    def table(self) -> pd.DataFrame:
        """The map as a frame, that of `scores`.

        Returns:
            One row a head: layer, head, score (the effect in nats).
        """
        return self.scores.frame


def head_effects(
    model: Model,
    text: str,
    *,
    token: int | None = None,
    mode: Mode = "uniform",
    method: Method = "exact",
    max_tokens: int | None = None,
    on_layer: Callable[[int, np.ndarray], object] | None = None,
) -> HeadEffects:
    """The loss rise of a text when each head of the model is masked alone.

    Args:
        model: the model, with no head masked.
        text: the text, no longer than the model's context.
        token: for the reverse question, "which heads does this token need?": the rise at that token
            of `model.encode(text)` alone; what comes after it is not read (default: all tokens).
        mode: what a masked head does instead (see `masked`).
        method: "exact" masks each head; "gradient" estimates all of them to first order.
        max_tokens: how many tokens of the text are read (default: all).
        on_layer: called as on_layer(layer, effects (heads,)) when a layer is done, from the last
            layer downwards: heads that retrieve sit high, and high layers are cheap. If it raises
            `StopIteration`, an exact map ends there and what is missing stays NaN.

    Returns:
        The map of all heads, in nats.

    Raises:
        ValueError: the text is too long or has no prediction, the token has none, or heads of the
            model are masked already.
    """
    require_fitting(model, None, mode)
    if method not in ("exact", "gradient"):
        raise ValueError(f"method must be 'exact' or 'gradient', got {method!r}")
    require_max_tokens(max_tokens)
    ids = [*model.bos_ids, *model.encode(text)[:max_tokens]]
    first = max(len(model.bos_ids), 1)  # the first token that is predicted
    if len(ids) <= first:
        raise ValueError("this text has no token that is predicted: give at least two tokens")
    if len(ids) > model.context:
        raise ValueError(
            f"this text has {len(ids)} tokens, the model reads {model.context}: pass max_tokens="
        )
    positions = list(range(first - 1, len(ids) - 1))
    if token is not None:
        at = token + len(model.bos_ids)
        if not first <= at < len(ids):
            raise ValueError(
                f"token must lie between {first - len(model.bos_ids)} and "
                f"{len(ids) - len(model.bos_ids) - 1}, the predicted tokens of this text; "
                f"got {token}"
            )
        ids, positions = ids[: at + 1], [at - 1]
    if model.head is None:
        raise ValueError(
            f"{model.source}: its vocabulary projection cannot be run alone, which a map needs"
        )
    require_unmasked(model)
    if method == "gradient":
        effect, base = _gradient(model, ids, positions, mode)
        if on_layer is not None:
            with suppress(StopIteration):
                for site in reversed(model.sites):
                    on_layer(site.layer, effect[site.layer])
        return HeadEffects(effect, base, None, token, mode, method, model.headless)
    # Each of its passes takes the lock for itself: another thread's toggle need not wait for all.
    rises, base = _exact(model, ids, positions, mode, on_layer)
    per_token = rises if token is None else None
    return HeadEffects(rises.mean(axis=-1), base, per_token, token, mode, method, model.headless)


# ---- exact -----------------------------------------------------------------------------------


def _exact(
    model: Model,
    ids: list[int],
    positions: list[int],
    mode: Mode,
    on_layer: Callable[[int, np.ndarray], object] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Loss rises (layers, heads, positions) and base losses (positions,)."""
    rises = np.full((model.num_layers, model.num_heads, len(positions)), np.nan, dtype=np.float32)
    means = replacements(model, mode, ids)
    resume = can_resume(model)
    final, entering = run_from(model, ids, keep=range(model.num_layers) if resume else ())
    base = _nats(model, final, ids, positions)[0]
    rows = max(1, TOKENS // len(ids)) if resume else 1
    with progress_bar("masking each head", "head", model.head_count) as done:
        for layer in reversed([site.layer for site in model.sites]):
            for start in range(0, model.num_heads, rows):
                heads = range(start, min(start + rows, model.num_heads))
                if resume:
                    overrides = [
                        Override(
                            (head,),
                            kind_of(mode),
                            None if means is None else means[layer][..., [head], :],
                            slice(row, row + 1),
                        )
                        for row, head in enumerate(heads)
                    ]
                    states = entering[layer].expand(len(heads), -1, -1)
                    final, _ = run_from(model, ids, (layer, states), {layer: overrides})
                    losses = _nats(model, final, ids, positions)
                else:
                    single = HeadSet.of([(layer, start)], model)
                    losses = plain_losses(model, ids, single, mode)[None, -len(positions) :]
                rises[layer, heads.start : heads.stop] = losses - base
                done(len(heads))
            entering.pop(layer, None)  # its heads are done
            if on_layer is not None:
                try:
                    on_layer(layer, rises[layer].mean(axis=-1))
                except StopIteration:
                    break
    return rises, base


def _nats(model: Model, final: torch.Tensor, ids: list[int], positions: list[int]) -> np.ndarray:
    """Losses (B, positions) of the tokens that follow `positions`."""
    assert model.head is not None
    with torch.inference_mode():
        states = final[:, positions]
        targets = torch.tensor([ids[i + 1] for i in positions], device=model.device)
        flat = model.head.cross_entropy(states.flatten(0, 1), targets.repeat(len(states)))
        return flat.view(len(states), -1).cpu().numpy()


# ---- gradient --------------------------------------------------------------------------------


@preemptible
def _gradient(
    model: Model, ids: list[int], positions: list[int], mode: Mode
) -> tuple[np.ndarray, np.ndarray]:
    """First-order loss rise (layers, heads), mean over positions, and base losses.

    Loss(masked) - loss(base) is about (masked output - output) . d loss / d output, summed over
    positions and dimensions of the head's output.
    """
    assert model.head is not None
    means = replacements(model, mode, ids)
    calls: dict[int, AttentionCall] = {}

    def look(seen: AttentionCall) -> None:
        if not seen.output.requires_grad:  # a model whose weights are frozen
            seen.output.requires_grad_()
        calls[seen.layer] = seen

    with model.lock, torch.inference_mode(False), torch.enable_grad():
        row = torch.tensor([ids], device=model.device)
        with attach_hooks(model.sites, observer=look):
            hidden = model.hidden(row)
        at = torch.tensor(positions, device=model.device)
        states = hidden[0, at].detach().requires_grad_()
        losses = []
        for part, targets in zip(states.split(256), row[0, at + 1].split(256), strict=True):
            logits = model.head(part).float()
            losses.append(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))
        loss = torch.cat(losses)
        (toward,) = torch.autograd.grad(loss.mean(), states)
        layers = [site.layer for site in model.sites]
        outputs = [calls[layer].output for layer in layers]
        gradients = torch.autograd.grad(hidden[0, at], outputs, toward)
    every = tuple(range(model.num_heads))
    effect = np.full((model.num_layers, model.num_heads), np.nan)
    with torch.no_grad():
        for layer, gradient in zip(layers, gradients, strict=True):
            seen = calls[layer]
            changed = seen.output.detach().clone()
            override = Override(every, kind_of(mode), None if means is None else means[layer])
            share = None if seen.share is None else seen.share.detach()
            override_output(override, changed, None, seen.value.detach(), seen.visible, share)
            change = (changed - seen.output.detach()).float() * gradient.float()
            effect[layer] = change.sum(dim=(0, 1, 3)).cpu().numpy()
    return effect, loss.detach().float().cpu().numpy()
