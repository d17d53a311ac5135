"""Figures of scaling laws. Nothing is computed here but the points along a curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures.theme import COLOURS, shown, styled
from workbench.scaling.power_sum import ScalingFit

BAND = "rgba(0,114,178,0.2)"
CURVES = 6  # at most, one for each of the values of the second input


def scaling_curve(fit: ScalingFit, held: pd.DataFrame | None = None) -> go.Figure:
    """Runs, law and its 95 % band, and the held-out runs that it held_group.

    One input is on the axis. With two, the last is, and there is a curve for each of the first's
    values (at most six, spread over their range). Both axes are logarithmic.

    Args:
        fit: what `fit_law` returned, with one or two inputs.
        held: the frame of `hold_out_largest`; None: no held-out runs.

    Returns:
        The figure.

    Raises:
        ValueError: the law has more than two inputs.
    """
    *others, across = fit.law.inputs
    runs = fit.runs
    reach = [runs[across].min(), runs[across].max()]
    if held is not None:
        reach[1] = max(reach[1], held[across].max())
    line = np.geomspace(reach[0], reach[1], 60)
    figure = go.Figure()
    if len(others) > 1:
        raise ValueError(f"a curve shows a law of one or two inputs, got {', '.join(others)}")
    values = [None] if not others else _spread(runs, held, others[0])
    for number, value in enumerate(values):
        colour = COLOURS[number % len(COLOURS)]
        points = pd.DataFrame({across: line})
        group, held_group = runs, held
        name = "runs"
        if value is not None:
            points[others[0]] = value
            group = runs[runs[others[0]] == value]
            held_group = None if held is None else held[held[others[0]] == value]
            name = f"{shown(others[0])} {value:.3g}"
        curve = fit.predict(points)
        if not number and len(fit.drawn):
            figure.add_scatter(
                x=[*line, *line[::-1]], y=[*curve["high"].round(5), *curve["low"].round(5)[::-1]],
                mode="lines", line={"width": 0}, fill="toself", fillcolor=BAND, hoverinfo="skip",
                name="95 % of resampled fits (first curve)",
            )  # fmt: skip
        figure.add_scatter(
            x=line, y=curve["predicted"].round(5), mode="lines", line={"color": colour},
            showlegend=False, hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=group[across], y=group[fit.loss].round(5), mode="markers", name=name,
            marker={"color": colour, "size": 7}, hovertemplate="%{x:.3g}: %{y:.4f}<extra></extra>",
        )  # fmt: skip
        if held_group is not None and len(held_group):
            error = [
                f"predicted {p:.4f}, {e:+.2%}"
                for p, e in held_group[["predicted", "error"]].to_numpy()
            ]
            figure.add_scatter(
                x=held_group[across], y=held_group[fit.loss].round(5), mode="markers",
                name="held out",
                marker={"color": colour, "size": 13, "symbol": "star", "line": {"width": 1}},
                text=error, hovertemplate="%{x:.3g}: %{y:.4f}, %{text}<extra></extra>",
            )  # fmt: skip
    figure.update_layout(title=f"{shown(str(fit.law))}: {len(runs)} runs")
    figure.update_xaxes(type="log", title_text=shown(across))
    figure.update_yaxes(type="log", title_text=shown(fit.loss))
    return styled(figure, height=440)


def agreement_curve(table: pd.DataFrame) -> go.Figure:
    """Overlap at the cut and Spearman with the reference selection against a setting, by domain.

    Args:
        table: what `agreement_along` returned, whose first column is the setting.

    Returns:
        The figure, the setting on a logarithmic axis.

    Raises:
        ValueError: the table has no setting, like one of `agreement`.
    """
    setting = str(table.columns[0])
    if setting == "domain":
        raise ValueError(
            "agreement_curve draws what agreement_along returned, whose first column is the "
            f"setting; got a table with the columns {', '.join(map(str, table.columns))}"
        )
    figure = go.Figure()
    for number, (domain, part) in enumerate(table.groupby("domain", sort=True)):
        for measure, dash in (("overlap", "solid"), ("spearman", "dot")):
            figure.add_scatter(
                x=part[setting], y=part[measure].round(4), mode="lines+markers",
                name=f"{shown(str(domain))}: {measure}", legendgroup=str(number),
                line={"color": COLOURS[number % len(COLOURS)], "dash": dash},
                hovertemplate="%{x}: %{y:.2f}<extra></extra>",
            )  # fmt: skip
    figure.update_layout(title=f"Agreement with the largest {shown(setting)}")
    figure.update_xaxes(title_text=shown(setting), type="log")
    figure.update_yaxes(title_text="overlap, Spearman", range=[-0.05, 1.05])
    return styled(figure, height=400)


def _spread(runs: pd.DataFrame, held: pd.DataFrame | None, name: str) -> list[float]:
    """Up to CURVES of the values of an input, the extremes among them."""
    every = [*runs[name], *([] if held is None else held[name])]
    values = np.unique(np.asarray(every, dtype=float))
    if len(values) > CURVES:
        values = values[np.linspace(0, len(values) - 1, CURVES).round().astype(int)]
    return values.tolist()
