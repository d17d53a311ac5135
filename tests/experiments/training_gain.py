"""What does a decoder gain from the documents that a column chooses? The planted world.

    PYTHONPATH=tests python -m experiments.training_gain OUT

trains decoders on the same 24,000 documents, of which a chosen tenth is read four times as often
as the rest (`--times`), and reads held-out lookups with each. Lookups are a tenth of the corpus, so
the best choice is known (arm "oracle"). Two runs of one size and seed differ in the choice alone:
they share their first weights. Every finished run is a row of OUT/training_gain.csv, and what is
there is not run again.
With `--selectors` it trains no decoders on choices but selectors of these sizes, and writes to
OUT/selector_size.csv what share of the highest tenth by each column is lookups.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import workbench as wb
from experiments.candidate_columns import COLUMNS
from experiments.score_columns import planted_table, planted_tests
from workbench.masking.losses import losses_of_ids
from workbench.scoring.influence import compression_ratio
from workbench.selection.residual import residual
from workbench.training.decoder import Decoder
from workbench.training.planted_documents import planted_kinds, planted_tokenizer

SIZES = {
    f"{layers}x{width}": Decoder(layers=layers, width=width, heads=4, context=128)
    for layers, width in ((3, 64), (2, 32), (2, 64), (3, 96))
}
FULL, RANDOM, ORACLE, RESIDUAL = "full", "random", "oracle", "residual"
ARMS = (FULL, RANDOM, ORACLE, "fetched", "raw", "contrast", "low base loss", "far tokens, no model")
CONTROLS = 5  # random head sets
CHOSEN = 0.1  # share of the documents that is chosen
WORLD, HELD_OUT = 0, 5  # seeds of the documents
KEY = ["size", "arm", "seed", "documents", "times", "steps"]
SETTINGS = ("size", "documents", "times", "steps")  # runs that differ in one are not compared
POWER = 0.8


def chosen_by(arm: str, table: pd.DataFrame, seed: int) -> np.ndarray:
    """The documents that an arm chooses, (documents,) of bool; of "full" none.

    A document without a value is not chosen. Equal values are taken in the order of the table,
    which is random.
    """
    if arm == FULL:
        return np.zeros(len(table), bool)
    if arm == RANDOM:
        values = pd.Series(np.random.default_rng(seed).random(len(table)))
    elif arm == ORACLE:
        values = (table["kind"] == "lookup").astype(float)
    else:
        values = pd.to_numeric(table[arm])
    highest = values.dropna().nlargest(round(CHOSEN * len(table))).index
    return np.isin(np.arange(len(table)), highest)


def with_residual(table: pd.DataFrame, documents: Sequence[wb.Document]) -> pd.DataFrame:
    """The table with the package's `residual`: the score less what base loss, repetition and length
    explain of its rank."""
    ratios = [compression_ratio(document.text) for document in documents]
    asked = table.assign(score=table["raw"], domain="world", compression_ratio=ratios)
    return table.assign(**{RESIDUAL: residual(asked)})


def held_out_losses(model: wb.Model, documents: Sequence[wb.Document]) -> dict[str, float]:
    """Kind to the mean nats a token of its documents."""
    ids = model.encode_all([document.text for document in documents])
    means = [losses.mean() for (losses,) in losses_of_ids(model, ids, [None])]
    frame = pd.DataFrame({"kind": planted_kinds(documents), "loss": np.array(means, float)})
    return frame.groupby("kind")["loss"].mean().to_dict()


def train(
    arm: str,
    size: str,
    seed: int,
    documents: Sequence[wb.Document],
    table: pd.DataFrame,
    held_out: Sequence[wb.Document],
    times: int,
    steps: int,
) -> dict[str, object]:
    """One run, in whose epochs a chosen document comes so many times, another once.

    Returns:
        Who it is, what share of its choice are lookups, and its losses on held-out documents by
        kind and on answers, in nats a token.
    """
    start = time.process_time()
    chosen = chosen_by(arm, table, seed)
    weights = np.where(chosen, times, 1.0)
    recipe = wb.Recipe(SIZES[size], steps=steps, batch=16, learning_rate=4e-3, warm_up=0.02)
    model = wb.pretrain(
        documents, recipe, tokenizer=planted_tokenizer(), weights=weights, seed=seed
    ).model
    answers = wb.lookup_losses(model, wb.planted_probes(model, n=256))
    return {
        "size": size, "arm": arm, "seed": seed, "documents": len(documents), "times": times,
        "steps": steps,
        "chosen": int(chosen.sum()),
        "lookups": float((table["kind"][chosen] == "lookup").mean()),
        **held_out_losses(model, held_out),
        "answer_loss": float(answers["loss"].mean()),
        "answer_accuracy": float(answers["accuracy"].mean()),
        "cpu_seconds": round(time.process_time() - start),
    }  # fmt: skip


def stored(file: Path) -> pd.DataFrame:
    """The rows of runs that have finished."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame(columns=KEY)


def store(file: Path, rows: pd.DataFrame) -> None:
    """Write all rows, or none if the process is stopped."""
    unfinished = file.with_suffix(".part")
    rows.round(5).to_csv(unfinished, index=False)
    unfinished.replace(file)


def run_arms(
    out: Path,
    sizes: Sequence[str],
    arms: Sequence[str],
    seeds: Sequence[int],
    documents: int,
    times: int,
    steps: int,
) -> pd.DataFrame:
    """Train what is not stored yet, and return all that is."""
    file = out / "training_gain.csv"
    world = wb.planted_world(documents, seed=WORLD)
    held_out = wb.planted_world(documents // 10, lookups=0.5, seed=HELD_OUT)
    table = with_residual(
        planted_table("literal", None, out, documents=documents, seed=WORLD, controls=CONTROLS),
        world,
    )
    for size in sizes:
        for seed in seeds:
            for arm in arms:
                done = stored(file)
                who = (size, arm, seed, documents, times, steps)
                if who not in set(done[KEY].itertuples(index=False, name=None)):
                    row = train(arm, size, seed, world, table, held_out, times, steps)
                    store(file, pd.concat([done, pd.DataFrame([row])]) if len(done)
                          else pd.DataFrame([row]))  # fmt: skip
                    print(row, flush=True)
    return stored(file)


def gains(runs: pd.DataFrame, loss: str = "lookup", baseline: str = RANDOM) -> pd.DataFrame:
    """How much lower each arm's loss is than that of a random choice, paired by seed.

    Two seeds say next to nothing of one arm's spread, so the spread is pooled: it is what is left
    of the losses of a size when the means of its seeds and of its arms are taken off, the same for
    all arms. Seeds that lack an arm are left out.

    Returns:
        One row an arm and setting: the SETTINGS that runs have, arm, lookups (share of the choice,
        where runs have it), gain (nats a token), low and high (95 %, Student's t), least and most
        (over seeds), share_of_oracle with its low and high (the oracle's gain taken as it is),
        seeds, spread (pooled, nats), and smallest: the true gain that such an experiment finds four
        times in five.
    """
    rows = []
    settings = [name for name in SETTINGS if name in runs]
    for setting, of_size in runs.groupby(settings, sort=False):
        wide = of_size.pivot(index="seed", columns="arm", values=loss)
        wide = wide.loc[:, wide.notna().sum() > 1].dropna()
        seeds, arms = wide.shape
        if seeds < 2 or arms < 2 or baseline not in wide:
            continue
        left = wide.sub(wide.mean(axis=1), axis=0) - wide.mean() + wide.to_numpy().mean()
        freedom = (seeds - 1) * (arms - 1)
        spread = float(np.sqrt((left.to_numpy() ** 2).sum() / freedom))
        error = spread * np.sqrt(2 / seeds)
        reach = stats.t.ppf(0.975, freedom) * error
        smallest = reach + stats.t.ppf(POWER, freedom) * error
        paired = wide.rsub(wide[baseline], axis=0)
        oracle = paired[ORACLE].mean() if ORACLE in paired else np.nan
        share = of_size.groupby("arm")["lookups"].mean() if "lookups" in of_size else None
        for arm in of_size["arm"].unique():
            if arm != baseline and arm in paired:
                gain = paired[arm].mean()
                rows.append({
                    **dict(zip(settings, setting, strict=True)), "arm": arm,
                    **({} if share is None else {"lookups": share[arm]}), "gain": gain,
                    "low": gain - reach, "high": gain + reach,
                    "least": paired[arm].min(), "most": paired[arm].max(),
                    "share_of_oracle": gain / oracle, "share_low": (gain - reach) / oracle,
                    "share_high": (gain + reach) / oracle, "seeds": seeds, "spread": spread,
                    "smallest": smallest,
                })  # fmt: skip
    return pd.DataFrame(rows)


def selector_sizes(out: Path, sizes: Sequence[str], documents: int = 2000) -> pd.DataFrame:
    """What share of the highest tenth by each column is lookups, for selectors of several sizes."""
    file = out / "selector_size.csv"
    for size in sizes:
        done = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=["size"])
        if size not in set(done["size"]):
            table = planted_table("literal", None, out, decoder=SIZES[size], documents=documents)
            tests = planted_tests(table)
            rows = tests.rows("share of the chosen", "lookup").assign(size=size)
            store(file, pd.concat([done, rows]) if len(done) else rows)
    return pd.read_csv(file)


def main() -> None:
    """Read the command line, run what is missing, print all there is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the rows and the selector")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument(
        "--arms", nargs="+", choices=[FULL, RANDOM, ORACLE, RESIDUAL, *COLUMNS], default=ARMS
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--documents", type=int, default=24_000)
    parser.add_argument("--times", type=int, default=4, help="a chosen document comes in an epoch")
    parser.add_argument("--steps", type=int, default=1_800)
    parser.add_argument("--selectors", action="store_true", help="selectors of these sizes instead")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.selectors:
        print(selector_sizes(asked.out, asked.sizes).to_string(index=False))
        return
    runs = run_arms(
        asked.out, asked.sizes, asked.arms, asked.seeds, asked.documents, asked.times, asked.steps
    )
    print(gains(runs).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
