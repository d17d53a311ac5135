"""Other scores of the same documents, to hold AttentionInfluence against.

And ways past its confounds that need no new pass through the model.

Every scorer is a column of the score table: higher is chosen first. A user's own column (an
educational classifier, for example) stands beside them under its own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from workbench.core.frames import TableLike, frame_of
from workbench.selection.rank_agreement import agreement
from workbench.selection.ranking import By, rank, select, with_values
from workbench.selection.residual import residual

BUILT_IN = ("score", "rise", "residual", "perplexity", "length", "compression", "random")


def scorers(table: TableLike, *, seed: int = 0) -> pd.DataFrame:
    """Add a column for each built-in scorer to a score table.

    Args:
        table: the score table of `score_corpus`, or a frame with its columns, such as that of
            `novel_scores`.
        seed: of the random scorer; with one seed, the same text always draws the same value.

    Returns:
        A frame: the rows of the table with one more float column a scorer, of which higher is
        better:

        - rise: loss_ref - loss_base, nats a token, if the table lacks it: the score without the
          division that lets a low base loss raise it. `difference` is its older name.
        - residual: what is left of the rank of the score when those of base loss, compression
          ratio and length are taken out (`workbench.selection.residual`).
        - perplexity: exp(loss_base).
        - length: tokens.
        - compression: the compression ratio (low: repetitive).
        - random: uniform in [0, 1).
        - novel: the score over novel tokens (score_novel), where the table has it; missing where no
          token is novel.

    Raises:
        ValueError: where `select` would refuse the table.
        TypeError: `table` is neither a score table nor a frame.
    """
    ranked = rank(table)
    rows = frame_of(table).copy(deep=False)
    if "rise" not in rows:
        rows["rise"] = rows["loss_ref"] - rows["loss_base"]
    rows["difference"] = rows["rise"]
    rows["residual"] = residual(rows)
    rows["perplexity"] = np.exp(rows["loss_base"])
    rows["length"] = rows["tokens"].astype(float)
    rows["compression"] = rows["compression_ratio"]
    if "score_novel" in rows:
        rows["novel"] = rows["score_novel"]
    by_text = ranked.sort_values(["text_sha256", "source", "row"])
    draws = pd.Series(np.random.default_rng(seed).random(len(by_text)), index=_keys(by_text))
    rows["random"] = draws[_keys(rows)].to_numpy()
    return rows


def chosen_by(
    table: TableLike, scorer: str, fraction: float = 0.20, by: By = "documents"
) -> pd.DataFrame:
    """`select(table, fraction, by, by_score=scorer).table`, the scorer's values as its score.

    This is from before `select` had `by_score`.

    Args:
        table: as in `select`.
        scorer: as `by_score` in `select`.
        fraction: as in `select`.
        by: as in `select`.

    Returns:
        The table of the `Selection`, whose column `score` holds the values of the scorer.

    Raises:
        ValueError: where `select` would.
    """
    chosen = select(table, fraction, by, by_score=scorer).table
    return chosen.assign(score=chosen[scorer].astype(float))


def compare_scorers(
    table: TableLike,
    names: Sequence[str] = BUILT_IN,
    fraction: float = 0.20,
    by: By = "documents",
) -> pd.DataFrame:
    """Spearman correlation and overlap at the cut of every pair of scorers, inside each domain.

    Args:
        table: what `scorers` returned, with columns of the user's own if there are any.
        names: the columns to compare, two or more.
        fraction: share to choose in every domain, as in `select`.
        by: "documents" or "tokens", what the share is of, as in `select`.

    Returns:
        The columns one and other (names of the pair), then those of `agreement`: one row a pair and
        domain.

    Raises:
        ValueError: for fewer than two names, a name that comes twice, or a scorer without values.
    """
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ValueError(f"names must be two scorers or more, each once; got {list(names)}")
    tables = {name: scored_by(table, name) for name in names}
    parts = []
    for one, other in combinations(names, 2):
        part = agreement(tables[one], tables[other], fraction, by)
        part.insert(0, "one", one)
        part.insert(1, "other", other)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def selected_only_by(
    table: TableLike,
    scorer: str,
    others: Sequence[str],
    fraction: float = 0.20,
    by: By = "documents",
) -> pd.DataFrame:
    """The documents that one scorer chooses and none of the others does.

    Args:
        table: the score table with the columns of all these scorers.
        scorer: name of the column that chooses.
        others: names of the columns that must not choose the document.
        fraction: share to choose in every domain, as in `select`.
        by: "documents" or "tokens", what the share is of, as in `select`.

    Returns:
        The rows of `select` for these documents, by domain and best first.

    Raises:
        ValueError: for a scorer that is no column or has no value.
    """

    def chosen(name: str) -> pd.DataFrame:
        ranked = select(table, fraction, by, by_score=name).table
        return ranked[ranked["selected"]]

    key = ["domain", "source", "row"]
    taken: set[tuple[object, ...]] = set()
    for name in others:
        taken |= set(chosen(name)[key].itertuples(index=False, name=None))
    own = chosen(scorer)
    is_alone = [row not in taken for row in own[key].itertuples(index=False, name=None)]
    return own[is_alone].reset_index(drop=True)


def largest_rank_changes(table: TableLike, names: Sequence[str], top: int = 3) -> pd.DataFrame:
    """The documents that rise most when another scorer takes the place of the score.

    A rise is the difference of the ranks inside the domain, divided by its documents: from last to
    first is just under 1. Only documents that both rank count.

    Args:
        table: a score table with the columns of `scorers`.
        names: the other scorers.
        top: rows a scorer and domain.

    Returns:
        `top` rows a scorer and domain, the largest rise first: scorer, domain, doc_id, rise, rank
        (by the scorer), rank_by_score, documents (of the domain), compression_ratio, loss_base,
        tokens.

    Raises:
        ValueError: for `top` below 1, and for a scorer that is no column or has no value.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    key, frame = ["domain", "source", "row"], frame_of(table)
    parts = []
    for name in names:
        both = with_values(frame, name)
        plain = rank(both)[[*key, "rank"]]
        other = rank(both, name).merge(plain, on=key, suffixes=("", "_by_score"))
        other["documents"] = other.groupby("domain")["rank"].transform("size")
        other["rise"] = (other["rank_by_score"] - other["rank"]) / other["documents"]
        other = other.sort_values(
            ["domain", "rise", "rank"], ascending=[True, False, True], ignore_index=True
        )
        part = other.groupby("domain", sort=True).head(top)
        part.insert(0, "scorer", name)
        parts.append(part)
    columns = [
        "scorer", "domain", "doc_id", "rise", "rank", "rank_by_score", "documents",
        "compression_ratio", "loss_base", "tokens",
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)[columns]


def matched_selection(
    table: TableLike,
    fraction: float = 0.20,
    on: Sequence[str] = ("compression_ratio",),
    strata: int = 5,
) -> pd.DataFrame:
    """Choose the top share inside strata of a confound, so that the choice is spread over it.

    Each domain is cut into strata of about equal size by each column of `on` (the strata of several
    columns are crossed), and the top `fraction` of every stratum is chosen: the selection then has
    the confound's distribution of the whole domain. Every stratum gives at least one document, so
    small strata give more than their share.

    Args:
        table: a score table.
        fraction: share to choose in every stratum, in (0, 1].
        on: the columns to match on.
        strata: how many strata to cut each column into, at least 2.

    Returns:
        A frame: the rows of the table with the columns stratum (text), selected (bool), and matched
        (the share of its stratum that a document leaves behind, just under 1 for the first: the
        same choice as a scorer, to be compared with others).

    Raises:
        ValueError: for fewer than two strata, no column to match on, or one that is not there.
    """
    if strata < 2 or not on:
        raise ValueError(f"matching needs two strata or more of some column, got {strata}, {on}")
    frame = frame_of(table)
    lacking = [name for name in on if name not in frame]
    if lacking:
        raise ValueError(f"the score table lacks the columns {lacking} to match on")
    names = pd.Series("", index=frame.index)
    for column in on:
        groups = frame.groupby("domain", sort=False)[column]
        place = groups.rank(method="first") - 1
        stratum = (place * strata // groups.transform("size")).astype(int)
        names += stratum.map(lambda number, column=column: f" {column} {number + 1}/{strata}")
    split = frame.assign(domain=frame["domain"] + names)
    chosen = select(split, fraction).table
    size = chosen.groupby("domain", sort=False)["rank"].transform("size")
    chosen["matched"] = 1 - chosen["rank"] / (size + 1)
    in_order = chosen.set_index(["source", "row"]).loc[_keys(frame)]
    return frame.assign(
        stratum=names.str.strip(),
        selected=in_order["selected"].to_numpy(dtype=bool),
        matched=in_order["matched"].to_numpy(),
    )


def scored_by(table: TableLike, scorer: str) -> pd.DataFrame:
    """Put the values of a scorer in the place of the score.

    Args:
        table: a score table with the column of the scorer.
        scorer: name of the column.

    Returns:
        A frame: the rows that have a value, whose column `score` holds it.

    Raises:
        ValueError: where `select` could not rank by it.
    """
    rows = with_values(frame_of(table), scorer)
    return rows.assign(score=rows[scorer].astype(float))


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(table[["source", "row"]])
