"""Scoring all heads on one lookup: the rows that matter, against whole attention matrices.

The plain way asks transformers for `output_attentions`: layers x heads x tokens x tokens numbers in
memory at once. Each number comes from a fresh process.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psutil

from benchmarks.figures import ratios, spread, table
from benchmarks.processes import WorkerDied, fresh, rotated
from benchmarks.progress import Progress
from benchmarks.settings import Settings

NAME = "detection"
TITLE = "Detection: the rows that matter against whole attention matrices"
WAYS = {"detect-rows": "workbench (rows)", "detect-matrices": "output_attentions=True"}
LENGTHS, ROUNDS = (2000, 4096), 3
WARM = 600  # tokens of the lookup that every process does first, unmeasured


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    lengths, rounds = ((800,), 1) if settings.quick else (LENGTHS, ROUNDS)
    data: dict[str, Any] = {"points": {}, "absent": {}, "difference": 0.0}
    progress = Progress(NAME, sum(lengths) * rounds * len(WAYS))
    for tokens in lengths:
        found: dict[str, Any] = {name: {"seconds": [], "before": [], "peak": []} for name in WAYS}
        data["points"][str(tokens)] = found
        for number in range(rounds):
            scores = {}
            for name in rotated(list(WAYS), number):
                reason = _too_large(settings, tokens) if name == "detect-matrices" else None
                try:
                    if reason:
                        raise WorkerDied(reason)
                    spec = settings.spec(probe_tokens=[WARM, tokens])
                    _, answer = fresh(name, spec, {"tokens": WARM}, {"tokens": tokens})
                except WorkerDied as error:
                    data["absent"][f"{WAYS[name]} at {tokens:,} tokens"] = str(error)
                    continue
                scores[name] = answer.pop("scores")
                for key, values in found[name].items():
                    values.append(answer[key])
                progress.step(f"{tokens:,} tokens, {WAYS[name]}", tokens)
            if len(scores) == len(WAYS):
                pairs = zip(*scores.values(), strict=True)
                worst = max(abs(first - other) for first, other in pairs)
                data["difference"] = max(data["difference"], worst)
            save(data)


def _too_large(settings: Settings, tokens: int) -> str | None:
    """Why the matrices must not be asked for on this machine; None if they fit."""
    config = json.loads((settings.model / "config.json").read_text("utf-8"))
    held = config["num_hidden_layers"] * config["num_attention_heads"] * tokens**2 * 4
    needs, free = held * 1.1 + 2**31, psutil.virtual_memory().available
    if needs <= free:
        return None
    return f"it needs about {needs / 2**30:.0f} GiB and {free / 2**30:.0f} GiB were free"


def render(data: dict[str, Any]) -> str:
    rows = []
    for tokens, found in data["points"].items():
        for name, values in found.items():
            if values["seconds"]:
                grown = [p - b for p, b in zip(values["peak"], values["before"], strict=True)]
                against = ratios(values["seconds"], found["detect-rows"]["seconds"])
                rows.append(
                    [
                        f"{int(tokens):,}",
                        WAYS[name],
                        spread(values["seconds"]),
                        spread(against) if name != "detect-rows" else "1",
                        spread(values["peak"], 4),
                        spread(grown),
                    ]
                )
    head = ["tokens", "way", "seconds", "times the rows'", "peak MiB", "above the model"]
    parts = [
        "Copying scores of all heads on one lookup. Every number comes from a process of its own "
        "that has done one shorter lookup before; the ways take turns.",
        table(head, rows),
        f"The largest difference between their scores is {data['difference']:.1e}.",
    ]
    parts += [f"{name} was not measured: {why}" for name, why in data["absent"].items()]
    return "\n\n".join(parts)
