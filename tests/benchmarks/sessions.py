"""What a session of toggles and a map of all heads cost against plain passes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks import documents
from benchmarks.figures import ratios, significant, spread, table
from benchmarks.processes import WorkerDied, fresh
from benchmarks.progress import Progress
from benchmarks.settings import Settings

NAME = "sessions"
TITLE = "Toggles, and maps of all heads"
LAYERS, ROUNDS = [0, 5, 15, 20, 25, 29], 9


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    from transformers import AutoTokenizer

    text = documents.long_document(AutoTokenizer.from_pretrained(settings.model), 128)
    rounds, every = (2, 27) if settings.quick else (ROUNDS, 9)
    asked: dict[str, dict[str, Any]] = {
        "toggles": {"document": text, "layers": LAYERS, "rounds": rounds},
        "maps": {"document": text[: 24 if settings.quick else 128], "every": every},
    }
    data: dict[str, Any] = {"absent": {}}
    progress = Progress(NAME, len(asked))
    for name, request in asked.items():
        try:
            (data[name],) = fresh(name, settings.spec(), request)
        except WorkerDied as error:
            data["absent"][name] = str(error)
        progress.step(name, 1)
        save(data)


def render(data: dict[str, Any]) -> str:
    parts = []
    if "toggles" in data:
        found = data["toggles"]
        rows = [
            [
                layer,
                spread([1000 * seconds for seconds in each["resumed"]]),
                spread([1000 * seconds for seconds in each["whole"]]),
                spread(ratios(each["whole"], each["resumed"])),
            ]
            for layer, each in found["layers"].items()
        ]
        head = ["layer", "resumed, ms", "whole pass, ms", "times as fast"]
        parts += [
            f"One head toggled on a text of {found['tokens']} tokens, losses of all tokens: from "
            "the stored residual stream, and by a plain masked pass over the same text, in turn. "
            f"The streams took {found['cache'] / 2**20:.0f} MiB; largest difference of a loss "
            f"{found['difference']:.1e} nats.",
            table(head, rows),
        ]
    if "maps" in data:
        found = data["maps"]
        plain = median(found["plain"])
        parts.append(
            f"Map of all {found['heads']} heads, {found['tokens']} tokens: exact "
            f"{significant(found['exact'])} s; one plain pass a head {significant(plain)} s "
            f"(from every {found['heads'] // found['tried']}th head, before and after: "
            f"{spread(found['plain'])}), {significant(plain / found['exact'])} times as long; "
            f"gradient estimate {significant(found['gradient'])} s, "
            f"{significant(found['exact'] / found['gradient'])} times as fast as the exact map, "
            f"rank correlation with it {found['rank_correlation']:.2f}. Largest difference of an "
            f"exact effect from the plain one {found['difference']:.1e} nats."
        )
    parts += [f"{name} is missing: {why}" for name, why in data["absent"].items()]
    return "\n\n".join(parts)
