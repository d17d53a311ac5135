"""A plotly figure that changes in place."""

from __future__ import annotations

import ipywidgets as w
import plotly.graph_objects as go

from workbench.figures.theme import themed


class LiveFigure(w.Box):
    """At most one live FigureWidget, made when there is something to show."""

    def __init__(self) -> None:
        super().__init__(layout={"width": "100%"})
        self.theme = "light"

    @property
    def figure(self) -> go.FigureWidget | None:
        """The live figure, or None."""
        return self.children[0] if self.children else None

    def show(self, figure: go.Figure) -> None:
        """Show a figure, in the one that is there if it has the same traces.

        Args:
            figure: what to show.
        """
        live = self.figure
        themed(figure, self.theme)
        if live is None or _kinds(live) != _kinds(figure):
            self.children = (go.FigureWidget(figure),)
            if live is not None:
                live.close()
            return
        with live.batch_update():
            for old, new in zip(live.data, figure.data, strict=True):
                old.x, old.y, old.name = new.x, new.y, new.name
            live.layout.shapes = figure.layout.shapes
            live.layout.annotations = figure.layout.annotations

    def use_theme(self, theme: str) -> None:
        """Follow the page around the figure.

        Args:
            theme: "light" or "dark".
        """
        self.theme = theme
        if self.figure is not None:
            themed(self.figure, theme)


def _kinds(figure: go.Figure | go.FigureWidget) -> list[tuple[str, str]]:
    return [(trace.type, str(trace.yaxis)) for trace in figure.data]
