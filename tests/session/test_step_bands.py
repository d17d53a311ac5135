"""Bands of steps: every token once, in order, and the influence that `session.steps` states."""

from __future__ import annotations

import numpy as np
import pytest

import workbench as wb
from workbench.masking.token_changes import CONTINUED, TokenChanges
from workbench.session.step_bands import bands_of, in_words

SOLVED = (
    "There are 3 boxes. Each holds 4 pens, so 12 pens.\n\n"
    "The na\u00efve \U0001f9e0 answer is 7.\n\nBut 12 less 5 is 7! So the answer is 7."
)


@pytest.mark.parametrize("by", ["blank line", "sentence", lambda text: [text[:1], text[1:]]])
def test_bands_hold_every_token_once_and_add_up_to_the_steps(tiny, by):
    session = wb.Session(tiny, SOLVED, "L1H0 L2H2")
    changes, table = session.changes(), session.steps(by)
    bands = bands_of(changes, by)
    assert len(bands) > 1
    assert [b.first for b in bands] == [0, *(b.last for b in bands[:-1])]
    assert bands[-1].last == len(changes.pieces)
    for band in bands:
        row = table.iloc[band.step]
        assert (band.tokens, band.change) == (row["tokens"], row["change"])
        own = (changes.after - changes.before)[band.first : band.last]
        assert band.change == pytest.approx(float(np.nansum(own)), abs=1e-6)
    assert sum(b.change for b in bands) == table["change"].sum()
    assert {b.step for b in bands} == set(table.index[table["tokens"] > 0]) | {0}


def losses(*pieces):
    n = len(pieces)
    return TokenChanges(pieces, (0,) * n, np.ones(n, np.float32), np.full(n, 1.5, np.float32))


def test_a_character_of_several_tokens_is_of_the_step_in_which_it_ends():
    """By hand: the first sentence ends inside the fourth token, which is of the second then."""
    changes = losses("\u00e9", CONTINUED, " a", ". b", ".")
    bands = bands_of(changes, "sentence")
    assert [(b.step, b.first, b.last, b.change) for b in bands] == [(0, 0, 3, 1.5), (1, 3, 5, 1.0)]


def test_a_text_without_steps_has_no_band():
    assert bands_of(losses(), "sentence") == []
    with pytest.raises(ValueError, match="steps are cut by blank line, sentence or a function"):
        bands_of(losses("a"), "paragraph")


def test_the_words_of_a_band():
    down, single = bands_of(losses("a", "."), lambda text: ["a", "."])
    assert in_words(single, 2) == "step 2 of 2: +0.50 nats over 1 token (+50 %)"
    falls = down._replace(change=-1.25, tokens=1200, rise=-0.1)
    assert in_words(falls, 2) == "step 1 of 2: \u22121.25 nats over 1,200 tokens (\u221210 %)"
    assert in_words(down._replace(tokens=0), 2) == "step 1 of 2: no token of it is predicted"
    assert in_words(down._replace(rise=float("nan")), 2).endswith("over 1 token")
