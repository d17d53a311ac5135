"""Both losses of many documents: every contestant in turn, round after round, and how exact it is.

One process a contestant stays alive with its model loaded. In each round all score the same
documents once, in an order that begins at another contestant each time, and sgemm is measured in
the same round. What an idle process uses of the processor is watched, since it would slow others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from benchmarks import documents, flops
from benchmarks.figures import ratios, significant, spread, table
from benchmarks.processes import Worker, WorkerDied, busy_seconds, fresh, rotated, workers
from benchmarks.progress import Progress
from benchmarks.settings import HEADS, NAMES, Settings

NAME = "scoring"
TITLE = "Two losses of each document"
ORACLE = 12  # documents that the oracle scores too

Losses = list[list[float]]


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    from transformers import AutoTokenizer

    wanted = documents.lengths(settings.documents, longest=settings.longest)
    texts = documents.corpus(AutoTokenizer.from_pretrained(settings.model), wanted)
    shape = flops.Shape.of(json.loads((settings.model / "config.json").read_text("utf-8")))
    tokens = sum(wanted)
    data: dict[str, Any] = {
        "documents": len(texts),
        "tokens": tokens,
        "longest": max(wanted),
        "median": median(wanted),
        "digest": documents.digest(texts),
        "flops": _flops(shape, wanted),
        "rounds": [],
        "errors": {},
        "unsteady": {},
        "idle": 0.0,
        "others": [],
        "absent": {},
    }
    known = documents.spread(texts, 3 if settings.quick else ORACLE)
    where = [texts.index(text) for text in known]
    print(f"  {NAME}: the oracle scores {len(known)} of {len(texts)} documents", flush=True)
    (answer,) = fresh("oracle", settings.spec(), {"documents": known, "heads": HEADS})
    truth: Losses = answer["losses"]

    first: dict[str, Losses] = {}
    order = [*settings.contestants, "sgemm"]
    with workers(order, settings.spec(), data["absent"]) as running:
        for name, worker in running.items():
            _warm(name, worker, documents.spread(texts, 6)[:3])
        work = {name: data["flops"].get(name, 1e11) for name in running}
        progress = Progress(NAME, settings.rounds * sum(work.values()))
        for number in range(settings.rounds):
            measured: dict[str, Any] = {}
            data["rounds"].append(measured)
            for name in rotated(list(running), number):
                idle = {
                    other: process.cpu_seconds()
                    for other, process in running.items()
                    if other != name
                }
                busy = busy_seconds()
                try:
                    answer = _turn(name, running[name], texts)
                except WorkerDied as error:
                    data["absent"][name] = str(error)
                    running.pop(name).end()
                    continue
                used = sum(running[other].cpu_seconds() - spent for other, spent in idle.items())
                data["idle"] = max(data["idle"], used / answer["seconds"])
                foreign = busy_seconds() - busy - answer["cpu"]
                data["others"].append(max(foreign, 0.0) / answer["seconds"])
                measured[name] = answer.get("gflops") or answer["seconds"]
                if name != "sgemm":
                    found = answer["losses"]
                    start = first.setdefault(name, found)
                    data["unsteady"][name] = max(
                        data["unsteady"].get(name, 0.0), _errors(found, start)["loss"]
                    )
                    data["errors"].setdefault(name, _errors([found[i] for i in where], truth))
                what = f"round {number + 1} of {settings.rounds}, {NAMES.get(name, name)}"
                progress.step(f"{what} {answer['seconds']:.1f} s", work[name])
            save(data)


def _flops(shape: flops.Shape, lengths: Sequence[int]) -> dict[str, int]:
    square = flops.naive(shape, lengths, whole_square=True)
    lower = flops.naive(shape, lengths, whole_square=False)
    return {
        "workbench": flops.needed(shape, lengths, HEADS),
        "naive-eager": square,
        "naive-sdpa": lower,
        "transformer-lens": square,
        "nnsight": lower,
    }


def _warm(name: str, worker: Worker, texts: list[list[int]]) -> None:
    if name == "sgemm":
        worker.ask(repeats=2)
    else:
        worker.ask(documents=texts, heads=HEADS)


def _turn(name: str, worker: Worker, texts: list[list[int]]) -> dict[str, Any]:
    return worker.ask() if name == "sgemm" else worker.ask(documents=texts, heads=HEADS)


def _errors(found: Losses, truth: Losses) -> dict[str, float]:
    """Largest difference of a loss (nats) and of a score (relative) over the documents."""
    loss, score = 0.0, 0.0
    for mine, true in zip(found, truth, strict=True):
        loss = max(loss, *(abs(a - b) for a, b in zip(mine, true, strict=True)))
        expected = (true[1] - true[0]) / true[0]
        score = max(score, abs((mine[1] - mine[0]) / mine[0] - expected) / abs(expected))
    return {"loss": loss, "score": score}


def render(data: dict[str, Any]) -> str:
    rounds = [row for row in data["rounds"] if "sgemm" in row]
    if not rounds:
        return "Stopped before a round was complete."
    rates = [max(timed["sgemm"].values()) for timed in rounds]
    others = data["others"]
    names = [name for name in NAMES if any(name in timed for timed in rounds)]
    seconds = {name: [timed[name] for timed in rounds if name in timed] for name in names}
    rows = []
    for name in names:
        both = [timed for timed in rounds if name in timed]
        mine = [timed[name] for timed in both]
        paired = [timed for timed in both if "workbench" in timed]
        times = ratios([timed[name] for timed in paired], [timed["workbench"] for timed in paired])
        work = data["flops"][name]
        shares = [work / timed[name] / 1e9 / max(timed["sgemm"].values()) for timed in both]
        rows.append(
            [
                NAMES[name],
                spread(mine),
                significant(data["tokens"] / median(mine)),
                spread(times) if name != "workbench" else "1",
                significant(work / 1e12),
                spread([100 * share for share in shares], 2),
                f"{data['errors'][name]['loss']:.1e}",
                f"{data['errors'][name]['score']:.1e}",
            ]
        )
    head = [
        "path", "seconds", "tokens/s", "times the workbench's", "TFLOP", "% of sgemm",
        "loss error (nats)", "score error (relative)",
    ]  # fmt: skip
    shapes = {name: [timed["sgemm"][name] for timed in rounds] for name in rounds[0]["sgemm"]}
    parts = [
        f"{data['documents']} documents of 64 to {data['longest']:,} tokens (median "
        f"{data['median']:.0f}, {data['tokens']:,} in all, digest {data['digest']}), "
        f"{len(HEADS)} heads masked; {len(rounds)} rounds, the contestants in turn within each. "
        "Median and range over the rounds; ratios are those of the same round.",
        table(head, rows),
        "Naive: two separate passes, a document at a time, all logits. TFLOP: matrix products that "
        "the path needs (shared layers once for the workbench; eager kernels compute future keys "
        f"too). % of sgemm: against the best rate of the same round, {spread(rates)} GFLOP/s; by "
        "shape: " + "; ".join(f"{name} {spread(each)}" for name, each in shapes.items()) + ". "
        "Errors: largest over the documents that the oracle of the tests scored, shortest and "
        "longest included.",
        f"Between rounds no loss changed by more than {max(data['unsteady'].values()):.1e} nats. "
        f"All idle processes together used at most {100 * data['idle']:.1f} % of one core; "
        f"whatever else ran on the machine used {significant(100 * median(others))} % of one core "
        f"(median of the turns; at most {significant(100 * max(others))} %).",
    ]
    if len(seconds) > 1:
        parts.insert(2, _matrix(rounds, names))
    for name, reason in data["absent"].items():
        parts.append(f"{NAMES.get(name, name)} is missing: {reason}")
    return "\n\n".join(parts)


def _matrix(rounds: list[dict[str, Any]], names: list[str]) -> str:
    """Each path's time over each other's, in the same round: the median."""
    rows = []
    for name in names:
        line = [NAMES[name]]
        for other in names:
            both = [timed for timed in rounds if name in timed and other in timed]
            found = ratios([timed[name] for timed in both], [timed[other] for timed in both])
            line.append("1" if name == other else f"{median(found):.2f}" if found else "-")
        rows.append(line)
    return table(["time of the row over that of the column", *(NAMES[n] for n in names)], rows)
