"""Peak memory: each contestant in a fresh process that does this one thing.

The peak is counted from when the model is loaded and has read 16 tokens; one column shows what
that took.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import documents
from benchmarks.environments import Unavailable
from benchmarks.figures import table
from benchmarks.processes import WorkerDied, fresh
from benchmarks.progress import Progress
from benchmarks.settings import HEADS, NAMES, Settings

NAME = "memory"
TITLE = "Peak memory"
CORPUS = 10  # documents of the corpus, shortest and longest included; the longest decides


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    few, length = (4, 512) if settings.quick else (CORPUS, 4096)
    wanted = documents.lengths(few, longest=256 if settings.quick else documents.LONGEST)
    tasks = {
        f"{few} documents of 64 to {max(wanted):,} tokens": documents.corpus(tokenizer, wanted),
        f"one document of {length:,} tokens": [documents.long_document(tokenizer, length)],
    }
    short = [documents.long_document(tokenizer, 16)]
    data: dict[str, Any] = {"tasks": list(tasks), "found": {}, "absent": {}}
    work = sum(len(text) for texts in tasks.values() for text in texts)
    progress = Progress(NAME, work * len(settings.contestants))
    for name in settings.contestants:
        for task, texts in tasks.items():
            # One short document first: weights that lie in a mapped file come in when first used.
            warm, request = ({"documents": some, "heads": HEADS} for some in (short, texts))
            try:
                _, answer = fresh(name, settings.spec(), warm, request)
            except (Unavailable, WorkerDied) as error:
                data["absent"][f"{NAMES[name]}, {task}"] = str(error)
            else:
                measured = {"before": answer["before"], "peak": answer["peak"]}
                data["found"].setdefault(name, {})[task] = measured
            progress.step(f"{NAMES[name]}, {task}", sum(map(len, texts)))
            save(data)


def render(data: dict[str, Any]) -> str:
    rows = []
    for name in (name for name in NAMES if name in data["found"]):
        tasks = data["found"][name]
        line = [NAMES[name], f"{min(task['before'] for task in tasks.values()):,.0f}"]
        for task in data["tasks"]:
            found = tasks.get(task)
            if found:
                grown = found["peak"] - found["before"]
                line += [f"{found['peak']:,.0f}", f"{grown:,.0f}"]
            else:
                line += ["-", "-"]
        rows.append(line)
    head = ["path", "model loaded"]
    for task in data["tasks"]:
        head += [task, "above the model"]
    parts = [
        "MiB resident at the highest point (the kernel's own mark), one fresh process a number.",
        table(head, rows),
    ]
    parts += [f"{name} is missing: {reason}" for name, reason in data["absent"].items()]
    return "\n\n".join(parts)
