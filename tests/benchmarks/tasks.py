"""Measurements that compare two ways inside one process: sessions of toggles, maps.

Each task is a contestant of its own (see `contestants.load`) that is asked once and takes turns
between the ways by itself, since they share a model and its caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import workbench as wb

Documents = list[list[int]]
Heads = list[list[int]]


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def toggles(model: wb.Model) -> Callable[..., dict[str, Any]]:
    """One head toggled in a layer: from the stored stream, and by a whole pass."""
    import numpy as np

    import workbench as wb
    from workbench.masking.reference import plain_losses

    def perform(document: list[int], layers: list[int], rounds: int) -> dict[str, Any]:
        found: dict[str, Any] = {str(layer): {"resumed": [], "whole": []} for layer in layers}
        worst = 0.0
        cache = wb.ResidualCache(model)
        cache.losses(document)
        for number in range(rounds):
            for layer in layers:
                one = wb.HeadSet.of([(layer, number % model.num_heads)], model)
                kept: list[Any] = []
                times = {
                    "resumed": lambda one=one, kept=kept: kept.append(cache.losses(document, one)),
                    "whole": lambda one=one, kept=kept: kept.append(
                        plain_losses(model, document, one)
                    ),
                }
                for way in list(times)[:: 1 if number % 2 else -1]:
                    found[str(layer)][way].append(seconds(times[way]))
                worst = max(worst, float(np.abs(kept[0] - kept[1]).max()))
        return {"layers": found, "difference": worst, "cache": cache.used, "tokens": len(document)}

    return perform


def maps(model: wb.Model) -> Callable[..., dict[str, Any]]:
    """The map of all heads on a text: exact, estimated, and by a whole pass a head."""
    from scipy.stats import spearmanr

    import workbench as wb
    from workbench.masking.reference import plain_losses

    def perform(document: list[int], every: int) -> dict[str, Any]:
        text = model.tokenizer.decode(document)
        tokens = len(model.encode(text))
        wb.head_effects(model, text, method="gradient")  # warm
        pairs = [(a, b) for a in range(model.num_layers) for b in range(model.num_heads)][::every]
        singles = [wb.HeadSet.of([pair], model) for pair in pairs]
        kept: dict[str, Any] = {}
        ids = model.encode(text)

        def exact() -> None:
            kept["exact"] = wb.head_effects(model, text)

        def estimate() -> None:
            kept["gradient"] = wb.head_effects(model, text, method="gradient")

        def plainly() -> None:
            kept["plain"] = [plain_losses(model, ids, single) for single in singles]

        first = seconds(plainly)
        measured = {"exact": seconds(exact), "gradient": seconds(estimate)}
        again = seconds(plainly)
        effects = kept["exact"]
        rises = [float((losses - effects.base).mean()) for losses in kept["plain"]]
        worst = float(max(abs(effects.effect[p] - r) for p, r in zip(pairs, rises, strict=True)))
        rank = spearmanr(effects.effect.ravel(), kept["gradient"].effect.ravel()).statistic
        return {
            **measured,
            "tokens": tokens,
            "heads": model.num_layers * model.num_heads,
            "plain": [
                seconds * model.num_layers * model.num_heads / len(pairs)
                for seconds in (first, again)
            ],
            "tried": len(pairs),
            "difference": worst,
            "rank_correlation": float(rank),
        }

    return perform
