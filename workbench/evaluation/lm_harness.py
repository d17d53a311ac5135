"""lm-eval around the model in hand: any of its tasks, with heads masked or not (paper, Table 6).

`lm_eval_tasks/` beside this file holds the generated tasks of `workbench.evaluation.tasks` as
lm-eval tasks, so that the bridge works, and is tested, without a download.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from workbench.core.frames import as_html
from workbench.core.progress import progress_bar
from workbench.evaluation.few_shot import lm_eval_folder
from workbench.evaluation.mirror_effect import mirror_sets
from workbench.masking.masks import masked, require_fitting
from workbench.models.attention_hook import Mode
from workbench.models.heads import HeadSet
from workbench.models.model import Model

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

FOLDER = Path(__file__).parent / "lm_eval_tasks"
KEYS = ["task", "item", "name", "masked", "draw"]
RESAMPLES = 1000  # behind lm-eval's standard errors of metrics that have no formula for it


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What lm-eval measured, with heads masked and without.

    Attributes:
        frame: one row a task (or group), metric and head set: task, metric (with lm-eval's filter
            after a comma where there is one), value, stderr (NaN where lm-eval gives none), items
            (how many), masked ("nothing", "detected", "random") and draw.
        items: of every single item under every head set: task, item, name (empty), masked, draw,
            and the value of each metric that its task has (`evaluation_items` makes a frame of a
            metric).
    """

    frame: pd.DataFrame
    items: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"{self._heading()}\n{self.frame!r}"

    def _repr_html_(self) -> str:
        return as_html(self._heading(), self.frame, index=True)

    def _heading(self) -> str:
        tasks = self.frame["task"].nunique()
        sets = len(self.frame[["masked", "draw"]].drop_duplicates())
        return f"Evaluation: {tasks} tasks, {sets} head sets, {len(self.items):,} answers in all"


def evaluate(
    model: Model,
    heads: HeadSet | None = None,
    tasks: Sequence[str | Mapping[str, Any]] = ("workbench",),
    *,
    controls: int = 5,
    mode: Mode = "uniform",
    seed: int = 0,
    limit: int | float | None = None,
    num_fewshot: int | None = None,
    include_path: str | Path | Sequence[str | Path] = (),
    **hflm: Any,
) -> Evaluation:
    """Run lm-eval tasks unmasked, with heads masked, and with random sets masked.

    Args:
        model: who answers.
        heads: the detected heads; None: the rows of "nothing" alone.
        tasks: names of lm-eval tasks, groups or tags, paths of YAML files or configurations as
            mappings. "workbench" is our own: seven generated tasks, no download. Most others load
            their data set from the Hugging Face hub.
        controls: random sets of as many other heads.
        mode: what masked heads put out.
        seed: of the random sets.
        limit: at most so many items a task (below 1: that share of them); None: all.
        num_fewshot: worked examples in the prompt, where the task leaves it open.
        include_path: further folders of tasks.
        **hflm: options of lm-eval's HFLM, for example batch_size=8.

    Returns:
        The values of every task, and behind them those of every single item.

    Raises:
        ImportError: lm-eval is not installed.
        ValueError: a task is unknown, or heads are to be masked without a control.
    """
    lm_eval_folder()
    require_fitting(model, heads, mode)
    if isinstance(tasks, str) or not tasks or (heads and controls < 1):
        raise ValueError(
            f"an evaluation needs a list of tasks, and a control at least where heads are masked; "
            f"got tasks {tasks!r}, {controls} controls"
        )
    sets = mirror_sets(model, heads, controls, seed)
    rows: list[tuple[Any, ...]] = []
    items: list[dict[str, Any]] = []
    with _quiet(), _own_seeds():
        loaded = _loaded(tasks, include_path, num_fewshot)
        harness = _harness(model, hflm)
        from lm_eval import evaluate as run

        with progress_bar("evaluating", "head set", len(sets)) as done:
            for (name, draw), head_set in sets.items():
                _seed()
                # Not `simple_evaluate`, which starts a dozen programs to describe the machine.
                with masked(model, head_set, mode):
                    results = run(harness, loaded, limit=limit, bootstrap_iters=RESAMPLES)
                rows += [(*row, name, draw) for row in _values(results)]
                items += [{**item, "masked": name, "draw": draw} for item in _items(results)]
                done(1)
    columns = ["task", "metric", "value", "stderr", "items", "masked", "draw"]
    return Evaluation(pd.DataFrame(rows, columns=columns), items)


def evaluation_items(evaluation: Evaluation, metric: str) -> pd.DataFrame:
    """The values of single items behind an evaluation, for `mirror_summary(_, metric)`.

    Args:
        evaluation: what `evaluate` returned.
        metric: which of its metrics; tasks without it are left out.

    Returns:
        One row an item and head set: task, item, name (empty), masked, draw and the metric.

    Raises:
        ValueError: no item has this metric.
        TypeError: it is no Evaluation.
    """
    if not isinstance(evaluation, Evaluation):
        raise TypeError(
            "the values of single items are in what evaluate returned, got a "
            f"{type(evaluation).__name__}: pass that, not its frame"
        )
    items = evaluation.items
    known = sorted({key for item in items for key in item} - set(KEYS))
    if metric not in known:
        raise ValueError(
            f"no item has the metric {metric!r}; the items have {', '.join(known) or 'none'}"
        )
    return pd.DataFrame([item for item in items if metric in item], columns=[*KEYS, metric])


# ---- what the task files of our own call ----------------------------------------------------


def documents(task: str, items: int = 24, seed: int = 0, **metadata: Any) -> dict[str, Any]:
    """The items of one built-in task as the data set of an lm-eval task; its YAML files call this.

    Args:
        task: name of the built-in task.
        items: as `n` of `built_in_tasks`.
        seed: of the draws.
        **metadata: what lm-eval hands on besides; is not read.

    Returns:
        The split "test" with the columns prompt and answer.
    """
    from datasets import Dataset

    from workbench.evaluation.tasks import built_in_tasks

    made = next(made for made in built_in_tasks(items, seed) if made.name == task)
    return {"test": Dataset.from_list([dict(prompt=i.prompt, answer=i.answer) for i in made.items])}


def graded(document: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """The metrics of one item; the YAML files of our tasks call this.

    Args:
        document: the item.
        results: log-likelihood of the answer (nats), and whether each of its tokens is the first
            choice; one pair.

    Returns:
        acc: 1.0 if greedy decoding would give the answer, else 0.0; nats: the loss of the whole
        answer.
    """
    likelihood, greedy = results[0]
    return {"acc": float(greedy), "nats": -likelihood}


# ---- lm-eval ----------------------------------------------------------------------------------


def _loaded(
    tasks: Sequence[str | Mapping[str, Any]],
    include_path: str | Path | Sequence[str | Path],
    num_fewshot: int | None,
) -> Any:
    """What lm-eval makes of the tasks' names."""
    from lm_eval.defaults import DEFAULT_OTHER_SEED

    further = [include_path] if isinstance(include_path, str | Path) else list(include_path)
    names = [dict(task) if isinstance(task, Mapping) else str(task) for task in tasks]
    manager = _manager(names, [FOLDER, *further])
    missing = _unknown(manager, names)
    if missing:
        ours = ", ".join(name for name in manager.all_tasks if name.startswith("workbench"))
        raise ValueError(
            f"lm-eval has no task {', '.join(missing)}. Ours are {ours}; those of lm-eval are "
            "listed by `lm_eval ls tasks`; pass include_path= for a folder of your own"
        )
    loaded = manager.load(names)
    for task in loaded["tasks"].values():
        own = task.get_config("num_fewshot")
        if own is None or (num_fewshot is not None and own != 0):
            task.set_config(key="num_fewshot", value=num_fewshot or 0)
        task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)
    return loaded


def _manager(names: Sequence[Any], folders: list[str | Path]) -> TaskManager:
    """Knows the tasks in `folders`, and lm-eval's own only if they are asked for.

    To read their thousands of files takes half a minute.
    """
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=folders, include_defaults=False)
    return TaskManager(include_path=folders) if _unknown(manager, names) else manager


def _unknown(manager: TaskManager, names: Sequence[Any]) -> list[str]:
    """The names that are neither known tasks nor files."""
    named = [name for name in names if isinstance(name, str)]
    return [name for name in named if name not in manager.task_index and not Path(name).is_file()]


def _harness(model: Model, options: Mapping[str, Any]) -> HFLM:
    """lm-eval's view of the model in hand."""
    from lm_eval.models.huggingface import HFLM

    tokenizer = copy.deepcopy(model.tokenizer)  # it gets a padding token, and may get more
    harness = HFLM(
        pretrained=model.hf, tokenizer=tokenizer, **{"max_length": model.context, **options}
    )
    if os.environ.get("TQDM_DISABLE", "") not in ("", "0"):  # its bars do not ask for it themselves
        for kind in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
            setattr(harness, kind, partial(getattr(harness, kind), disable_tqdm=True))
    return harness


def _values(results: Mapping[str, Any]) -> Iterator[tuple[str, str, float, float, int]]:
    """(task, metric, value, stderr, items) of every task and group."""
    for task, measured in {**results["results"], **results.get("groups", {})}.items():
        for key, value in measured.items():
            metric, comma, kind = key.partition(",")
            if comma and not metric.endswith("_stderr"):
                stderr = measured.get(f"{metric}_stderr,{kind}")
                yield (
                    task, metric if kind == "none" else key, float(value),
                    stderr if isinstance(stderr, float) else math.nan, measured["sample_len"],
                )  # fmt: skip


def _items(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The metrics of every item of every task, those of all filters together."""
    for task, samples in results["samples"].items():
        by_item: dict[int, dict[str, Any]] = {}
        for sample in samples:
            item = by_item.setdefault(sample["doc_id"], {"task": task, "item": sample["doc_id"]})
            for metric in sample["metrics"]:
                if isinstance(sample[metric], bool | int | float | np.number):
                    kind = sample["filter"]
                    item[metric if kind == "none" else f"{metric},{kind}"] = float(sample[metric])
        yield from ({**item, "name": ""} for item in by_item.values())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """lm-eval's warnings are for its command line: that a model came ready made, for example."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _own_seeds() -> Iterator[None]:
    """The caller's random numbers go on afterwards as if nothing had been."""
    python, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


def _seed() -> None:
    """lm-eval's own seeds, before each head set, so that all see the same items."""
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)
    torch.manual_seed(DEFAULT_OTHER_SEED)
