"""Does another form of a selector find the same heads and choose the same documents?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from workbench.detection.probes import Probes
from workbench.detection.retrieval import retrieval_scores
from workbench.models.heads import HeadSet
from workbench.models.model import Model
from workbench.scoring.run import score_corpus
from workbench.selection.rank_agreement import agreement


@dataclass(frozen=True, eq=False)
class SelectorAgreement:
    """How far two selectors agree, each with the heads that it finds itself.

    Attributes:
        heads: of the first.
        other_heads: of the other.
        jaccard: heads in both over heads in either, from 0 to 1.
        head_spearman: correlation of the scores of all heads.
        selection: one row a domain, as `agreement` gives it: spearman, chosen, overlap, ...
    """

    heads: HeadSet
    other_heads: HeadSet
    jaccard: float
    head_spearman: float
    selection: pd.DataFrame

    def __repr__(self) -> str:
        overlap = (self.selection["overlap"] * self.selection["chosen"]).sum()
        share = overlap / self.selection["chosen"].sum()
        return (
            f"SelectorAgreement: heads {self.jaccard:.2f} (Jaccard; scores of all heads "
            f"{self.head_spearman:.3f}, Spearman), {share:.0%} of the chosen documents in both"
        )


def selector_agreement(
    model: Model,
    other: Model,
    probes: Probes,
    corpus: Any,
    *,
    heads_fraction: float = 0.05,
    fraction: float = 0.20,
    **settings: Any,
) -> SelectorAgreement:
    """Compare a selector with another form of it, such as `load_model(simulate="nf4")`.

    Args:
        model: the selector.
        other: the other form, with the same tokenizer and number of heads.
        probes: to find the heads of both with.
        corpus: to score with both, as in `score_corpus`; not one that can be read only once.
        heads_fraction: share of all heads that are masked.
        fraction: share of each domain to choose, as in `select`.
        **settings: of `score_corpus`, such as max_tokens and mode.

    Returns:
        How far they agree on heads and on documents.

    Raises:
        ValueError: the heads are of two geometries or not determined (`HeadSet.top`), or the corpus
            or a setting cannot be had.
    """
    scores = [retrieval_scores(selector, probes) for selector in (model, other)]
    heads, others = (HeadSet.top(each, heads_fraction) for each in scores)
    values = [each.frame.sort_values(["layer", "head"])["score"].to_numpy() for each in scores]
    first = score_corpus(model, heads, corpus, **settings)
    second = score_corpus(other, others, corpus, **settings)
    return SelectorAgreement(
        heads, others, heads.jaccard(others), float(stats.spearmanr(*values).statistic),
        agreement(first, second, fraction),
    )  # fmt: skip
