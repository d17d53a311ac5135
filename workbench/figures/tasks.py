"""The figure of the mirror. Nothing is computed here."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.figures.theme import DETECTED, RANDOM, UNMASKED, error_bar, shown, styled


def mirror_bars(summary: pd.DataFrame, measure: str = "") -> go.Figure:
    """Every task under no mask, detected heads and random heads (bar: mean, whisker: all draws).

    Where a value is 0, and its bar cannot be seen, a "0" stands in its place.

    Args:
        summary: what `mirror_summary` returned. Tasks that need their context stand first.
        measure: title of the axis; empty: none.

    Returns:
        The figure.
    """
    if "needs_context" in summary:
        summary = summary.sort_values("needs_context", ascending=False, kind="stable")
    names = [
        f"{shown(str(row['task']))}<br>{_need(row.get('needs_context'))}"
        for row in summary.to_dict("records")
    ]
    figure = go.Figure()
    random = error_bar(summary["random"], summary["random_low"], summary["random_high"])
    for column, name, colour, whisker in (
        ("nothing", "no mask", UNMASKED, None),
        ("random", "random heads masked", RANDOM, random),
        ("detected", "detected heads masked", DETECTED, None),
    ):
        # A bar of 0 cannot be seen, and would look like a value that is missing.
        zeros = ["0" if value == 0 else "" for value in summary[column]]
        figure.add_bar(
            x=names, y=summary[column].round(4), name=name, marker_color=colour, error_y=whisker,
            text=zeros, textposition="outside", cliponaxis=False,
            hovertemplate="%{x}: %{y:.2f}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_layout(
        title="What masking costs on tasks", barmode="group", xaxis={"tickangle": -30},
        legend={"orientation": "h", "y": -0.45},
    )  # fmt: skip
    figure.update_yaxes(rangemode="tozero", title_text=measure or None)
    return styled(figure, height=420)


def mirror_dots(items: pd.DataFrame, top: int | None = None) -> go.Figure:
    """What each item loses relative to no mask: detected heads, and the random draws' range.

    Args:
        items: what `mirror_items` returned for the measure "rise".
        top: show only as many of the most and as many of the least hurt; None: all.

    Returns:
        The figure, the most hurt items on top.
    """
    if top is not None and len(items) > 2 * top:
        items = pd.concat([items.head(top), items.tail(top)])
    items = items.iloc[::-1]  # plotly counts rows from below
    named = zip(items["name"], items["item"], items["task"], strict=True)
    names = [shown(f"{name or item}, {task}") for name, item, task in named]
    rise = {"tickformat": ".0%", "title": "rise of the loss over that with no mask"}
    whisker = error_bar(items["random"], items["random_low"], items["random_high"])
    figure = go.Figure()
    for column, name, colour, bar in (
        ("random", "random heads masked", RANDOM, whisker),
        ("detected", "detected heads masked", DETECTED, None),
    ):
        figure.add_scatter(
            x=items[column].round(4), y=names, mode="markers", name=name, error_x=bar,
            marker={"color": colour, "size": 8},
            hovertemplate="%{y}: %{x:.0%}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_layout(
        title="Which items need those heads", xaxis=rise,
        yaxis={"range": [-0.7, len(items) - 0.3]},  # space for the markers of the outer rows
        legend={"orientation": "h", "yanchor": "bottom", "y": 1},
    )  # fmt: skip
    return styled(figure, height=170 + 22 * len(items))


def _need(needs_context: bool | None) -> str:
    if needs_context is None:
        return ""
    return f"({'needs' if needs_context else 'needs no'} context)"
