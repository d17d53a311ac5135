"""A live figure that a task queue and the browser change at once."""

from __future__ import annotations

import threading

import plotly.graph_objects as go

from widgets.views.live_figure import LiveFigure


class Held(LiveFigure):
    """Waits for `go_on` where a thread that is not `browser` puts a figure into the box."""

    def hold(self, browser):
        self.browser = browser
        self.inside, self.go_on, self.overtaken = (threading.Event() for _ in range(3))

    def __setattr__(self, name, value):
        if name == "children" and hasattr(self, "browser"):
            if threading.current_thread() is self.browser:
                self.overtaken.set()
            else:
                self.inside.set()
                assert self.go_on.wait(60)
        super().__setattr__(name, value)


def test_a_new_view_while_a_task_queue_shows_a_figure_leaves_an_open_one():
    """Whichever comes first, what stands in the box is the figure that is not closed."""
    live = Held()
    live.show(go.Figure(go.Bar(y=[1])))
    queue = threading.Thread(target=lambda: live.show(go.Figure(go.Bar(y=[2])), anew=True))
    browser = threading.Thread(target=live._renew)
    live.hold(browser)
    queue.start()
    assert live.inside.wait(60)
    browser.start()
    live.overtaken.wait(0.3)  # how surely a fault is seen; nothing else depends on it
    live.go_on.set()
    queue.join()
    browser.join()
    *_, shown = live.children
    assert shown is live.figure
    assert shown.comm is not None
    assert list(shown.data[0].y) == [2]


def test_a_figure_that_loaded_too_late_is_drawn_when_it_has_its_points(monkeypatch):
    """anywidget drops what is sent to it meanwhile, and that is all of plotly's points."""
    live, sent = LiveFigure(), []
    monkeypatch.setattr(
        go.FigureWidget, "send_state", lambda figure, key=None: sent.append((figure, key))
    )

    def loaded(late):
        message = {"action": "loaded", "figure": live._watch.figure, "late": late}
        live._watch._heard(live._watch, message, None)

    live.show(go.Figure(go.Bar(y=[1])))
    first = live.figure
    loaded(late=False)
    assert live.children[-1] is live.figure is first
    loaded(late=True)
    other = live.figure
    assert other is not first
    assert other not in live.children  # its view would have no points
    live.show(go.Figure(go.Bar(y=[2])))  # it moves meanwhile
    assert live.figure is other
    loaded(late=True)
    assert live.children[-1] is other
    assert list(other._widget_data[0]["y"]) == [2]
    assert (other, ["_config", "_widget_layout", "_widget_data"]) in sent
    live.clear()
    loaded(late=True)  # there is no figure any more
    assert live.figure is None
