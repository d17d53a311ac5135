"""What does a decoder gain from the documents that a column chooses? Text of this environment.

    PYTHONPATH=tests python -m experiments.training_on_text OUT

scores the beginnings of documents of the environment corpus with the default model, trains decoders
on these beginnings, of which a chosen fifth of each domain is read five times as often as the rest
(half of all tokens, or so), and reads real chains of thought and held-out documents with each. Two
runs of one seed differ in the choice alone. Every finished run is a row of
OUT/training_on_text.csv, and what is there is not run again.
`--mirror` compares, task by task, what masking costs the selector with what the decoders gain.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import workbench as wb
from experiments.score_columns import FOURTEEN, TOKENS, columns_of, losses_of, random_sets
from experiments.training_gain import FULL, RANDOM, gains, store, stored
from workbench.masking.losses import losses_of_ids
from workbench.training.arms import task_losses

ARMS = (FULL, RANDOM, "raw", "low base loss", "contrast", "fetched", "far tokens, no model")
DECODER = wb.Decoder(layers=3, width=64, heads=4, context=256)
CHOSEN, TIMES = 0.2, 5  # share of each domain, and how often a chosen document comes in an epoch
VOCABULARY = 1024
ITEMS = 16  # of each task
CHAINS, TEXT = "chains", "text"


def world(documents: int) -> tuple[list[wb.Document], list[wb.Document]]:
    """The beginnings to train on and those to read, no longer than what the selector reads."""
    model = wb.load_model()
    found = wb.environment_corpus(max_documents=documents)
    short = [
        replace(one, text=model.tokenizer.decode(model.encode(one.text)[:TOKENS])) for one in found
    ]
    parts = wb.held_out_split(short, share=0.15)
    return parts.training, parts.held_out


def scored(documents: Sequence[wb.Document], file: Path) -> pd.DataFrame:
    """One row a document with every column, from the default model and one random head set."""
    model = wb.load_model()
    heads = wb.HeadSet.parse(FOURTEEN, model)
    losses = losses_of(model, [None, heads, *random_sets(model, heads, 1)], documents, file)
    return columns_of(documents, [document.domain for document in documents], losses)


def chosen_by(arm: str, table: pd.DataFrame, seed: int) -> np.ndarray:
    """The documents that an arm chooses, a fifth of each domain, (documents,) of bool."""
    if arm == FULL:
        return np.zeros(len(table), bool)
    drawn = pd.Series(np.random.default_rng(seed).random(len(table)), table.index)
    values = drawn if arm == RANDOM else pd.to_numeric(table[arm])
    picked: list[int] = []
    for _, of_domain in values.groupby(table["kind"]):
        picked.extend(of_domain.dropna().nlargest(round(CHOSEN * len(of_domain))).index)
    return table.index.isin(picked)


def mean_losses(model: wb.Model, documents: Sequence[wb.Document]) -> np.ndarray:
    """Mean nats a token of each document, (documents,)."""
    ids = model.encode_all([document.text for document in documents])
    return np.array([losses.mean() for (losses,) in losses_of_ids(model, ids, [None])], float)


def run_arms(
    out: Path, arms: Sequence[str], seeds: Sequence[int], documents: int, steps: int
) -> pd.DataFrame:
    """Train what is not stored yet, and return all that is."""
    training, held_out = world(documents)
    table = scored(training, out / "text.npz")
    chains = [*wb.reasoning_chains("first"), *wb.reasoning_chains("held-out")]
    tasks = [task for task in wb.built_in_tasks(ITEMS) if task.name != "lookup, 48 pairs"]
    tokenizer = wb.train_tokenizer([document.text for document in training], size=VOCABULARY)
    recipe = wb.Recipe(DECODER, steps=steps, batch=8, learning_rate=4e-3, warm_up=0.02)
    file = out / "training_on_text.csv"
    for seed in seeds:
        for arm in arms:
            done = stored(file)
            if ((done.get("arm") == arm) & (done.get("seed") == seed)).any():
                continue
            start = time.process_time()
            chosen = chosen_by(arm, table, seed)
            model = wb.pretrain(
                training, recipe, tokenizer=tokenizer, weights=np.where(chosen, TIMES, 1.0),
                seed=seed,
            ).model  # fmt: skip
            of_text = pd.Series(mean_losses(model, held_out))
            by_domain = of_text.groupby([document.domain for document in held_out]).mean()
            by_task = task_losses(model, tasks).groupby("task")["loss"].mean()
            row = {
                "size": "3x64", "arm": arm, "seed": seed, "documents": len(training),
                "held_out": len(held_out), "steps": steps, "chosen": int(chosen.sum()),
                CHAINS: mean_losses(model, chains).mean(), TEXT: by_domain.mean(), **by_domain,
                **by_task.add_prefix("task: "),
                "cpu_seconds": round(time.process_time() - start),
            }  # fmt: skip
            store(file, pd.concat([done, pd.DataFrame([row])]) if len(done)
                  else pd.DataFrame([row]))  # fmt: skip
            print(row, flush=True)
    return stored(file)


def mirror(runs: pd.DataFrame, arm: str = "raw") -> pd.DataFrame:
    """Of each task, what masking costs the selector and what an arm gains over a random choice.

    Returns:
        One row a task: task, cost (nats), gain (nats), low and high of the gain.
    """
    model = wb.load_model()
    names = [name.removeprefix("task: ") for name in runs if name.startswith("task: ")]
    tasks = [task for task in wb.built_in_tasks(ITEMS) if task.name in names]
    heads = wb.HeadSet.parse(FOURTEEN, model)
    cost = wb.mirror_summary(wb.mirror(model, heads, tasks, controls=1), "loss")
    rows = []
    for name in names:
        (gain,) = gains(runs, f"task: {name}").query("arm == @arm").itertuples()
        (change,) = cost["change"][cost["task"] == name]
        rows.append((name, change, gain.gain, gain.low, gain.high))
    return pd.DataFrame(rows, columns=["task", "cost", "gain", "low", "high"])


def main() -> None:
    """Read the command line, run what is missing, print all there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for losses and rows")
    parser.add_argument("--arms", nargs="+", default=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--documents", type=int, default=1_600)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--mirror", action="store_true")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    runs = run_arms(asked.out, asked.arms, asked.seeds, asked.documents, asked.steps)
    for loss in (CHAINS, TEXT):
        print(loss, gains(runs, loss).round(3).to_string(index=False), sep="\n")
    if asked.mirror:
        print(mirror(runs).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
