"""How the cost grows with length, number of masked heads, size of the model, and row length.

The workbench against naive SDPA, in turn. A point is measured until it has had its rounds or its
share of time, so the largest have fewer rounds; the table says how many.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks import documents
from benchmarks.figures import ratios, significant, spread, table
from benchmarks.processes import Worker, WorkerDied, rotated, workers
from benchmarks.progress import Progress
from benchmarks.settings import HEADS, NAMES, Settings

NAME = "growth"
TITLE = "How the cost grows"
PAIR = ("workbench", "naive-sdpa")
ROUNDS, SECONDS = 2, 40  # a point gets no new round after so many seconds

# Random weights: time does not depend on their values. SmolLM2's shapes, and one smaller.
SIZES: dict[str, dict[str, int]] = {
    "31 M": {"num_hidden_layers": 12, "hidden_size": 320, "intermediate_size": 864,
             "num_attention_heads": 5, "num_key_value_heads": 5, "head_dim": 64},
    "135 M": {"num_hidden_layers": 30, "hidden_size": 576, "intermediate_size": 1536,
              "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64},
    "362 M": {"num_hidden_layers": 32, "hidden_size": 960, "intermediate_size": 2560,
              "num_attention_heads": 15, "num_key_value_heads": 5, "head_dim": 64},
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One line of one table: what is scored, and by whom."""

    table: str
    label: str
    documents: list[list[int]]
    heads: list[tuple[int, int]] = field(default_factory=lambda: list(HEADS))
    contestants: tuple[str, ...] = PAIR
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return sum(map(len, self.documents))


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    reach = 1024 if settings.quick else 8192
    long = documents.long_document(tokenizer, reach)
    top, many = (128, 4) if settings.quick else (512, 18)
    some = documents.corpus(tokenizer, documents.lengths(5, longest=top))
    # More than the longest row holds.
    more = documents.corpus(tokenizer, documents.lengths(many, longest=2 * top))
    points = [*_lengths(long), *_heads(some), *_rows(more)]
    data: dict[str, Any] = {
        "points": [],
        "absent": {},
        "corpus": f"5 documents of 64 to {top:,} tokens, {sum(map(len, some)):,} in all",
    }
    rounds = 1 if settings.quick else ROUNDS
    sizes = {name: shape for name, shape in SIZES.items() if name == "31 M" or not settings.quick}
    work = sum(point.tokens for point in points) + sum(map(len, some)) * len(sizes)
    progress = Progress(NAME, work)

    def measure(point: Point, running: dict[str, Worker]) -> None:
        seconds = _measure(point, running, rounds, data["absent"])
        data["points"].append(
            {"table": point.table, "label": point.label, "tokens": point.tokens, "seconds": seconds}
        )
        progress.step(f"{point.table} {point.label}", point.tokens)
        save(data)

    with workers(PAIR, settings.spec(), data["absent"]) as running:
        for point in points:
            measure(point, running)
    for name, shape in sizes.items():
        heads = upper_heads(shape["num_hidden_layers"], shape["num_attention_heads"])
        with workers(PAIR, settings.spec(config=shape), data["absent"]) as running:
            measure(Point("size", name, some, heads), running)


def _measure(
    point: Point, running: dict[str, Worker], rounds: int, absent: dict[str, str]
) -> dict[str, list[float]]:
    names = [name for name in point.contestants if name in running]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    request = {"documents": point.documents, "heads": point.heads, **point.options}
    start = time.monotonic()
    for number in range(rounds):
        for name in rotated(names, number):
            if name not in running:
                continue
            try:
                seconds[name].append(running[name].ask(**request)["seconds"])
            except WorkerDied as error:
                absent[f"{NAMES[name]}, {point.table} {point.label} and after"] = str(error)
                running.pop(name).end()
        if time.monotonic() - start > SECONDS:
            break
    return seconds


def _lengths(long: list[int]) -> Iterator[Point]:
    for length in (256, 512, 1024, 2048, 4096, 8192):
        if length <= len(long):
            yield Point("length", f"{length:,}", [long[:length]])


def _heads(some: list[list[int]]) -> Iterator[Point]:
    """The detected ones in their order, then others drawn from the whole default model."""
    rest = [(a, b) for a in range(30) for b in range(9) if (a, b) not in HEADS]
    random.Random(0).shuffle(rest)
    ordered = [*HEADS, *rest]
    for count in (1, 14, 54, 135, 270):
        heads = ordered[:count]
        yield Point("heads", f"{count} (from layer {min(heads)[0]})", some, heads)


def _rows(some: list[list[int]]) -> Iterator[Point]:
    for tokens in (256, 512, 1024, 2048, 4096):
        options = {"row_tokens": tokens}
        yield Point("row", f"{tokens:,}", some, contestants=("workbench",), options=options)


def upper_heads(layers: int, heads: int) -> list[tuple[int, int]]:
    """5 % of the heads, spread over the layers where the default model has its own."""
    count = math.ceil(layers * heads / 20)
    first, last = round(layers * 17 / 30), round(layers * 24 / 30)
    places = [(layer, head) for head in range(heads) for layer in range(first, last + 1)]
    return sorted(places[:count])


TABLES = {
    "length": ("tokens of the one document", f"One document, {len(HEADS)} heads masked."),
    "heads": (
        "masked heads",
        "The detected heads first, then heads drawn at random, which soon include one in the "
        "lowest layers: then no layer is shared any more.",
    ),
    "size": (
        "parameters",
        "Random weights, 5 % of the heads masked, beginning at the same relative depth.",
    ),
    "row": (
        "tokens in a row",
        "The batch of the workbench: how long the rows are that documents are packed into (more "
        "documents than above, up to twice as long). The naive ways take one document at a time.",
    ),
}


def render(data: dict[str, Any]) -> str:
    parts = [f"Where nothing else is said: {data['corpus']}. Median and range of the rounds."]
    for name, (column, note) in TABLES.items():
        points = [row for row in data["points"] if row["table"] == name]
        if not points:
            continue
        who = [name for name in PAIR if name in points[0]["seconds"]]
        rows = []
        for point in points:
            seconds = point["seconds"]
            line = [point["label"]]
            for path in who:
                found = seconds.get(path, [])
                rate = significant(point["tokens"] / median(found)) if found else "-"
                line += [spread(found), rate]
            if len(who) > 1:
                line.append(spread(ratios(seconds.get(who[1], []), seconds.get(who[0], []))))
            rows.append([*line, str(max(map(len, seconds.values()), default=0))])
        head = [column]
        for path in who:
            head += [f"{NAMES[path]}, s", "tokens/s"]
        head += ["times the workbench's"] if len(who) > 1 else []
        parts += [note, table([*head, "rounds"], rows)]
    for name, why in data["absent"].items():
        parts.append(f"{NAMES.get(name, name)} is missing: {why}")
    return "\n\n".join(parts)
