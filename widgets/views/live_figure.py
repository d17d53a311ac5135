"""A plotly figure that changes in place, as wide as the panel that it stands in."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import ipywidgets as w
import plotly.graph_objects as go

from widgets.views.view_watch import ViewWatch
from workbench.core.text import escaped
from workbench.figures.theme import themed

TITLE = 60  # px that the title takes, which stands above the figure here
TALLEST = 420  # px
AXIS = 64  # px that one of several axes needs at least
FONT = {"size": 11}  # of the axes and the names of panels
CONFIG = {"responsive": True, "displayModeBar": False}
CAMERA = {  # at the upper right of the figure, while the mouse is over it
    "responsive": True, "displayModeBar": "hover", "displaylogo": False,
    "modeBarButtons": [["toImage"]],
}  # fmt: skip


class LiveFigure(w.VBox):
    """At most one live FigureWidget, made when there is something to show.

    plotly does not take the listeners of a view that went off its widget: they fail at the next
    change and keep it from the views that are there. So another widget is made for a new view.

    Attributes:
        figure: the live figure, or None.
        theme: of the page around it, "light" or "dark".
        caption: what the figure shows, in words.
    """

    children: tuple[w.Widget, ...]

    def __init__(
        self, camera: str = "", on_point: Callable[[str, int], object] | None = None
    ) -> None:
        """Without a figure until one is shown.

        Args:
            camera: name of the PNG that plotly's camera button keeps; empty: there is no button.
            on_point: is called with the name of a trace and the number of its marker that was
                clicked; None: clicks do nothing.
        """
        self.theme = "light"
        # Figures come from task queues, themes and new views from the browser.
        self._lock = threading.RLock()
        self._on_point = on_point
        self._config: dict[str, Any] = CONFIG
        if camera:
            image = {"format": "png", "filename": camera, "scale": 2}
            self._config = CAMERA | {"toImageButtonOptions": image}
        self.figure: go.FigureWidget | None = None
        self.caption = w.HTML()
        self.caption.add_class("aiw-caption")
        self._watch = ViewWatch(self._renew, self._loaded)
        self._watch.observe(lambda change: self.use_theme(change["new"]), "theme")
        super().__init__([self._watch, self.caption], layout={"width": "100%"})

    def show(self, figure: go.Figure, anew: bool = False) -> None:
        """Show a figure; where only its points moved, in the one that is there.

        Args:
            figure: what to show; it is changed to fit.
            anew: whether more than points and names of traces may be different.
        """
        figure.update_annotations(font=FONT)  # which are replaced where the points move
        with self._lock:
            # The title is escaped for plotly already.
            self.caption.value = escaped(html.unescape(figure.layout.title.text or ""))
            live = self.figure
            if anew or live is None or _kinds(live) != _kinds(figure):
                _fit(figure)
                self._put(themed(figure, self.theme))
            else:
                _move(live, figure)

    def clear(self) -> None:
        """Show nothing again."""
        with self._lock:
            before, self.figure = self.figure, None
            self.caption.value = self._watch.figure = ""
            self.children = (self._watch, self.caption)
            if before is not None:
                before.close()

    def use_theme(self, theme: str) -> None:
        """Follow the page around the figure.

        Args:
            theme: "light" or "dark".
        """
        with self._lock:
            self.theme = theme
            if self.figure is not None:
                themed(self.figure, theme)

    def _renew(self) -> None:
        with self._lock:
            if self.figure is not None:
                self._put(themed(go.Figure(self.figure), self.theme))

    def _loaded(self, late: bool) -> None:
        """Draw a figure that loaded too late, and so without its points, when it has them."""
        with self._lock:
            figure = self.figure
            if figure is None:
                return
            if figure not in self.children:
                if late:
                    _send_anew(figure)
                self.children = (*self.children, figure)
            elif late:  # a view that is there would stay as it is
                self._put(themed(go.Figure(figure), self.theme), shown=False)

    def _put(self, figure: go.Figure, shown: bool = True) -> None:
        before, self.figure = self.figure, go.FigureWidget(figure)
        self.figure._config = self._config
        if self._on_point is not None:
            for trace in self.figure.data:
                trace.on_click(self._clicked)
        self.children = (self._watch, self.caption, *([self.figure] if shown else []))
        self._watch.figure = self.figure.model_id
        if before is not None:
            before.close()

    def _clicked(self, trace: Any, points: Any, _: object) -> None:
        """Of all traces, the one that holds the point is called with its number."""
        if self._on_point is not None and len(points.point_inds) and "markers" in str(trace.mode):
            self._on_point(str(trace.name), int(points.point_inds[0]))


def _move(live: go.FigureWidget, figure: go.Figure) -> None:
    """Give a live figure the points, names, shapes and annotations of another of the same kind."""
    with live.batch_update():
        for old, new in zip(live.data, figure.data, strict=True):
            if new.type == "scatterternary":
                old.update(
                    a=new.a, b=new.b, c=new.c, text=new.text, marker=new.marker, name=new.name
                )
            else:
                old.x, old.y, old.name = new.x, new.y, new.name
        live.layout.shapes = figure.layout.shapes
        live.layout.annotations = figure.layout.annotations


def _send_anew(figure: go.FigureWidget) -> None:
    """Send all of a figure, as plotly does by itself when it is made, and how it is drawn."""
    figure._widget_layout = deepcopy(figure._layout_obj._props)
    figure._widget_data = deepcopy(figure._data)
    figure.send_state(["_config", "_widget_layout", "_widget_data"])


def _fit(figure: go.Figure) -> None:
    """Make a figure as wide as its room, and low enough to stand beside other things."""
    axes = sum(str(key).startswith("yaxis") for key in figure.layout)
    height = (figure.layout.height or TALLEST) - TITLE
    # Above the names of the panels, or of the corner of a triangle, which stand on top.
    corner = any(trace.type == "scatterternary" for trace in figure.data)
    above = 1.12 if corner else 1.08 if figure.layout.annotations else 1.02
    figure.update_layout(
        title=None, autosize=True, width=None, height=min(height, max(TALLEST, AXIS * axes)),
        margin={"l": 44, "r": 8, "t": 30, "b": 40}, font=FONT,
        legend={"orientation": "h", "x": 0, "y": above, "yanchor": "bottom"},
    )  # fmt: skip


def _kinds(figure: go.Figure | go.FigureWidget) -> list[tuple[str, ...]]:
    # Of all panels: those that share an axis have its title below the last one only.
    axes = (*figure.select_xaxes(), *figure.select_yaxes())
    titles = tuple(str(axis.title.text) for axis in axes)
    told = ("yaxis", "mode", "fill", "hovertemplate")
    return [
        titles,
        *(
            (trace.type, *(str(getattr(trace, name, None)) for name in told))
            for trace in figure.data
        ),
    ]
