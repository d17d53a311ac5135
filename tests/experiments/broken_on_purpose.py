"""What do the columns of scores listen to? Chains of thought, each changed in one respect.

    PYTHONPATH=tests python -m experiments.broken_on_purpose OUT

scores 24 chains of BBH and 24 of MMLU (of the first part) and their counterfactuals with the
default model, and writes how every column answers to OUT/broken_on_purpose.csv. The token losses
are kept in OUT, so that another column costs no pass. About ten minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import workbench as wb
from experiments.candidate_columns import COLUMNS
from experiments.score_columns import columns_of, losses_of, random_sets

COLLECTIONS = ("BBH", "MMLU")
OF_EACH = 24


def chains(seed: int = 0) -> list[wb.Document]:
    """As many chains of each collection."""
    every = wb.reasoning_chains("first")
    drawn: list[wb.Document] = []
    for name in COLLECTIONS:
        of_name = [chain for chain in every if chain.domain == name]
        picks = np.random.default_rng(seed).choice(len(of_name), OF_EACH, replace=False)
        drawn += [of_name[pick] for pick in sorted(picks)]
    return drawn


def responses(
    model: wb.Model, heads: wb.HeadSet, originals: Sequence[wb.Document], out: Path
) -> pd.DataFrame:
    """How every column answers to every change: of all chains, and of each collection.

    Returns:
        The rows of `paired_response`, with the collection ("all" or its name) in front.
    """
    changed = [text for text in wb.counterfactuals(originals) if isinstance(text, wb.Document)]
    sets = [None, heads, *random_sets(model, heads, 1)]
    before, after = (
        columns_of(
            texts, [text.domain for text in texts], losses_of(model, sets, texts, out / file)
        )
        for texts, file in ((originals, "originals.npz"), (changed, "changed.npz"))
    )
    keys = [f"{text.source}:{text.row}" for text in originals]
    before = before.assign(chain=keys)
    after = after.assign(
        chain=[f"{text.source.partition('/')[2]}:{text.row}" for text in changed],
        change=[text.carried["counterfactual"] for text in changed],
    )
    found = {}
    for name in ("all", *COLLECTIONS):
        parts = [
            table if name == "all" else table[table["kind"] == name] for table in (before, after)
        ]
        response = wb.evaluation.paired_response(*parts, list(COLUMNS), by="change", key="chain")
        found[name] = response.frame
    return pd.concat(found, names=["collection"]).reset_index("collection")


def main() -> None:
    """All of it, printed and stored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for losses and rows")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    model = wb.load_model()
    heads = wb.HeadSet.top(wb.default_scores(model), fraction=0.05)
    rows = responses(model, heads, chains(), out)
    rows.round(5).to_csv(out / "broken_on_purpose.csv", index=False)
    print(rows.round(3).to_string())


if __name__ == "__main__":
    main()
