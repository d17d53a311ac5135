"""What the score goes along with: the confounds that must stand beside every ranking.

The score rises with repetition, falls with base loss, and may follow length
(`workbench/METHOD.md`). None of that is removed here; it is measured, inside each domain, so that
nobody mistakes a repetitive document for a reasoning one unawares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from workbench.core.frames import TableLike, frame_of
from workbench.core.intervals import percentile_interval, spearman_interval
from workbench.selection.alternative_scores import BUILT_IN, scored_by

CONFOUNDS = ("compression_ratio", "loss_base", "tokens")


def confounds(table: TableLike, *, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Spearman correlation of the score with each confound, inside each domain.

    Args:
        table: a score table (`score_corpus`), or a frame with its columns.
        draws: bootstrap draws of documents.
        seed: of the draws.

    Returns:
        One row a domain and confound: domain, confound (compression_ratio: low is repetitive;
        loss_base: nats a token; tokens: length), documents, spearman, and low, high (95 %
        percentile bootstrap over documents). A domain with fewer than four documents, or a confound
        that does not vary, gives NaN.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for domain, part in frame_of(table).groupby("domain", sort=True):
        picks = rng.integers(0, len(part), size=(draws, len(part)))
        for name in CONFOUNDS:
            score, other = part["score"].to_numpy(), part[name].to_numpy(dtype=float)
            value = low = high = np.nan
            if len(part) >= 4 and np.ptp(other) > 0 and np.ptp(score) > 0:
                value = float(stats.spearmanr(score, other).statistic)
                low, high = spearman_interval(score[picks], other[picks])
            rows.append((domain, name, len(part), value, low, high))
    columns = ["domain", "confound", "documents", "spearman", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


STATISTICS = ("tokens", "compression_ratio", "loss_base", "score")


def selection_statistics(
    selections: Mapping[str, pd.DataFrame], *, draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """What the chosen documents of several selections are like, side by side (the paper's Table 3).

    Args:
        selections: name to a ranked table with the column selected (`Selection.table`, `chosen_by`,
            `matched_selection`). The row "every document" is the domain of the first of them as a
            whole.
        draws: bootstrap draws of documents.
        seed: of the draws.

    Returns:
        One row a domain, selection and statistic (tokens, compression_ratio, loss_base in nats a
        token, score): domain, selection, documents, statistic, mean with low and high (95 %
        percentile bootstrap over documents), median.

    Raises:
        ValueError: there is no selection, or one lacks the column selected.
    """
    lacking = [name for name, table in selections.items() if "selected" not in table]
    if not selections or lacking:
        raise ValueError(
            f"no column 'selected' in {', '.join(lacking) or 'nothing'}: give the tables of "
            "select(...).table, one or more"
        )
    rng = np.random.default_rng(seed)
    parts = {"every document": next(iter(selections.values()))}
    parts |= {name: table[table["selected"]] for name, table in selections.items()}
    rows = []
    for domain in sorted(set().union(*(table["domain"] for table in parts.values()))):
        for name, table in parts.items():
            part = table[table["domain"] == domain]
            if part.empty:
                continue
            picks = rng.integers(0, len(part), size=(draws, len(part)))
            for statistic in STATISTICS:
                values = part[statistic].to_numpy(dtype=float)
                low, high = percentile_interval(values[picks].mean(axis=1))
                rows.append(
                    (
                        domain,
                        name,
                        len(part),
                        statistic,
                        values.mean(),
                        low,
                        high,
                        np.median(values),
                    )
                )
    columns = [
        "domain", "selection", "documents", "statistic", "mean", "low", "high", "median",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def scorer_confounds(table: TableLike, names: Sequence[str] = BUILT_IN) -> pd.DataFrame:
    """What every scorer goes along with.

    A scorer that is a confound (perplexity, length, compression) correlates with itself by 1.

    Args:
        table: a score table.
        names: of the scorers, as `scored_by` knows them.

    Returns:
        The rows of `confounds` for each, its name in the column scorer in front.
    """
    parts = []
    for name in names:
        part = confounds(scored_by(table, name))
        part.insert(0, "scorer", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
