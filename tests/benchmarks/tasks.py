"""Measurements that compare two ways inside one process: sessions of toggles, maps, the cascade.

Each task is a contestant of its own (see `contestants.load`) that is asked once and takes turns
between the ways by itself, since they share a model and its caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

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


def cascade(model: wb.Model) -> Callable[..., dict[str, Any]]:
    """The selection by the cascade, by exact scores, and what the naive way takes for a part."""
    import numpy as np
    from scipy.stats import spearmanr

    import workbench as wb
    from workbench.scoring.influence import score_documents
    from workbench.selection.ranking import select

    def perform(
        documents: int, tokens: int, every: int, heads: Heads, seed: int = 0
    ) -> dict[str, Any]:
        some = wb.environment_corpus(max_documents=documents, seed=seed)
        masked = wb.HeadSet.of([(a, b) for a, b in heads], model)
        sizes = [min(len(model.encode(document.text)), tokens) for document in some]
        kept: dict[str, Any] = {}

        def naive() -> None:
            for document in some[::every]:
                ids = torch.tensor([model.encode(document.text)[:tokens]])
                for heads_or_none in (None, masked):
                    with wb.masked(model, heads_or_none), torch.inference_mode():
                        logits = model.hf(input_ids=ids, use_cache=False).logits
                        torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:])

        def narrowed() -> None:
            kept["cascade"] = wb.select_cascade(model, masked, some, max_tokens=tokens)

        def exact() -> None:
            import pandas as pd

            rows = score_documents(model, masked, some, max_tokens=tokens)
            kept["exact"] = pd.DataFrame(rows)

        wb.certify(model)
        score_documents(model, masked, some[:4], max_tokens=tokens)  # warm
        measured: dict[str, list[float]] = {"naive": [], "cascade": [], "exact": []}
        model.hf.set_attn_implementation("workbench_eager")
        measured["naive"].append(seconds(naive))
        model.hf.set_attn_implementation("workbench_sdpa")
        measured["cascade"].append(seconds(narrowed))
        measured["exact"].append(seconds(exact))
        model.hf.set_attn_implementation("workbench_eager")
        measured["naive"].append(seconds(naive))
        model.hf.set_attn_implementation("workbench_sdpa")

        found = kept["cascade"]
        table = found.selection.table.set_index("doc_id")
        truth = select(kept["exact"], 0.2)
        chosen = set(truth.chosen["doc_id"])
        quick = table[~table["exact"]]
        score = kept["exact"].set_index("doc_id")["score"]
        inside = [
            float(spearmanr(group["score"], score[group.index]).statistic)
            for _, group in quick.groupby("domain")
        ]
        share = sum(sizes) / sum(sizes[::every])
        return {
            "times": measured,
            "naive_share": share,
            "documents": len(some),
            "tokens": sum(sizes),
            "chosen": len(chosen),
            "same": len(chosen & set(found.selection.chosen["doc_id"])),
            "rescored": found.rescored,
            "risk": found.risk,
            "reason": found.reason,
            "parts": found.seconds,
            "rank_correlation": inside,
            "moved": float(np.abs(np.log1p(quick["score"]) - np.log1p(score[quick.index])).max())
            if len(quick)
            else 0.0,
        }

    return perform
