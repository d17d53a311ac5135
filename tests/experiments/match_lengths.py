"""Which tokens tell chains of thought from other text? By how long a context they repeat.

    PYTHONPATH=tests python -m experiments.match_lengths OUT

takes the mean rise under masking over the tokens of one class alone, and asks how well it tells
real chains from other text of their length. A token is classed by its longest earlier match: never
came before, came after another token, after the same 1, 2, ... tokens. Both parts of
`score_columns`, default model and its shipped heads; writes OUT/match_lengths.csv. The token losses
are kept in OUT. About ten minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import workbench as wb
from experiments.candidate_columns import earlier_matches
from experiments.score_columns import CHAINS, OTHERS, losses_of, real_documents

# Name to the least and most tokens of context that match; -1: the token itself never came before.
CLASSES = {
    "never before": (-1, -1), "match of 0": (0, 0), "match of 1": (1, 1), "match of 2": (2, 2),
    "match of 3 or more": (3, 99), "match of 1 or more": (1, 99),
}  # fmt: skip


def rises(ids: np.ndarray, base: np.ndarray, masked: np.ndarray) -> dict[str, float]:
    """Mean rise over the predicted tokens of each class, nats; NaN without such a token.

    Args:
        ids: tokens of a text, (T,).
        base: losses of all but the first, (T - 1,).
        masked: those with the heads masked.
    """
    matched, rise = earlier_matches(ids)[0][1:], (masked - base).astype(float)
    found = {}
    for name, (least, most) in CLASSES.items():
        own = (matched >= least) & (matched <= most)
        found[name] = float(rise[own].mean()) if own.any() else np.nan
    return found


def table_of(
    documents: Sequence[wb.Document], losses: Sequence[tuple[np.ndarray, np.ndarray]]
) -> pd.DataFrame:
    """One row a text: doc_id, kind, and the mean rise over each class."""
    return pd.DataFrame(
        [
            {"doc_id": document.doc_id, "kind": document.domain, **rises(ids, *rows)}
            for document, (ids, rows) in zip(documents, losses, strict=True)
        ]
    )


def main(out: Path) -> None:
    """Both parts, printed and stored."""
    out.mkdir(parents=True, exist_ok=True)
    model = wb.load_model()
    sets = [None, wb.HeadSet.top(wb.default_scores(model), fraction=0.05)]
    found = {}
    for part in OTHERS:
        documents = real_documents(part)
        losses = losses_of(model, sets, documents, out / f"match-{part}.npz")
        table = table_of(documents, losses)
        tests = wb.judge_scores(table, CHAINS, list(CLASSES), baselines=(), match=())
        found[part] = tests.frame
        print(part, tests, sep="\n")
    rows = pd.concat(found, names=["part"]).reset_index("part")
    rows.round(4).to_csv(out / "match_lengths.csv", index=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for losses and rows")
    main(parser.parse_args().out)
