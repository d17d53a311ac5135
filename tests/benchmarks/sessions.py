"""What a session of toggles, a map of all heads and the cascade cost against plain passes."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks import documents
from benchmarks.figures import ratios, significant, spread, table
from benchmarks.processes import WorkerDied, fresh
from benchmarks.progress import Progress
from benchmarks.settings import HEADS, Settings

NAME = "sessions"
TITLE = "Toggles, maps of all heads, and the cascade"
LAYERS, ROUNDS = [0, 5, 15, 20, 25, 29], 9


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    from transformers import AutoTokenizer

    text = documents.long_document(AutoTokenizer.from_pretrained(settings.model), 128)
    rounds, every, corpus = (2, 27, 40) if settings.quick else (ROUNDS, 9, 480)
    reading = 96 if settings.quick else 512
    asked: dict[str, dict[str, Any]] = {
        "toggles": {"document": text, "layers": LAYERS, "rounds": rounds},
        "maps": {"document": text[: 24 if settings.quick else 128], "every": every},
        "cascade": {"documents": corpus, "tokens": reading, "every": 4, "heads": HEADS},
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
    if "cascade" in data:
        parts.append(_cascade(data["cascade"]))
    parts += [f"{name} is missing: {why}" for name, why in data["absent"].items()]
    return "\n\n".join(parts)


def _cascade(found: dict[str, Any]) -> str:
    times = {name: median(values) for name, values in found["times"].items()}
    naive = times["naive"] * found["naive_share"]
    rows = [
        ["naive eager", significant(naive), "1", "-"],
        ["exact (`score_documents`)", significant(times["exact"]),
         f"{naive / times['exact']:.2f}", f"all {found['documents']}"],
        ["cascade (`select_cascade`)", significant(times["cascade"]),
         f"{naive / times['cascade']:.2f}", f"{found['rescored']} of {found['documents']}"],
    ]  # fmt: skip
    how = (
        f"Scores in bfloat16 against float32, documents not scored exactly: rank correlation in "
        f"each domain {', '.join(f'{rank:.4f}' for rank in found['rank_correlation'])}; log(1 + "
        f"score) moved by at most {found['moved']:.4f}."
        if found["reason"] is None
        else f"Everything was scored exactly: {found['reason']}."
    )
    return "\n\n".join(
        [
            f"Top 20 % of each domain of {found['documents']} documents ({found['tokens']:,} "
            f"tokens), confidence 0.99. Naive was timed on every fourth document, before and "
            f"after, and scaled by tokens.",
            table(["way", "seconds", "times as fast as naive", "scored exactly"], rows),
            f"The cascade chose {found['same']} of the {found['chosen']} documents that exact "
            f"scores choose; it stated a risk of at most {found['risk']:.2g} that the sets differ "
            f"at all. {how}",
        ]
    )
