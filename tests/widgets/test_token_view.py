"""The token view without a browser: what it sends, what it calls, and its scale."""

from __future__ import annotations

import json

import numpy as np
import pytest

import workbench as wb
from widgets import TokenView
from workbench.masking.token_changes import TokenChanges

TEXT = "one two three one two three"


def changes(*rises):
    """The losses of tokens that rise so much from 1 nat."""
    before = np.ones(len(rises), np.float32)
    return TokenChanges(("x",) * len(rises), (7,) * len(rises), before, before + rises)


@pytest.fixture
def view():
    made = TokenView()
    made.sent = []
    made.send = lambda content, buffers=None: made.sent.append(content)
    made.show(changes(3, 1), "no mask", "2 heads masked")
    return made


def test_a_locked_scale_stays_and_an_unlocked_one_fits(view):
    assert view.color_max == 3
    view.locked = True
    view.show(changes(12, 1), "no mask", "2 heads masked")
    assert view.color_max == 3
    view.locked = False
    assert view.color_max == 12
    view.show(changes(0.5, 1), "no mask", "2 heads masked")
    assert view.color_max == 1


def test_steps_become_bands_when_they_are_asked_for(tiny):
    """The bands are those of the session, and follow the mask."""
    session = wb.Session(tiny, "One. Two and three.\n\nFour", "L1H0")
    made = TokenView()
    made.show(session.changes(), "no mask", "1 head masked")
    assert made.steps == []
    made.step_by = "sentence"
    table = session.steps("sentence")
    assert len(made.steps) == len(table) == 3
    assert [first for first, _, _ in made.steps[1:]] == [last for _, last, _ in made.steps[:-1]]
    assert (made.steps[0][0], made.steps[-1][1]) == (0, len(made.tokens))
    for (_, _, words), row in zip(made.steps, table.itertuples(), strict=True):
        stated = f"step {row.step + 1} of 3: {row.change:+.2f} nats over {row.tokens} token"
        assert words.startswith(stated.replace("-", "\u2212"))
    before = made.steps
    session.mask("L2H1")
    made.show(session.changes(), "no mask", "2 heads masked")
    assert [step[:2] for step in made.steps] == [step[:2] for step in before]
    assert made.steps != before
    made.step_by = "blank line"
    assert len(made.steps) == 2
    made.step_by = ""
    assert made.steps == []
    json.dumps(before)


def test_a_question_of_where_heads_look_reaches_its_owner_while_it_is_of_this_text(view):
    asked = []
    view.on_look = asked.append
    view.handle(view, {"action": "look", "token": 1, "revision": view.revision})
    view.handle(view, {"action": "look", "token": 0, "revision": view.revision - 1})
    assert asked == [1]


def test_rows_go_to_the_browser_as_means_with_what_is_masked(view, tiny):
    session = wb.Session(tiny, TEXT, "L1H0")
    before, after = session.looks(9, "L1H0 L2H2")
    view.show_looks(9, view.revision, "the mean of 2 heads", before, after)
    (message,) = view.sent
    json.dumps(message)
    assert message["note"] == "1 of 2 masked"
    assert (message["chosen"], message["when"]) == ("the mean of 2 heads", "predicted")
    np.testing.assert_allclose(message["after"]["weights"], after.mean, atol=1e-4)
    np.testing.assert_allclose(message["before"]["weights"], before.mean, atol=1e-4)
    assert not message["after"]["masked"]
    view.show_looks(9, view.revision, "L1H0", *session.looks(9, "L1H0"))
    assert view.sent[-1]["note"] == "masked"
    assert view.sent[-1]["after"]["masked"]
    assert not view.sent[-1]["before"]["masked"]


def test_the_heads_that_a_token_needs_go_to_the_browser(view):
    view.show_needs(1, view.revision, [("L1H0", np.float32(0.5))], "no mask")
    assert json.loads(json.dumps(view.sent)) == [
        {"kind": "needs", "token": 1, "revision": view.revision, "heads": [["L1H0", 0.5]],
         "against": "no mask"}
    ]  # fmt: skip
