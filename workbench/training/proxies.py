"""Small decoders, each trained on another mixture of domains, whose losses say which mixture pays.

`sample_mixtures` draws the mixtures, and `fit_mixture` makes a law of what is measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerFast

from workbench.corpus.document import Document
from workbench.training.arms import MEAN, train_arms
from workbench.training.data import TokenRows
from workbench.training.pretraining import Recipe


@dataclass(frozen=True, eq=False, repr=False)
class ProxyRuns:
    """What `proxy_runs` measured; `fit_mixture(plan, proxies)` takes it as it is.

    Attributes:
        by_seed: one row a run and held-out domain: mixture (its label in the plan), seed, domain,
            loss (nats a token, at the end of the training).
        tokens: that each run has read.
    """

    by_seed: pd.DataFrame
    tokens: int

    @property
    def frame(self) -> pd.DataFrame:
        """The mean loss over seeds in nats a token, one row a mixture, one column a domain."""
        return self.by_seed.pivot_table("loss", "mixture", "domain", sort=False)

    @property
    def scatter(self) -> pd.DataFrame:
        """What tells mixtures apart, and what seeds make of it.

        One row a domain: domain, mixtures (standard deviation of `frame` over mixtures, in nats)
        and noise (that of a mean over seeds, of one and the same mixture). What a seed does to all
        mixtures alike is left out of the noise, since all have the same seeds.
        """
        rows = []
        for domain, part in self.by_seed.groupby("domain", sort=False):
            losses = part.pivot(index="mixture", columns="seed", values="loss").to_numpy()
            means = losses.mean(axis=1)
            rest = losses - means[:, None] - losses.mean(axis=0) + losses.mean()
            freedom = np.prod(np.array(losses.shape) - 1) * losses.shape[1]
            rows.append((domain, means.std(ddof=1), np.sqrt((rest**2).sum() / freedom)))
        return pd.DataFrame(rows, columns=["domain", "mixtures", "noise"])

    def __repr__(self) -> str:
        seeds = self.by_seed["seed"].nunique()
        return (
            f"ProxyRuns: {len(self.frame)} mixtures x {seeds} seeds, {self.tokens:,} tokens each; "
            "standard deviation of the losses over mixtures, and of their noise:\n"
            f"{self.scatter.round(4).to_string(index=False)}"
        )


def proxy_runs(
    documents: Sequence[Document],
    plan: pd.DataFrame,
    recipe: Recipe | None = None,
    *,
    tokenizer: PreTrainedTokenizerFast,
    held_out: Sequence[Document],
    seeds: Sequence[int] = (0, 1),
    out: str | Path | None = None,
) -> ProxyRuns:
    """Train one decoder for every mixture and seed, and read held-out text with it.

    All read the same number of tokens and, of one seed, begin with the same weights (`train_arms`).

    Args:
        documents: the training corpus. Its documents come so often that the tokens of each domain
            have the share of the mixture; inside a domain all come equally often.
        plan: shares, one row a mixture, one column a domain (`sample_mixtures`).
        recipe: how to train each; None: the defaults of `Recipe`.
        tokenizer: must have an end token.
        held_out: documents that are read at the end, by domain, and not trained on.
            `held_out_split` draws them.
        seeds: one run of every mixture a seed, two at least.
        out: a folder for checkpoints; a call that was stopped goes on from there. None: no folder.

    Returns:
        The losses by held-out domain.

    Raises:
        ValueError: the domains of the plan are not those of the documents, its labels are not
            unique, its shares are none, or as in `train_arms`.
    """
    recipe = recipe or Recipe()
    domains = [document.domain for document in documents]
    odd = sorted(set(domains) ^ set(plan.columns), key=str)
    if odd or not plan.index.is_unique:
        raise ValueError(
            f"the plan has the domains {list(plan.columns)!r:.200} and {len(plan)} labels, which "
            f"must be those of the documents, and unique; odd: {odd!r:.200}"
        )
    shares = plan.to_numpy(dtype=float)
    odd_rows = ~((shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) <= 1e-6))
    if odd_rows.any():
        first = int(odd_rows.argmax())
        raise ValueError(
            f"each row of the plan holds shares of 0 or more that sum to 1; row "
            f"{plan.index[first]!r:.50} holds {plan.iloc[first].to_dict()!r:.200}, which sum to "
            f"{shares[first].sum():.6g}: divide each row by its sum"
        )
    encoded = TokenRows(documents, tokenizer, recipe.decoder.context)
    tokens = pd.Series([len(ids) for ids in encoded.ids]).groupby(np.array(domains)).sum()
    often = plan * tokens.sum() / tokens[list(plan.columns)]  # how often a document comes
    arms = {str(place): often.iloc[place][domains].tolist() for place in range(len(plan))}
    trained = train_arms(
        documents, arms, recipe, tokenizer=tokenizer, held_out=held_out, seeds=seeds, out=out
    )
    course = trained.course
    last = course[(course["step"] == recipe.steps) & (course["domain"] != MEAN)]
    labels = plan.index[last["arm"].astype(int).to_numpy()]
    by_seed = last.assign(mixture=labels)[["mixture", "seed", "domain", "loss"]]
    return ProxyRuns(by_seed.reset_index(drop=True), recipe.steps * recipe.tokens_a_step)
