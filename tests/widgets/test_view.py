"""What the Python side of a view does when the browser says that it loaded too late."""

from __future__ import annotations

from widgets.views.scatter import Scatter


def test_a_late_view_gets_its_state_anew_each_time(monkeypatch):
    view, sent = Scatter(), []
    assert view.own_id == view.model_id  # by which the browser finds it
    monkeypatch.setattr(view, "send_state", lambda key=None: sent.append(key))
    for _ in range(2):
        sent.clear()
        view.set_state({"late": True})  # as it comes from the browser
        assert None in sent  # all of it
        assert not view.late
