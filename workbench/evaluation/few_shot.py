"""Real reasoning text without a download: the few-shot chains of BBH and MMLU.

The installed lm-eval package carries, in its task files, worked examples with their chains of
thought: three for each of the 27 tasks of BBH, four or five for each of the 57 subjects of MMLU.
They are read from there at run time and are no part of this project. Nothing in the files is run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cache
from os.path import commonprefix
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from workbench.evaluation.tasks import Item, Task

T = TypeVar("T")

BBH = "tasks/bbh/cot_fewshot"
MMLU = "tasks/mmlu/flan_cot_fewshot"
THINK = "Let's think step by step."


def few_shot_tasks(
    *,
    bbh: int | None = None,
    mmlu: int | None = None,
    by_category: bool = False,
    distinct: bool = True,
) -> list[Task]:
    """The task "BBH" with an item a BBH task, and "MMLU" with an item a subject.

    An item's prompt is two worked examples and the question of the third; its answer is the third's
    chain of thought with its conclusion; its name is that of the BBH task or subject. Source:
    Suzgun et al., arXiv 2210.09261 (BBH); Hendrycks et al., arXiv 2009.03300 (MMLU).

    Args:
        bbh: how many BBH tasks to take, spread evenly over the names in order; None: all; 0: leave
            BBH out.
        mmlu: how many subjects of MMLU, in the same way.
        by_category: make one task for each of MMLU's four categories instead of one for all.
        distinct: BBH tasks that share their examples (logical_deduction and
            tracking_shuffled_objects, of three sizes each) are one item, or an interval would take
            one text for three; so BBH has 23 items, else 27.

    Returns:
        The tasks, BBH first.

    Raises:
        ImportError: lm-eval is not installed.
        ValueError: a count cannot be had, or nothing is left.
    """
    folder = lm_eval_folder()
    chains = [_bbh(*example) for example in few_shot_examples(folder / BBH, "bbh_cot_fewshot_")]
    chains = _spread(_distinct(chains) if distinct else chains, bbh, "bbh")
    groups: dict[str, list[Item]] = {}
    subjects = few_shot_examples(folder / MMLU, "mmlu_flan_cot_fewshot_")
    for name, content in _spread(subjects, mmlu, "mmlu"):
        category = str(content["tag"]).removeprefix("mmlu_flan_cot_fewshot_").replace("_", " ")
        task = f"MMLU, {category}" if by_category else "MMLU"
        groups.setdefault(task, []).append(_mmlu(name, content))
    tasks = [Task(name, tuple(items), False) for name, items in sorted(groups.items())]
    if chains:
        tasks.insert(0, Task("BBH", tuple(chains), True))
    if not tasks:
        raise ValueError(f"no task is left with bbh={bbh} and mmlu={mmlu}: take one at least")
    return tasks


def lm_eval_folder() -> Path:
    """Where the lm-eval package lies, found without importing it, which takes seconds.

    Returns:
        The folder of the package.

    Raises:
        ImportError: it is not installed; the message says what to do.
    """
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(
            "this needs the lm-eval package, which is not installed; run: pip install '.[eval]'"
        )
    return Path(spec.submodule_search_locations[0])


class _Plain(yaml.SafeLoader):
    """YAML without its tags: what a file would have run (`!function`) reads as None."""


_Plain.add_constructor(None, lambda loader, node: None)  # None: every tag not known to be safe


@cache
def few_shot_examples(folder: Path, prefix: str) -> list[tuple[str, dict[str, Any]]]:
    """The task files of a folder that have worked examples.

    Args:
        folder: in the lm-eval package.
        prefix: of the tasks' names, which is taken off.

    Returns:
        (name, file) of each, in order of file names.

    Raises:
        ImportError: there is none, so lm-eval is of another version.
    """
    files = []
    for path in sorted(folder.glob("*.yaml")):
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Plain)
        if (content.get("fewshot_config") or {}).get("samples"):
            files.append((str(content["task"]).removeprefix(prefix), content))
    if not files:
        raise ImportError(
            f"the installed lm-eval has no worked examples in {'/'.join(folder.parts[-3:])}; this "
            "reads version 0.4.13; run: pip install '.[eval]'"
        )
    return files


def _spread(every: Sequence[T], count: int | None, name: str) -> list[T]:
    """`count` of the entries, evenly spaced from the first to the last."""
    if count is None:
        return list(every)
    if not 0 <= count <= len(every):
        raise ValueError(f"{name} must lie between 0 and {len(every)} (None: all), got {count}")
    places = np.linspace(0, len(every) - 1, count).round().astype(int)
    return [every[i] for i in places]


def _distinct(items: Sequence[Item]) -> list[Item]:
    """One item a text, called by what the names of those that share it begin with."""
    names: dict[tuple[str, str], list[str]] = {}
    for item in items:
        names.setdefault((item.prompt, item.answer), []).append(item.name)
    # Character by character is what is meant here.
    return [Item(*text, commonprefix(same).rstrip("_")) for text, same in names.items()]  # noqa: RUF071


def _bbh(name: str, content: dict[str, Any]) -> Item:
    """Question and chain stand as the task file's own template puts them."""
    shots = content["fewshot_config"]["samples"][:3]
    return _item(name, [(f"Q: {s['input']}\nA: {THINK}\n", s["target"]) for s in shots])


def _mmlu(name: str, content: dict[str, Any]) -> Item:
    """The call to think belongs to the question, as in BBH, though the files have it in the chain.

    It is the same in every example, so it would be copied, and is no reasoning.
    """
    shots = [
        (f"Q: {shot['question'].strip()}\nA: {THINK}", shot["target"].removeprefix(THINK))
        for shot in content["fewshot_config"]["samples"][:3]
    ]
    return _item(name, shots)


def _item(name: str, shots: Sequence[tuple[str, str]]) -> Item:
    """The worked examples but the last, then the last one's question; its chain is the answer."""
    worked = "".join(f"{question}{chain}\n\n" for question, chain in shots[:-1])
    question, chain = shots[-1]
    return Item(worked + question, chain, name)
