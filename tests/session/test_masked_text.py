"""Actions on a text and its masked heads: what each changes, tells and takes back."""

from __future__ import annotations

import pytest
from support.sessions import listen, scores_of

import workbench as wb

TEXT = "Toggle one head, then another."


@pytest.fixture
def session(tiny):
    return wb.Session(tiny, TEXT, "L0H1 L2H3", scores=scores_of(tiny))


ACTIONS = {
    "mask": (lambda s: s.mask("L1H1, l2h0"), {"heads": "L1H1 L2H0"}),
    "mask pairs": (lambda s: s.mask(iter([(1, 1)])), {"heads": "L1H1"}),
    "toggle": (lambda s: s.toggle("L0H1 L1H1"), {"heads": "L1H1 L2H3"}),
    "toggle a head": (lambda s: s.toggle(wb.Head(0, 1)), {"heads": "L2H3"}),
    "toggle a set": (lambda s: s.toggle(~s.heads | s.heads), {"heads": None}),
    "layer": (lambda s: s.toggle_layer(0), {"heads": "L0H0 L0H1 L0H2 L0H3 L2H3"}),
    "head": (lambda s: s.toggle_head(3), {"heads": "L0H1 L0H3 L1H3 L2H3"}),
    "top": (lambda s: s.top(2), {"heads": None}),
    "top 0": (lambda s: s.top(0), {"heads": ""}),
    "random": (lambda s: s.random(1), {"heads": None, "control_of": "L0H1 L2H3"}),
    "invert": (lambda s: s.invert(), {"heads": None}),
    "clear": (lambda s: s.clear(), {"heads": ""}),
    "mode": (lambda s: s.set_mode("zero"), {"mode": "zero"}),
    "against": (lambda s: s.compare_with("L1H1"), {"against": "L1H1"}),
    "read": (lambda s: s.read("<b>another</b> text\n"), {"text": "<b>another</b> text\n"}),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_changes_its_part_tells_it_and_can_be_taken_back(session, name):
    act, changes = ACTIONS[name]
    before, heard = session.state, listen(session)
    act(session)
    after = session.state
    parts = {**vars(before)}
    for part, value in changes.items():
        parts[part] = vars(after)[part]
        if value is not None:
            assert str(parts[part]) == value
    assert vars(after) == parts  # nothing else moved
    assert after != before
    recoloured = ["colours"] if {"text", "mode"} & {*changes} else []
    assert heard == ["state", *recoloured]
    assert (session.heads, session.mode, session.text) == (after.heads, after.mode, after.text)

    assert session.undo() is True
    assert session.state == before
    assert session.redo() is True
    assert session.state == after
    assert heard == 3 * ["state", *recoloured]
    session.undo()
    session.mask("L2H2")
    assert session.redo() is False  # what came after is another story now


def test_the_sets_that_have_no_name_are_right(session, tiny):
    expected = set(session.heads)
    session.invert()
    assert set(session.heads) == {(a, b) for a in range(3) for b in range(4)} - expected
    session.undo()
    session.toggle_layer(0)
    session.toggle_layer(0)
    assert str(session.heads) == "L2H3"  # all of a layer masked: the whole layer goes
    session.mask("L1H3 L2H3")
    session.toggle_head(3)
    assert str(session.heads) == "L0H3 L1H3 L2H3"
    session.toggle_head(3)
    assert str(session.heads) == ""
    ranked = scores_of(tiny).sort_values("score", ascending=False)[["layer", "head"]].to_numpy()
    for count in range(12):
        session.top(count)
        assert set(session.heads) == {(a, b) for a, b in ranked[:count].tolist()}
    for count in (-1, 12):
        with pytest.raises(ValueError, match=f"between 0 and 11, got {count}"):
            session.top(count)


def test_random_heads_stand_for_the_set_they_replaced(session):
    chosen, drawn = session.heads, []
    for seed in range(6):
        session.random(seed)
        drawn.append(session.heads)
        assert len(session.heads) == len(chosen)
        assert not session.heads & chosen  # not a control for the last control
        assert session.state.control_of == chosen
    assert len(set(drawn)) > 3
    session.set_mode("zero")
    session.compare_with(chosen)
    session.read("another text")
    session.random(0)
    assert session.heads == drawn[0]
    assert session.state.control_of == chosen
    session.toggle("L1H1")
    assert session.state.control_of is None
    session.random(0)
    assert session.state.control_of == drawn[0] ^ wb.HeadSet.parse("L1H1", session.model)


def test_what_changes_nothing_is_no_step(session):
    heard = listen(session)
    session.mask("l2h3 L0H1")
    session.set_mode("uniform")
    session.read(TEXT)
    session.compare_with()
    assert heard == []
    assert session.undo() is session.redo() is False
    assert not session.history.can_undo
    session.clear()
    assert session.history.can_undo
    session.undo()
    assert session.history.can_redo


def test_there_is_no_control_for_no_heads(tiny):
    with pytest.raises(ValueError, match="nothing to draw a control for"):
        wb.Session(tiny, TEXT).random()
