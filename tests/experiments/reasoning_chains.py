"""What does masking cost on every chain of thought that lm-eval carries, and on 15 of MMLU's?

    PYTHONPATH=tests python -m experiments.reasoning_chains

writes the rows of `wb.mirror` for the 23 chains of BBH and 15 of MMLU to chains_38.csv, which
notebook 6 reads: losses and names, no text of lm-eval. Default model, the highest 5 % of its heads
by the scores that come with the package, three sets of as many random heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import workbench as wb

STORED = Path(__file__).parent / "chains_38.csv"
MMLU = 15  # of its 57 subjects, evenly spread over the names; of BBH all
CONTROLS = 3
DIGITS = 4


def chains() -> list[wb.Task]:
    """The tasks "BBH" and "MMLU", a chain an item."""
    return wb.few_shot_tasks(mmlu=MMLU)


def mirrored(tasks: Sequence[wb.Task]) -> pd.DataFrame:
    """What `wb.mirror` says of the default model, rounded: a row a chain and head set."""
    model = wb.load_model()
    heads = wb.HeadSet.top(wb.default_scores(model), fraction=0.05)
    return wb.mirror(model, heads, tasks, controls=CONTROLS).round(DIGITS)


if __name__ == "__main__":
    mirrored(chains()).to_csv(STORED, index=False)
