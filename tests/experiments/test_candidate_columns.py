"""Columns on a document whose losses are written down, and matches against a plain search."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.candidate_columns import COLUMNS, earlier_matches

IDS = np.array([7, 8, 9, 7, 5, 8, 9, 7])
BASE = np.array([2.0, 2.0, 1.0, 2.0, 1.0, 1.0, 1.0])
MASKED = BASE + np.array([0.0, 0.0, 1.0, 0.0, 2.0, 0.6, 0.4])
CONTROLS = np.stack([BASE + 0.1, BASE + 0.3])


def plain_matches(ids, most):
    matched, back = [], []
    for t, token in enumerate(ids):
        best = (-1, 0)
        for j in range(t):
            length = 0
            while length < min(most, j) and ids[j - 1 - length] == ids[t - 1 - length]:
                length += 1
            if ids[j] == token:
                best = max(best, (length, j))
        matched.append(best[0])
        back.append(t - best[1] if best[0] >= 0 else 0)
    return matched, back


@pytest.mark.parametrize("seed", range(20))
def test_matches_are_those_of_a_plain_search(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, rng.integers(1, 6), size=rng.integers(1, 60)) * 1_000
    most = int(rng.integers(1, 7))
    matched, back = earlier_matches(ids, most)
    assert (matched.tolist(), back.tolist()) == plain_matches(ids, most)


def test_values_worked_out_by_hand():
    values = {name: column(IDS, BASE, MASKED, CONTROLS) for name, column in COLUMNS.items()}
    assert values["raw"] == pytest.approx(4.0 / 10)
    assert values["low base loss"] == pytest.approx(-10 / 7)
    assert values["nats"] == pytest.approx(4 / 7)
    assert values["novel"] == pytest.approx(3.0 / 8)  # without the last two, which repeat bigrams
    assert values["random heads"] == pytest.approx(1.4 / 10)
    assert values["excess"] == pytest.approx(4 / 7 - 0.2)
    # 7 and 8 came before in another context; 8, 9 and 5 never.
    assert values["contrast"] == pytest.approx((1.0 + 2.0) / 2 - 0)
    # Distances 3, 4, 4, 4 of 8; in full .5, 1, .1 and 0.
    taken = 0.5 + 1 + 0.1
    assert values["fetched"] == pytest.approx(((0.5 * 3 + 1 * 4 + 0.1 * 4) / 8 - 0.02 * taken) / 7)
    assert values["far tokens, no model"] == pytest.approx((3 + 4 + 4 + 4) / 8 / 7)
    assert values["fetched, random heads"] == 0


def test_what_a_document_does_not_have_is_none():
    ids, base = np.array([3, 3, 3, 3]), np.ones(3)
    none = np.zeros((0, 3))
    assert COLUMNS["contrast"](ids, base, base, none) is None
    assert COLUMNS["excess"](ids, base, base, none) is None
    assert COLUMNS["random heads"](ids, base, base, none) is None
    assert COLUMNS["fetched, random heads"](ids, base, base, none) is None
    assert COLUMNS["fetched"](ids, base, base + 2, none) > 0


def test_verbatim_repetition_is_not_fetched():
    passage = np.arange(12)
    ids = np.concatenate([passage, passage])
    base = np.ones(23)
    value = COLUMNS["fetched"](ids, base, base + 2.0, np.zeros((0, 23)))
    assert value == pytest.approx(6 * 0.5 / 23 - 0.02)  # six tokens, until more than five match
