"""Mixtures to train proxies on: draws around the shares of the tokens at hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

STRENGTHS = np.geomspace(0.1, 5, 15)  # of the Dirichlet draws, as in RegMix
NO_SHARE = 2e-4  # below this a drawn share is set to 0, as in RegMix
ROUNDS = 1000  # of one draw a strength


def sample_mixtures(
    tokens: Mapping[str, float] | pd.Series,
    n: int = 64,
    seed: int = 0,
    *,
    run_tokens: float | None = None,
    repeats: float = 15.0,
) -> pd.DataFrame:
    """Draw mixtures to train proxies on, as RegMix does (Liu et al., arXiv 2407.01492).

    Each is a draw from a Dirichlet distribution. Its centre are the roots of the shares at hand,
    which lifts small domains; its strength goes from .1 (hardly more than one domain) to 5.

    Args:
        tokens: the tokens at hand of each domain; their shares do as well.
        n: how many mixtures.
        seed: of the draws.
        run_tokens: how many tokens one run reads, in the unit of `tokens`; None: as many as there
            are.
        repeats: how often a run may read the tokens of one domain; a mixture that asks for more is
            drawn again. RegMix takes 15.

    Returns:
        Shares, one row a mixture, one column a domain, each row summing to 1.

    Raises:
        ValueError: there are fewer than two domains, a number of tokens is not above 0, or no or
            hardly any mixture keeps to the repetitions.
    """
    at_hand = pd.Series(tokens, dtype=float)
    sound = (np.isfinite(at_hand) & (at_hand > 0)).all()
    run_tokens = at_hand.sum() if run_tokens is None else run_tokens
    if len(at_hand) < 2 or not sound or n < 1 or not repeats > 0 or not run_tokens > 0:
        raise ValueError(
            "a mixture takes two domains or more with tokens above 0, n from 1, and repeats and "
            f"run_tokens above 0; got {at_hand.to_dict()!r:.200}, n={n}, repeats={repeats}, "
            f"run_tokens={run_tokens}"
        )
    highest = repeats * at_hand.to_numpy() / run_tokens
    if not highest.sum() > 1:
        raise ValueError(
            f"a run of {run_tokens:.3g} tokens reads the {at_hand.sum():.3g} at hand more than "
            f"{repeats:g} times in any mixture: shorten the run, or allow more repeats"
        )
    centre = np.sqrt(at_hand.to_numpy())
    rng, drawn = np.random.default_rng(seed), np.zeros((0, len(at_hand)))
    for _ in range(ROUNDS):
        shares = np.stack([rng.dirichlet(centre / centre.sum() * s) for s in STRENGTHS])
        shares = np.where(shares < NO_SHARE, 0, shares)
        shares /= shares.sum(axis=1, keepdims=True)
        drawn = np.vstack([drawn, shares[(shares <= highest).all(axis=1)]])
        if len(drawn) >= n:
            return pd.DataFrame(drawn[:n], columns=at_hand.index)
    limits = dict(zip(at_hand.index, highest.round(3).tolist(), strict=True))
    raise ValueError(
        f"only {len(drawn)} of {ROUNDS * len(STRENGTHS)} draws keep to the highest shares that "
        f"the repeats allow, {limits!r:.300}: allow more repeats, or shorten the run"
    )
