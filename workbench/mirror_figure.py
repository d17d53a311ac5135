"""The figure of the mirror. Nothing is computed here."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from workbench.figures import COLOURS, shown, styled


def mirror_bars(summary: pd.DataFrame) -> go.Figure:
    """Every task under no mask, detected heads and random heads (bar: mean, whisker: all draws).

    summary: what `mirror_summary` returned. Tasks that need their context stand first.
    """
    summary = summary.sort_values("needs_context", ascending=False, kind="stable")
    names = [
        f"{shown(str(one.task))}<br>({'needs' if one.needs_context else 'needs no'} context)"
        for one in summary.itertuples()
    ]
    figure = go.Figure()
    random = {
        "type": "data", "symmetric": False, "thickness": 1.2,
        "array": (summary["random_high"] - summary["random"]).round(4),
        "arrayminus": (summary["random"] - summary["random_low"]).round(4),
    }  # fmt: skip
    for column, name, colour, whisker in (
        ("nothing", "no mask", COLOURS[6], None),
        ("random", "random heads masked", COLOURS[5], random),
        ("detected", "detected heads masked", COLOURS[1], None),
    ):
        figure.add_bar(
            x=names, y=summary[column].round(4), name=name, marker_color=colour, error_y=whisker,
            hovertemplate="%{x}: %{y:.2f}<extra>" + name + "</extra>",
        )  # fmt: skip
    figure.update_layout(
        title="What masking costs on tasks", barmode="group",
        legend={"orientation": "h", "y": -0.35},
    )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    return styled(figure, height=420)
