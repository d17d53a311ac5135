"""Mixtures to train proxies on: around what is at hand, never more often than allowed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import workbench as wb

TOKENS = {"web": 9e6, "code": 4e6, "math": 1e6}


def test_draws_are_mixtures_around_the_roots_of_what_is_at_hand():
    plan = wb.sample_mixtures(TOKENS, n=3000, seed=0, repeats=1e6)
    assert list(plan) == list(TOKENS)
    assert plan.shape == (3000, 3)
    np.testing.assert_allclose(plan.sum(axis=1), 1, atol=1e-12)
    assert (plan >= 0).all(axis=None)
    # The mean of a Dirichlet distribution is its centre: here 3 : 2 : 1.
    assert plan.mean().tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6], abs=0.02)
    assert (plan.max(axis=1) > 0.99).mean() > 0.2  # hardly more than one domain
    assert ((plan > 0) & (plan < 2e-4)).sum(axis=None) == 0


def test_the_seed_settles_them():
    plan = wb.sample_mixtures(TOKENS, n=20, seed=3)
    pd.testing.assert_frame_equal(plan, wb.sample_mixtures(pd.Series(TOKENS), n=20, seed=3))
    assert not plan.equals(wb.sample_mixtures(TOKENS, n=20, seed=4))


@pytest.mark.parametrize(("run_tokens", "repeats"), [(None, 1.5), (7e6, 2), (28e6, 4)])
def test_no_domain_is_read_more_often_than_allowed(run_tokens, repeats):
    plan = wb.sample_mixtures(TOKENS, n=50, run_tokens=run_tokens, repeats=repeats)
    read = plan * (sum(TOKENS.values()) if run_tokens is None else run_tokens)
    times = read / pd.Series(TOKENS)
    assert len(plan) == 50
    assert (times <= repeats + 1e-9).all(axis=None)


def test_what_cannot_be_drawn():
    with pytest.raises(ValueError, match="shorten the run, or allow more repeats"):
        wb.sample_mixtures(TOKENS, run_tokens=1e9, repeats=4)
    with pytest.raises(ValueError, match="draws keep to the highest shares"):
        wb.sample_mixtures(TOKENS, n=10**4, run_tokens=14e6, repeats=1.0001)
    for tokens in ({"web": 1}, {"web": 1, "code": 0}, {"web": 1, "code": np.nan}):
        with pytest.raises(ValueError, match="two domains or more with tokens above 0"):
            wb.sample_mixtures(tokens)
    for wrong in ({"n": 0}, {"repeats": 0}, {"run_tokens": -1}):
        with pytest.raises(ValueError, match="above 0"):
            wb.sample_mixtures(TOKENS, **wrong)
