"""The columns of a scored corpus: those of any, those that are made here, and what each means."""

from __future__ import annotations

from typing import Any

import pandas as pd

from workbench.analysis.confounding import confound_values
from workbench.scoring.schema import SCORE_ROW, columns_in
from workbench.selection.alternative_scores import residual

# What every scored corpus has; `ScoredCorpus.column_names` says what one has beside them.
COLUMNS = (
    "doc_id", "domain", "rank", "score", "selected", "margin", "loss_base", "loss_ref", "tokens",
    "compression_ratio",
)  # fmt: skip

REPETITION = "repetition"  # share of the predicted tokens that are not novel
BOILERPLATE = "shared_ngrams"  # share of the n-grams that stand in other documents, once measured
RESIDUAL = "residual"  # of the score, once base loss, repetition and length are taken out
MADE_HERE = (REPETITION, BOILERPLATE, RESIDUAL)  # and in no run


def with_made_columns(ranked: pd.DataFrame) -> pd.DataFrame:
    """Scores with REPETITION, where novel tokens were counted, and RESIDUAL.

    Args:
        ranked: a score table.

    Returns:
        The table with these columns; a column RESIDUAL of its own stays.
    """
    made = ranked.copy(deep=False)
    repetition = confound_values(made)[REPETITION]
    if repetition.notna().any():
        made[REPETITION] = repetition
    if RESIDUAL not in made:
        made[RESIDUAL] = residual(made)
    return made


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
        RESIDUAL: "What is left of the rank of the score in its domain after a fit on those "
        "of base loss, compression and length; to choose by it, wb.scorers makes it a column",
        BOILERPLATE: "Boilerplate: share of its runs of 13 words that stand in two or more "
        "other documents of the corpus",
    }
