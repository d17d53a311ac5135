"""What the reader does while another thread sets the controls is done, and not taken for ours."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from support.models import make_model

import workbench as wb
from widgets import Explorer
from widgets.own_changes import OwnChanges

PATIENCE = 60


def test_a_change_belongs_to_the_thread_that_makes_it():
    ours, seen = OwnChanges(), []
    with ours.made():
        with ours.made():
            pass
        other = threading.Thread(target=lambda: seen.append(ours.under_way))
        other.start()
        other.join()
        seen.append(ours.under_way)
    assert (seen, ours.under_way) == ([False, True], False)
    with pytest.raises(ValueError, match="inside"), ours.made():
        raise ValueError("inside")
    assert not ours.under_way


@pytest.fixture
def session():
    model = make_model()
    layer, head = np.indices((model.num_layers, model.num_heads)).reshape(2, -1)
    scores = pd.DataFrame({"layer": layer, "head": head, "score": np.linspace(1, 0.01, len(layer))})
    return wb.Session(model, text="one two three one two three", scores=scores)


class Meanwhile:
    """One thread that stops while it sets the controls, and another on which the reader acts."""

    def __init__(self, control, trait: str) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()
        control.observe(self._stop, trait)
        self._first = True

    def _stop(self, _: object) -> None:
        if self._first:  # the controls are set once more after what the reader did
            self._first = False
            self.inside.set()
            assert self.go_on.wait(PATIENCE)

    def act(self, ours, readers, heard: threading.Event) -> None:
        """ours: what makes the controls follow; readers: what changes one of them, which reaches
        `heard` unless it is dropped."""
        first = threading.Thread(target=ours)
        first.start()
        assert self.inside.wait(PATIENCE)
        second = threading.Thread(target=readers)
        second.start()
        try:
            # Here the reader's thread either waits for the session or has dropped the click.
            while second.is_alive() and not heard.wait(0.01):
                pass
            assert heard.is_set(), "the click was taken for one of ours, and dropped"
        finally:
            self.go_on.set()
            first.join(PATIENCE)
            second.join(PATIENCE)


def byte_mask(session, *heads):
    mask = np.zeros((session.model.num_layers, session.model.num_heads), np.uint8)
    for head in heads:
        mask[head] = 1
    return mask.tobytes()


@pytest.mark.parametrize("clicked", ["mode", "grid", "names", "compare", "colour"])
def test_a_click_while_the_controls_follow_is_done(session, clicked, monkeypatch):
    method = {"mode": "set_mode", "grid": "mask", "names": "mask",
              "compare": "compare_with", "colour": "colour_by"}[clicked]  # fmt: skip
    heard = threading.Event()
    real = getattr(wb.Session, method)

    def hears(self, *args):
        if threading.current_thread().name == "reader":
            heard.set()
        return real(self, *args)

    monkeypatch.setattr(wb.Session, method, hears)
    explorer = Explorer(session)
    try:
        assert explorer.wait(PATIENCE)
        panel, bar = explorer.heads, explorer.toolbar
        changes = {
            "mode": lambda: setattr(bar.mode, "value", "zero"),
            "grid": lambda: setattr(panel.grid, "mask", byte_mask(session, (2, 3))),
            "names": lambda: setattr(bar.names, "value", "L2H3"),
            "compare": lambda: setattr(bar.compare, "value", True),
            "colour": lambda: setattr(panel.colour, "value", session.palette.names[-1]),
        }

        def reader() -> None:
            threading.current_thread().name = "reader"
            changes[clicked]()

        # The grid has changes of its own; the undo button comes before most other controls.
        place = (bar.undo, "disabled") if clicked != "grid" else (panel.grid, "mask")
        Meanwhile(*place).act(lambda: session.mask("L0H1"), reader, heard)
        assert explorer.wait(PATIENCE)
        assert explorer.status.error is None
        state = session.state
        assert state.mode == ("zero" if clicked == "mode" else "uniform")
        masked = {"grid": "L2H3", "names": "L2H3"}.get(clicked, "L0H1")
        assert str(state.heads) == masked
        assert str(state.against) == ("L0H1" if clicked == "compare" else "")
        if clicked == "colour":
            assert session.palette.colour_by == session.palette.names[-1]
        # And every control says what the session says.
        assert bar.mode.value == state.mode
        assert panel.grid.masked == state.heads
        assert bar.names.value == str(state.heads)
        assert bar.compare.value == bool(state.against)
        assert panel.colour.value == session.palette.colour_by
    finally:
        explorer.close()


@pytest.mark.parametrize("control", ["fraction", "by"])
def test_a_cut_while_another_is_shown_is_done(session, control, monkeypatch):
    rows = [{"id": str(i), "text": f"text {i} of many " * (i + 1)} for i in range(10)]
    session.mask("L0H1")
    session.score(rows)
    explorer = Explorer(session)
    heard = threading.Event()
    try:
        assert explorer.wait(PATIENCE)
        panel = explorer.selection
        queue = explorer.queues.corpus
        real = queue.do

        def hears(key, work, then):
            heard.set()
            real(key, work, then)

        monkeypatch.setattr(queue, "do", hears)
        moved = {"fraction": 0.7, "by": "tokens"}[control]
        Meanwhile(panel.fraction, "value").act(
            lambda: session.cut(0.4), lambda: setattr(getattr(panel, control), "value", moved),
            heard,
        )  # fmt: skip
        assert explorer.wait(PATIENCE)
        assert explorer.status.error is None
        chosen = session.corpus.selection
        assert (chosen.fraction, chosen.by) == {
            "fraction": (0.7, "documents"), "by": (0.4, "tokens"),
        }[control]  # fmt: skip
        assert (panel.fraction.value, panel.by.value) == (chosen.fraction, chosen.by)
    finally:
        explorer.close()
