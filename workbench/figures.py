"""Figures: one function a figure, data frame in, plotly figure out. Nothing is computed here.

Text that comes from documents or tokens passes through `shown`, since plotly reads a subset of HTML
in labels and hovers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.heads import HeadSet, cut_size
from workbench.selection import Selection
from workbench.visible import visible

# Okabe-Ito: told apart by colour-blind readers, in this order.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
DIVERGING = "RdBu_r"  # red: the loss rises; blue: it falls


def shown(text: str) -> str:
    """`text` so that plotly shows it as it is: no markup, no control or direction characters."""
    escapes = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"})
    return visible(text).translate(escapes)  # dollars would be a formula where there is MathJax


def head_map(scores: pd.DataFrame, heads: HeadSet | None = None) -> go.Figure:
    """Layers x heads, coloured by score; the heads of `heads` carry a ring.

    scores: a frame with layer, head, score (`retrieval_scores`).
    """
    by = scores.attrs.get("by", "score")
    grid = scores.pivot(index="head", columns="layer", values="score")
    scale: dict[str, object] = {"colorscale": "Viridis", "zmin": 0}
    ring = "white"
    if scores["score"].min() < 0:  # effects can have either sign
        ring = "black"
        reach = float(scores["score"].abs().max())
        scale = {"colorscale": DIVERGING, "zmid": 0, "zmin": -reach, "zmax": reach}
    figure = go.Figure(
        go.Heatmap(
            z=grid.to_numpy().round(4), x=list(grid.columns), y=list(grid.index),
            **scale, xgap=1, ygap=1, colorbar={"title": by.split(",")[0]},
            hovertemplate="layer %{x}, head %{y}<br>score %{z:.3f}<extra></extra>",
        )
    )  # fmt: skip
    if heads:
        figure.add_scatter(
            x=[one.layer for one in heads], y=[one.head for one in heads], mode="markers",
            marker={"symbol": "circle-open", "size": 13, "color": ring, "line": {"width": 2}},
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
    rings = f" (rings: the {len(heads)} chosen)" if heads else ""
    figure.update_layout(
        title=f"{by[0].upper()}{by[1:]}: {len(scores)} query heads{rings}",
        xaxis={"title": "layer", "dtick": 1 if len(grid.columns) <= 16 else 5, "showgrid": False},
        yaxis={"title": "query head", "dtick": 1 if len(grid) <= 16 else 8, "showgrid": False},
    )
    return styled(figure, height=360)


def ranked_heads(scores: pd.DataFrame, fraction: float = 0.05, top: int = 30) -> go.Figure:
    """The `top` heads by score with their 95 % intervals, and the cut after `fraction` of all."""
    size = cut_size(fraction, len(scores))
    best = scores.sort_values("score", ascending=False, kind="stable").head(max(top, size + 1))
    names = [f"L{a}H{b}" for a, b in zip(best["layer"], best["head"], strict=True)]
    value = best["score"].to_numpy()
    figure = go.Figure(
        go.Scatter(
            x=names, y=value.round(4), mode="markers",
            marker={"color": [COLOURS[0] if i < size else COLOURS[6] for i in range(len(best))],
                    "size": 8},
            error_y={"type": "data", "symmetric": False, "thickness": 1.2,
                     "array": (best["high"].to_numpy() - value).round(4),
                     "arrayminus": (value - best["low"].to_numpy()).round(4)},
            hovertemplate="%{x}: %{y:.3f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_vline(x=size - 0.5, line_dash="dash", line_color=COLOURS[1])
    figure.add_annotation(
        x=size - 0.5, y=1, yref="paper", text=f"cut after {size} heads", showarrow=False,
        xanchor="left", font_color=COLOURS[1],
    )  # fmt: skip
    figure.update_layout(
        title="The highest heads, with 95 % intervals over probes",
        xaxis={"title": "head", "tickangle": -60},
        yaxis={"title": "share of the answer copied", "rangemode": "tozero"},
    )
    return styled(figure, height=400)


def lookup_bars(table: pd.DataFrame, labels: Sequence[str]) -> go.Figure:
    """Answer loss and accuracy under each head set: the mean as a bar, one dot a probe.

    table: what `lookup_losses` returned; labels: a name for each of its columns.
    """
    figure = make_subplots(cols=2, subplot_titles=("answer loss (nats a token)", "answer accuracy"))
    for panel, measure in enumerate(("loss", "accuracy"), start=1):
        mean = table.groupby("column")[measure].mean()
        names = [labels[i] for i in mean.index]
        tint = [COLOURS[min(i, 2)] for i in range(len(mean))]
        figure.add_bar(
            x=names, y=mean.to_numpy().round(4), marker_color=tint, opacity=0.75, col=panel, row=1,
            hovertemplate="%{x}: %{y:.2f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[labels[i] for i in table["column"]], y=table[measure].round(4), mode="markers",
            marker={"color": "black", "size": 4, "opacity": 0.5}, col=panel, row=1,
            hoverinfo="skip",
        )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(title="What masking does to lookups", showlegend=False)
    return styled(figure, height=380)


def masking_curve(table: pd.DataFrame) -> go.Figure:
    """Retrieval accuracy, answer loss and text loss against the number of masked heads.

    table: what `masking_curve` returned. The detected order is a line, and so is that of influence
    if there is one; the random orders are their mean inside the band from the lowest to the highest
    draw.
    """
    panels = {
        "accuracy": "answer accuracy",
        "lookup_loss": "answer loss (nats a token)",
        "text_loss": "text loss (nats a token)",
    }
    shown_panels = {key: name for key, name in panels.items() if table[key].notna().any()}
    draws = int(table.loc[table["order"] == "random", "draw"].nunique())
    figure = make_subplots(
        cols=len(shown_panels), horizontal_spacing=0.07, subplot_titles=list(shown_panels.values())
    )
    for column, measure in enumerate(shown_panels, start=1):
        random = table[table["order"] == "random"].groupby("heads")[measure]
        low, mean, high = random.min(), random.mean(), random.max()
        figure.add_scatter(
            x=[*low.index, *high.index[::-1]], y=[*low.round(4), *high.iloc[::-1].round(4)],
            mode="lines", fill="toself", fillcolor="rgba(153,153,153,0.3)", line={"width": 0},
            row=1, col=column,
            name=f"range of {draws} random draws", showlegend=column == 1, hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=mean.index, y=mean.round(4), mode="lines+markers", row=1, col=column,
            name="mean of the draws", showlegend=column == 1,
            line={"color": COLOURS[6], "dash": "dot"},
            hovertemplate="%{x} random heads: %{y:.2f}<extra></extra>",
        )  # fmt: skip
        for order, colour in (("detected", COLOURS[1]), ("influence", COLOURS[0])):
            line = table[table["order"] == order]
            if len(line):
                figure.add_scatter(
                    x=line["heads"], y=line[measure].round(4), mode="lines+markers", row=1,
                    col=column, name=f"{order} order", showlegend=column == 1,
                    line={"color": colour},
                    hovertemplate="first %{x} heads: %{y:.2f}<extra></extra>",
                )  # fmt: skip
        figure.update_xaxes(title_text="masked heads", row=1, col=column)
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(
        title="What is lost as heads are masked", legend={"orientation": "h", "y": -0.3}
    )
    return styled(figure, height=380)


def token_map(tokens: Sequence[str], change: Sequence[float], width: int = 9) -> go.Figure:
    """The tokens of a text in reading order, each coloured by its loss change in nats.

    tokens: one string a token; change: as many values, NaN where a token has no prediction.
    """
    if len(tokens) != len(change):
        raise ValueError(f"one change a token: got {len(tokens)} tokens and {len(change)} changes")
    rows = -(-len(tokens) // width)
    fill = rows * width - len(tokens)
    values = np.array([*change, *[np.nan] * fill], dtype=float).reshape(rows, width).round(4)
    words = np.array([shown(one) for one in tokens] + [""] * fill, dtype=object)
    words = words.reshape(rows, width)
    reach = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    figure = go.Figure(
        go.Heatmap(
            z=values, text=words, texttemplate="%{text}", textfont={"size": 13},
            colorscale=DIVERGING, zmid=0,
            zmin=-reach, zmax=reach, xgap=2, ygap=2, colorbar={"title": "nats"},
            hovertemplate="%{text}: %{z:+.2f} nats<extra></extra>", hoverongaps=False,
        )
    )  # fmt: skip
    figure.update_layout(title="Loss change of each token (red: harder to predict)")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, autorange="reversed")
    return styled(figure, height=140 + 36 * rows)


def influence_histogram(selection: Selection, bins: int = 30) -> go.Figure:
    """Scores of every domain, with the cut above which its documents were chosen."""
    domains = selection.domains
    figure = make_subplots(
        rows=len(domains), shared_xaxes=True, vertical_spacing=min(0.06, 0.5 / len(domains)),
        subplot_titles=[
            f"{shown(str(d.domain))}: {d.documents_selected} of {d.documents_seen} documents, "
            f"{d.tokens_share:.0%} of the tokens"
            for d in domains.itertuples()
        ],
    )  # fmt: skip
    edges = np.histogram_bin_edges(selection.table["score"], bins=bins)
    middle = ((edges[:-1] + edges[1:]) / 2).round(4)
    for row, one in enumerate(domains.itertuples(), start=1):
        part = selection.table[selection.table["domain"] == one.domain]
        for chosen, colour in ((True, COLOURS[0]), (False, COLOURS[6])):
            counts, _ = np.histogram(part.loc[part["selected"] == chosen, "score"], bins=edges)
            figure.add_bar(
                x=middle, y=counts, marker_color=colour, row=row, col=1,
                name="chosen" if chosen else "left", showlegend=row == 1,
                hovertemplate="score %{x:.2f}: %{y} documents<extra></extra>",
            )  # fmt: skip
        figure.add_vline(x=one.threshold, line_dash="dash", line_color=COLOURS[1], row=row, col=1)
    figure.update_layout(
        title="AttentionInfluence inside each domain (dashed: the cut)", barmode="stack", bargap=0
    )
    figure.update_xaxes(title_text="score", row=len(domains), col=1)
    return styled(figure, height=120 + 150 * len(domains))


def confound_panel(table: pd.DataFrame) -> go.Figure:
    """Score against compression ratio, base loss and length, one colour a domain."""
    panels = (
        ("compression_ratio", "compression ratio<br>(low: repetitive)"),
        ("loss_base", "base loss<br>(nats a token)"),
        ("tokens", "tokens"),
    )
    figure = make_subplots(cols=3, shared_yaxes=True, horizontal_spacing=0.03)
    for number, (domain, part) in enumerate(table.groupby("domain", sort=True)):
        for column, (name, label) in enumerate(panels, start=1):
            figure.add_scatter(
                x=part[name].round(4), y=part["score"].round(4), mode="markers", row=1, col=column,
                marker={"color": COLOURS[number % len(COLOURS)], "size": 6, "opacity": 0.7},
                name=shown(str(domain)), legendgroup=str(number), showlegend=column == 1,
                text=[shown(one) for one in part["doc_id"]],
                hovertemplate="%{text}<br>%{x:.3g}, score %{y:.2f}<extra></extra>",
            )  # fmt: skip
            figure.update_xaxes(title_text=label, row=1, col=column)
    figure.update_xaxes(type="log", row=1, col=3)
    figure.update_yaxes(title_text="score", row=1, col=1)
    figure.update_layout(title="What the score goes along with")
    return styled(figure, height=380)


def styled(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        template="plotly_white", height=height, margin={"l": 60, "r": 20, "t": 70, "b": 60}
    )
    return figure


def themed(figure: go.Figure, theme: str) -> go.Figure:
    """The figure in the colours of a "light" or "dark" page, whose background shines through."""
    clear = "rgba(0,0,0,0)"
    figure.update_layout(
        template="plotly_dark" if theme == "dark" else "plotly_white",
        paper_bgcolor=clear, plot_bgcolor=clear,
    )  # fmt: skip
    return figure
