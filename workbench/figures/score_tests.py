"""The figures of tests of score columns. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.evaluation.changed_documents import PairedResponse
from workbench.figures.theme import COLOURS, error_bar, shown, styled


def score_test_dots(
    worlds: Mapping[str, pd.DataFrame], chance: Mapping[str, float] | None = None
) -> go.Figure:
    """How every column of scores did in every world: a panel a world, a dot a column.

    Args:
        worlds: name to rows of one test (`ScoreTests.rows`): column, value, low, high. A column
            that a world does not have is left out there.
        chance: name to the value that a choice by chance has there, drawn as a line; 0.5 where a
            world is not named.

    Returns:
        The figure, columns in the order of their first appearance.

    Raises:
        ValueError: there is no world.
    """
    if not worlds:
        raise ValueError("a figure of score tests needs one world at least, got none")
    columns = list(dict.fromkeys(name for rows in worlds.values() for name in rows["column"]))
    figure = make_subplots(
        cols=len(worlds), shared_yaxes=True, horizontal_spacing=0.02,
        subplot_titles=[shown(name) for name in worlds],
    )  # fmt: skip
    for panel, (name, rows) in enumerate(worlds.items(), start=1):
        by_chance = (chance or {}).get(name, 0.5)
        figure.add_scatter(
            x=rows["value"].round(4), y=[shown(column) for column in rows["column"]], row=1,
            col=panel, mode="markers", marker={"color": COLOURS[0], "size": 9}, showlegend=False,
            error_x=error_bar(rows["value"], rows["low"], rows["high"]),
            hovertemplate="%{y}: %{x:.2f}<extra>" + shown(name) + "</extra>",
        )  # fmt: skip
        figure.add_vline(x=by_chance, line={"color": COLOURS[6], "dash": "dot"}, row=1, col=panel)
        reach = [min(0, rows["low"].min()) - 0.02, max(1, rows["high"].max()) + 0.02]
        figure.update_xaxes(range=reach, dtick=0.25, row=1, col=panel)
    figure.update_yaxes(
        categoryorder="array", categoryarray=[shown(name) for name in reversed(columns)]
    )
    return styled(figure, height=150 + 30 * len(columns))


def response_dots(response: PairedResponse) -> go.Figure:
    """How columns of scores answer to each change of the text, in their own standard deviations.

    Args:
        response: what `paired_response` returned.

    Returns:
        The figure: a group of dots a kind of change, one a column, with 95 % intervals.
    """
    frame, figure = response.frame, go.Figure()
    kinds, columns = (list(frame[name].unique()) for name in ("kind", "column"))
    for number, column in enumerate(columns):
        rows = frame[frame["column"] == column]
        offset = 0.6 * ((number + 0.5) / len(columns) - 0.5)
        figure.add_scatter(
            x=rows["standardised"].round(4), name=shown(column), mode="markers",
            y=[kinds.index(kind) + offset for kind in rows["kind"]],
            marker={"color": COLOURS[number % len(COLOURS)], "size": 8},
            error_x=error_bar(
                *(rows[name] / rows["spread"] for name in ("difference", "low", "high"))
            ),
            customdata=rows[["difference", "n"]].round(4),
            hovertemplate="%{x:.2f} (%{customdata[0]} in its own unit, %{customdata[1]} pairs)"
            "<extra>" + shown(column) + "</extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": COLOURS[6], "dash": "dot"})
    figure.update_layout(
        title="What the columns listen to", legend={"orientation": "h", "y": -0.2},
        yaxis={"tickvals": list(range(len(kinds))), "ticktext": [shown(kind) for kind in kinds],
               "range": [len(kinds) - 0.5, -0.5]},
        xaxis={"title": "change of the score, in standard deviations over the originals"},
    )  # fmt: skip
    return styled(figure, height=200 + 24 * len(kinds) * max(len(columns), 2))
