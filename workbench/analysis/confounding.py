"""What the score goes along with: the confounds that must stand beside every ranking.

The score rises with repetition and with boilerplate, falls with base loss, and may follow length
(`workbench/METHOD.md`). None of that is removed here; it is measured, inside each domain, so that
nobody mistakes a repetitive document for a reasoning one unawares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from workbench.core.frames import TableLike, frame_of
from workbench.core.intervals import LEAST, percentile_interval, spearman_interval
from workbench.corpus.boilerplate import SharedNgrams
from workbench.selection.alternative_scores import BUILT_IN, scored_by
from workbench.selection.rank_agreement import without_variation


def confound_values(table: TableLike, shared: SharedNgrams | None = None) -> pd.DataFrame:
    """The confounds of every document.

    Args:
        table: a score table (`score_corpus`), or a frame with its columns.
        shared: what `shared_ngrams` measured of its documents; None: without that column.

    Returns:
        With the index of the table, a float column a confound:

        - repetition: share of the scored tokens that are not novel, those that the same preceding
          token has led to before in what was read (1 - predicted_novel / predicted); missing in
          tables that were scored before there was a column predicted_novel.
        - loss_base: nats a scored token.
        - tokens: of the whole document.
        - random_heads: the score that the control sets give, rise_controls / loss_base, which is
          damage that masking any heads does; only where the table was scored with `controls=`,
          missing for documents without them.
        - shared_ngrams: share of the document's n-grams that stand in other documents; missing
          where it is in `shared`.

    Raises:
        ValueError: `shared` lacks a document of the table.
    """
    rows = frame_of(table)
    values = pd.DataFrame(index=rows.index)
    values["repetition"] = np.nan
    if "predicted_novel" in rows:
        values["repetition"] = 1 - rows["predicted_novel"].astype(float) / rows["predicted"]
    values["loss_base"] = rows["loss_base"].astype(float)
    values["tokens"] = rows["tokens"].astype(float)
    if "rise_controls" in rows and rows["rise_controls"].notna().any():
        values["random_heads"] = rows["rise_controls"].astype(float) / values["loss_base"]
    if shared is not None:
        values["shared_ngrams"] = shared.of(table)["share"].astype(float)
    return values


def confounds(
    table: TableLike, *, shared: SharedNgrams | None = None, draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Spearman correlation of the score with each confound, inside each domain.

    Args:
        table: a score table (`score_corpus`), or a frame with its columns.
        shared: what `shared_ngrams` measured of the corpus, so that boilerplate is among the
            confounds; None: it is not.
        draws: bootstrap draws of documents.
        seed: of the draws.

    Returns:
        One row a domain and confound: domain, confound (a column of `confound_values`), documents
        (that have a value), spearman, low, high (95 % percentile bootstrap over documents) and
        reason. Where no correlation can be formed the three are missing, and reason says why in
        words; else it is empty.

    Raises:
        ValueError: `shared` lacks a document of the table.
    """
    rng = np.random.default_rng(seed)
    table = frame_of(table).reset_index(drop=True)
    values = confound_values(table, shared)
    rows = []
    for domain, part in table.groupby("domain", sort=True):
        every = rng.integers(0, len(part), size=(draws, len(part)))  # the same for each confound
        for name in map(str, values.columns):
            other = values[name][part.index].to_numpy(float)
            pair = np.stack([part["score"].to_numpy(float), other])
            known = ~np.isnan(pair).any(axis=0)
            score, other = pair[:, known]
            value = low = high = np.nan
            reason = _no_correlation(name, score, other)
            if not reason:
                count = len(score)
                picks = every if known.all() else rng.integers(0, count, size=(draws, count))
                value = float(stats.spearmanr(score, other).statistic)
                low, high = spearman_interval(score[picks], other[picks])
            rows.append((domain, name, len(score), value, low, high, reason))
    columns = ["domain", "confound", "documents", "spearman", "low", "high", "reason"]
    return pd.DataFrame(rows, columns=columns)


def _no_correlation(name: str, score: np.ndarray, other: np.ndarray) -> str:
    """Why a score has no correlation with a confound; empty if it has one."""
    if len(other) < LEAST:
        documents = "1 document has" if len(other) == 1 else f"{len(other) or 'no'} documents have"
        hint = "" if len(other) else _MISSING.get(name, "")
        return f"{documents} a score and a value of {name}; a correlation needs {LEAST}{hint}"
    return without_variation({"the score": score, name: other})


_MISSING = {
    "repetition": " (the table has no predicted_novel: score it anew)",
    "random_heads": " (no control sets were masked for them)",
    "shared_ngrams": " (all documents have too few words)",
}


STATISTICS = ("tokens", "compression_ratio", "loss_base", "score")


def selection_statistics(
    selections: Mapping[str, pd.DataFrame], *, draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """What the chosen documents of several selections are like, side by side (the paper's Table 3).

    Args:
        selections: name to a ranked table with the column selected (`Selection.table`,
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


def scorer_confounds(
    table: TableLike, names: Sequence[str] = BUILT_IN, *, shared: SharedNgrams | None = None
) -> pd.DataFrame:
    """What every scorer goes along with.

    A scorer that is a confound (length, perplexity) correlates with itself by 1.

    Args:
        table: a score table.
        names: of the scorers, as `scored_by` knows them.
        shared: as in `confounds`.

    Returns:
        The rows of `confounds` for each, its name in the column scorer in front.

    Raises:
        ValueError: `shared` lacks a document of the table, or a scorer is not known.
    """
    parts, rows = [], frame_of(table)
    for name in names:
        missing = name in rows and rows[name].isna().all()  # which `scored_by` refuses
        scored = rows.assign(score=np.nan) if missing else scored_by(table, name)
        part = confounds(scored, shared=shared)
        part.insert(0, "scorer", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
