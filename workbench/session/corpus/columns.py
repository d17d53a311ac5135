"""The columns of a scored corpus: those of any, those that are made here, and what each means."""

from __future__ import annotations

from typing import Any

import pandas as pd

from workbench.analysis.confounding import confound_values
from workbench.scoring.schema import SCORE_ROW, columns_in
from workbench.selection.residual import MEANING, RESIDUAL, residual

# What every scored corpus has; `ScoredCorpus.column_names` says what one has beside them.
COLUMNS = (
    "doc_id", "domain", "rank", "score", "selected", "margin", "loss_base", "loss_ref", "tokens",
    "compression_ratio",
)  # fmt: skip

REPETITION = "repetition"  # share of the predicted tokens that are not novel
BOILERPLATE = "shared_ngrams"  # share of the n-grams that stand in other documents, once measured
MADE_HERE = (REPETITION, BOILERPLATE, RESIDUAL)  # and in no run


def with_made_columns(ranked: pd.DataFrame) -> pd.DataFrame:
    """Scores with REPETITION, where novel tokens were counted, and RESIDUAL.

    Args:
        ranked: a score table.

    Returns:
        The table with these columns.
    """
    made = ranked.copy(deep=False)
    repetition = confound_values(made)[REPETITION]
    if repetition.notna().any():
        made[REPETITION] = repetition
    return made.assign(**{RESIDUAL: residual(made)})


def column_meanings(run: dict[str, Any] | None) -> dict[str, str]:
    """What columns hold, in words.

    Args:
        run: the record of the run, which names the columns of the user; None: there is no run.

    Returns:
        Name to meaning, as far as it is known.
    """
    own = columns_in(run) if run is not None else []
    meanings = {column.name: column.meaning for column in (*SCORE_ROW, *own)}
    return meanings | {
        REPETITION: "Share of the predicted tokens that are no novel ones",
        RESIDUAL: MEANING,
        BOILERPLATE: "Boilerplate: share of its runs of 13 words that stand in two or more "
        "other documents of the corpus",
    }
