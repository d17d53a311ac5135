"""`Explorer()` says what it waits for, from the start until it stands."""

from __future__ import annotations

import pytest
from support.models import make_model
from support.sessions import scores_of

from widgets import Explorer, default_model
from widgets.default_model import CHECKING, LOADING


@pytest.fixture
def said(monkeypatch):
    """What stands in the line, oldest first, as a notebook is told."""
    said = []

    class Line:
        def update(self, data, raw):
            assert raw
            said.append(data["text/plain"])

    def display(data, raw, display_id):
        assert raw
        assert display_id  # else it could not be changed
        return Line()

    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(default_model, "get_ipython", object)
    monkeypatch.setattr(default_model, "display", display)
    return said


@pytest.fixture
def at(monkeypatch, said):
    """Another, small model; what the line said when its parts were done."""
    model, at = make_model(), {}

    def load_model(certify):
        assert not certify  # it is a step of its own
        at["loading"] = said[-1:]
        return model

    def warn(checked):
        assert checked is model
        at["checking"] = said[-1:]

    monkeypatch.setattr(default_model, "load_model", load_model)
    monkeypatch.setattr(default_model, "warn_unless_certified", warn)
    monkeypatch.setattr(default_model, "default_scores", scores_of)
    return at


def test_the_line_says_what_is_being_done_and_is_empty_once_the_explorer_stands(said, at):
    explorer = Explorer(text="one two three")
    try:
        assert at == {"loading": [LOADING], "checking": [CHECKING]}
        assert said == [LOADING, CHECKING, ""]
        assert explorer.session.scores is not None
        assert explorer.wait(60)
    finally:
        explorer.close()


def test_the_line_is_empty_after_an_error(said, at, monkeypatch):
    def broken(certify):
        raise RuntimeError("the default model cannot be had")

    monkeypatch.setattr(default_model, "load_model", broken)
    with pytest.raises(RuntimeError, match="cannot be had"):
        Explorer()
    assert said == [LOADING, ""]


def test_nothing_is_said_where_progress_is_silent(said, at, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    default_model.load_default()
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setattr(default_model, "get_ipython", lambda: None)
    default_model.load_default()
    assert said == []


def test_the_check_is_that_of_loading(monkeypatch):
    """Split in two so that each can be said, loading still warns as before."""
    model = make_model()
    monkeypatch.setattr(default_model, "load_model", lambda certify: model)
    monkeypatch.setattr(default_model, "default_scores", scores_of)
    monkeypatch.setattr(model, "from_nowhere", ("lm_head.weight",))
    with pytest.warns(UserWarning, match="checks of this model failed"):
        default_model.load_default()
