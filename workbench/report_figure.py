"""The figure of a head report: four panels, drawn from what the report holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures import COLOURS, shown, styled

if TYPE_CHECKING:
    from workbench.head_card import HeadReport


def head_report_figure(report: HeadReport) -> go.Figure:
    """Membership and score of the heads around the cut, agreement by probe count, second detector.

    Panels whose numbers were not measured are left out.
    """
    size, second = len(report.heads), report.locos is not None
    titles = [
        "How sure each head's place is (dashed: the cut)",
        "Score, and score with keys shuffled",
    ]
    titles[1:] = titles[1:] if report.shuffled is not None else ["Score"]
    titles += ["The set by number of probes"] + ["Where heads look, what they write"] * second
    figure = make_subplots(
        rows=2, cols=2, subplot_titles=titles, vertical_spacing=0.22, horizontal_spacing=0.1,
        specs=[[{}, {}], [{}, {}] if second else [{"colspan": 2}, None]],
    )  # fmt: skip
    ranked = report.table.sort_values(["score", "layer", "head"], ascending=[False, True, True])
    near = ranked.head(size + max(6, size // 2))
    _membership_panel(figure, near, size)
    _score_panel(figure, near, size, report)
    counts = report.counts
    figure.add_scatter(
        x=[*counts["probes"], *counts["probes"][::-1]], y=[*counts["high"], *counts["low"][::-1]],
        mode="lines", fill="toself", fillcolor="rgba(0,114,178,0.15)", line_width=0,
        hoverinfo="skip", showlegend=False, row=2, col=1,
    )  # fmt: skip
    figure.add_scatter(
        x=counts["probes"], y=counts["jaccard"].round(4), mode="lines+markers", row=2, col=1,
        line_color=COLOURS[0], showlegend=False,
        hovertemplate="%{x} probes: Jaccard %{y:.2f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(
        title_text="probes (band: 95 % of draws)", tickvals=list(counts["probes"]), row=2, col=1
    )
    figure.update_yaxes(title_text="Jaccard with the full set", range=[0, 1.05], row=2, col=1)
    if second:
        _second_panel(figure, report.table)
    figure.update_layout(
        title={
            "text": f"Head set of {size} by {shown(report.by)}, {report.probes} probes"
            f"<br><sub>{shown(report.verdict).replace('; ', '<br>')}</sub>",  # a line each
            "y": 0.97,
            "yanchor": "top",
        },
        legend={"orientation": "h", "y": -0.14, "x": 0},
    )
    figure = styled(figure, height=790)
    return figure.update_layout(margin={"t": 150, "b": 90})


def _membership_panel(figure: go.Figure, near: pd.DataFrame, size: int) -> None:
    """One bar a head: the probability that it is in the top set."""
    figure.add_bar(
        x=_names(near), y=near["membership"].round(4), row=1, col=1, showlegend=False,
        marker_color=[COLOURS[0] if one else COLOURS[6] for one in near["chosen"]],
        hovertemplate="%{x}: %{y:.0%}<extra></extra>",
    )  # fmt: skip
    figure.add_vline(x=size - 0.5, line_dash="dash", line_color=COLOURS[1], row=1, col=1)
    figure.update_xaxes(tickangle=-60, dtick=1, row=1, col=1)
    figure.update_yaxes(title_text="membership", range=[0, 1.05], tickformat=".0%", row=1, col=1)


def _score_panel(figure: go.Figure, near: pd.DataFrame, size: int, report: HeadReport) -> None:
    """Scores of the heads, what is left of them without the key, and what chance gives."""
    names = _names(near)
    figure.add_scatter(
        x=names, y=near["score"].round(4), mode="markers", name="score", row=1, col=2,
        marker={"color": COLOURS[0], "size": 8},
        hovertemplate="%{x}: %{y:.3f}<extra></extra>",
    )  # fmt: skip
    if report.shuffled is not None:
        figure.add_scatter(
            x=names, y=near["shuffled"].round(4), mode="markers", name="keys shuffled",
            marker={"color": COLOURS[1], "size": 9, "symbol": "x-thin", "line": {
                "color": COLOURS[1], "width": 2}}, row=1, col=2,
            hovertemplate="%{x}, keys shuffled: %{y:.3f}<extra></extra>",
        )  # fmt: skip
    lines = []
    if report.shuffled is not None:
        level = report.shuffled["band_99"]
        lines.append(("null band: other heads, keys shuffled (99 %)", level, COLOURS[3], "dashdot"))
    if report.chance is not None:
        level = report.chance["best_99"]
        lines.append(("best of all heads by chance (99 %)", level, COLOURS[2], "dot"))
    for name, level, colour, dash in lines:
        figure.add_scatter(
            x=names, y=[round(level, 4)] * len(names), mode="lines", name=name, row=1, col=2,
            line={"color": colour, "dash": dash}, hovertemplate="%{y:.4f}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=size - 0.5, line_dash="dash", line_color=COLOURS[1], row=1, col=2)
    figure.update_xaxes(tickangle=-60, dtick=1, row=1, col=2)
    figure.update_yaxes(title_text="share of the answer copied", rangemode="tozero", row=1, col=2)


def _second_panel(figure: go.Figure, table: pd.DataFrame) -> None:
    """All heads by both detectors; the four corners of agreement in four marks."""
    for chosen, other, colour, symbol, name in (
        (True, True, COLOURS[0], "circle", "both detectors"),
        (True, False, COLOURS[4], "square", "this set only"),
        (False, True, COLOURS[3], "diamond", "LOCOS only"),
        (False, False, COLOURS[6], "circle-open", "neither"),
    ):
        part = table[(table["chosen"] == chosen) & ((table["locos_share"] > 0) == other)]
        figure.add_scatter(
            x=part["score"].round(4), y=part["locos"].round(4), mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 7}, text=_names(part), row=2, col=2,
            hovertemplate="%{text}: copies %{x:.3f}, writes %{y:.2f}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="retrieval score (where it looks)", row=2, col=2)
    figure.update_yaxes(title_text="LOCOS (what it writes)", row=2, col=2)


def _names(table: pd.DataFrame) -> list[str]:
    return [f"L{a}H{b}" for a, b in zip(table["layer"], table["head"], strict=True)]
