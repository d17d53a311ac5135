"""One row a training run: its size, tokens, batch, rate, seed and losses, for scaling laws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.scaling.power_sum import measured
from workbench.scaling.run_text import RUN_COLUMNS, parse_runs
from workbench.training.arms import Arms
from workbench.training.checkpointing import RESUME, stored_run
from workbench.training.pretraining import Training

EMBEDDINGS = ("embed_tokens", "lm_head")  # weights that do not count as params

Source = str | Path | Training | Arms | pd.DataFrame


def training_runs(source: Source | Sequence[Source] | Mapping[str, Training]) -> pd.DataFrame:
    """Training runs as a table, one row a run.

    Args:
        source: a folder that `pretrain` wrote, or one that holds such folders; the result of
            `pretrain`, or several by name; that of `train_arms`; a CSV or TSV file; a frame; or a
            list of these. A file (read as `runs_from_text` does) or frame has the columns params,
            tokens and loss, and any of the others.

    Returns:
        One row a run: run (its name), params (without embeddings and output layer), params_all,
        tokens, batch_tokens (tokens in a step), learning_rate (the peak), seed, loss (nats a token
        at the end, the mean over held-out domains; of the training batches where nothing was held
        out), finished (a stopped run, or one whose loss is missing, is not), and one column
        "loss (domain)" a held-out domain. What a source does not tell is missing.

    Raises:
        ValueError: there is no run, a column is missing, or a value is not a positive number.
        FileNotFoundError: there is no such file or folder.
    """
    if isinstance(source, Mapping):
        table = pd.DataFrame([_of_training(training, name) for name, training in source.items()])
    elif isinstance(source, Sequence) and not isinstance(source, str):
        tables = [training_runs(part) for part in source]
        table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    elif isinstance(source, Training):
        table = pd.DataFrame([_of_training(source, "run")])
    elif isinstance(source, Arms):
        table = pd.DataFrame(_of_arms(source))
    elif isinstance(source, pd.DataFrame):
        table = _of_frame(source)
    elif Path(source).is_dir():
        table = pd.DataFrame(_of_folder(Path(source)))
    else:
        table = _of_frame(parse_runs(Path(source).read_bytes()))
    return _ordered(table)


def runs_from_text(content: str | bytes) -> pd.DataFrame:
    """Training runs from text: the content of a CSV file, or cells copied from a spreadsheet.

    Args:
        content: lines of cells between tabs, semicolons or commas; the first names the columns,
            params, tokens and loss among them, in any case and order. A loss that is missing is
            that of a run that diverged. Bytes are UTF-8, or UTF-16 with its mark.

    Returns:
        As `training_runs`.

    Raises:
        ValueError: it is no such table, or a value is not a positive number; what was found and
            what was expected are named.
    """
    return _ordered(_of_frame(parse_runs(content)))


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    if not len(table):
        raise ValueError("there is no training run: pass what `pretrain` wrote, or a table of runs")
    others = [name for name in table if name not in RUN_COLUMNS]
    return table.reindex(columns=[*RUN_COLUMNS, *others])


def _of_folder(folder: Path) -> list[dict[str, Any]]:
    files = sorted([*folder.glob(RESUME), *folder.glob(f"*/{RESUME}")])
    if not files:
        raise ValueError(
            f"{folder} holds no {RESUME}, which pretrain(out=) writes, nor does a folder in it"
        )
    return [_of_file(file, file.parent.name) for file in files]


def _of_file(file: Path, name: str) -> dict[str, Any]:
    """The row of one run, from what it wrote; one that has not been evaluated has no loss."""
    record, shapes = stored_run(file)
    sizes = {weight: math.prod(shape) for weight, shape in shapes.items()}
    recipe, history = record["identity"], record["notes"].get("history", [])
    batch_tokens = recipe["batch"] * recipe["decoder"]["context"]
    none: dict[str, Any] = {"held_out": {}, "loss": math.nan, "step": 0}
    last = history[-1] if history else none
    return {
        "run": name, **_counts(sizes),
        "tokens": last["step"] * batch_tokens, "batch_tokens": batch_tokens,
        "learning_rate": recipe["learning_rate"], "seed": recipe["seed"],
        "finished": record["step"] == recipe["steps"], **_losses(last["held_out"], last["loss"]),
    }  # fmt: skip


def _counts(sizes: Mapping[str, int]) -> dict[str, int]:
    """Params and params_all, from the number of values of each weight."""
    inner = [size for name, size in sizes.items() if not any(e in name for e in EMBEDDINGS)]
    return {"params": sum(inner), "params_all": sum(sizes.values())}


def _losses(held_out: Mapping[str, float], training: float) -> dict[str, float]:
    """The column loss, and one a domain."""
    mean = sum(held_out.values()) / len(held_out) if held_out else training
    return {"loss": mean} | {f"loss ({domain})": loss for domain, loss in held_out.items()}


def _of_training(training: Training, name: str) -> dict[str, Any]:
    """From the folder where there is one, since the result does not hold the recipe."""
    for folder in training.checkpoints.values():
        if (folder.parent / RESUME).exists():
            return _of_file(folder.parent / RESUME, name)
    sizes = {weight: p.numel() for weight, p in training.model.hf.named_parameters()}
    last, held = training.history.iloc[-1], training.held_out
    held = held[held["step"] == last["step"]].set_index("domain")["loss"]
    return {
        "run": name, **_counts(sizes),
        "tokens": int(last["tokens"]), "batch_tokens": int(last["tokens"] / last["step"]),
        "learning_rate": float(training.history["learning_rate"].max()), "seed": None,
        "finished": True, **_losses(held.to_dict(), float(last["loss"])),
    }  # fmt: skip


def _of_arms(arms: Arms) -> list[dict[str, Any]]:
    if not arms.checkpoints:
        raise ValueError(
            "these arms were trained without a folder, and do not tell the sizes of their models: "
            "train them with out="
        )
    return [
        _of_file(folder.parent / RESUME, f"{arm}, seed {seed}")
        for (arm, seed), folder in arms.checkpoints.items()
    ]


def _of_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A user's own table. A run that diverged has no loss, and is kept as one that is not over."""
    measured(frame, ["params", "tokens"])
    measured(frame[frame["loss"].notna()] if "loss" in frame else frame, ["loss"])
    frame = frame.reset_index(drop=True)
    if "run" not in frame:
        frame = frame.assign(run=[f"run {row}" for row in range(len(frame))])
    return frame if "finished" in frame else frame.assign(finished=frame["loss"].notna())
