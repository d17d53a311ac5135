"""Figures of heads: their scores, the curve of masking them, the report on them."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.detection.report import HeadReport
from workbench.detection.retrieval import lookup_summary
from workbench.figures.theme import (
    COLOURS,
    DETECTED,
    DIVERGING,
    INK,
    RANDOM,
    RISE_AND_FALL,
    SEQUENTIAL,
    UNMASKED,
    error_bar,
    shown,
    styled,
)
from workbench.models.head_scores import HeadScores, as_head_scores
from workbench.models.heads import HeadSet, cut_size, heads_in

RANDOM_BAND = "rgba(86,180,233,0.3)"  # RANDOM, so that lines show through
VERDICT_WIDTH = 118  # characters of a line below the title


def head_map(scores: HeadScores | pd.DataFrame, heads: HeadSet | None = None) -> go.Figure:
    """Layers down and heads across, as in the Explorer, coloured by score; chosen heads are ringed.

    Args:
        scores: scores of heads (`retrieval_scores`, `head_effects(...).scores`), or a frame with
            layer, head, score. Scores that are all 0 or more get a scale from 0; others a diverging
            one around 0.
        heads: the heads with a ring; None: no rings.

    Returns:
        The figure.
    """
    scores = as_head_scores(scores)
    by, frame = shown(scores.by), scores.frame
    grid = frame.pivot(index="layer", columns="head", values="score")
    scale: dict[str, object] = {"colorscale": SEQUENTIAL, "zmin": 0}
    if frame["score"].min() < 0:  # effects can have either sign
        reach = float(frame["score"].abs().max())
        scale = {"colorscale": RISE_AND_FALL, "zmid": 0, "zmin": -reach, "zmax": reach}
    figure = go.Figure(
        go.Heatmap(
            z=grid.to_numpy().round(4), x=list(grid.columns), y=list(grid.index),
            **scale, xgap=1, ygap=1, colorbar={"title": by.split(",")[0]},
            hovertemplate="layer %{y}, head %{x}<br>score %{z:.3f}<extra></extra>",
        )
    )  # fmt: skip
    if heads:
        figure.add_scatter(
            x=[head.head for head in heads], y=[head.layer for head in heads], mode="markers",
            marker={"symbol": "circle-open", "size": 11, "color": COLOURS[4], "line": {"width": 2}},
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
    rings = f" (rings: the {len(heads)} chosen)" if heads else ""
    figure.update_layout(
        title=f"{by[:1].upper()}{by[1:]}: {len(scores)} query heads{rings}",
        xaxis={"title": "query head", "dtick": 1 if len(grid.columns) <= 16 else 8},
        yaxis={"title": "layer", "dtick": 1 if len(grid) <= 16 else 5, "autorange": "reversed"},
    )
    figure.update_xaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(showgrid=False, zeroline=False)
    return styled(figure, height=140 + max(14 * len(grid), 140))


def ranked_heads(
    scores: HeadScores | pd.DataFrame, fraction: float = 0.05, top: int = 30
) -> go.Figure:
    """The highest heads by score with their 95 % intervals, and the cut.

    Args:
        scores: what `retrieval_scores` returned, or a frame with layer, head, score, low, high.
        fraction: share of all heads before the cut (dashed line).
        top: how many heads are shown; always one more than are before the cut.

    Returns:
        The figure.
    """
    scores = as_head_scores(scores)
    size = cut_size(fraction, len(scores))
    best = scores.ranked().head(max(top, size + 1))
    names = _names(best)
    value = best["score"].to_numpy()
    figure = go.Figure(
        go.Scatter(
            x=names, y=value.round(4), mode="markers",
            marker={"color": [COLOURS[0] if i < size else COLOURS[6] for i in range(len(best))],
                    "size": 8},
            error_y=error_bar(value, best["low"].to_numpy(), best["high"].to_numpy()),
            hovertemplate="%{x}: %{y:.3f}<extra></extra>",
        )
    )  # fmt: skip
    figure.add_vline(x=size - 0.5, line_dash="dash", line_color=COLOURS[1])
    figure.add_annotation(
        x=size - 0.5, y=1, yref="paper", text=f"cut after {size} heads", showarrow=False,
        xanchor="left",
    )  # fmt: skip
    figure.update_layout(
        title="The highest heads, with 95 % intervals over probes",
        xaxis={"title": "head", "tickangle": -60},
        yaxis={"title": "share of the answer copied", "rangemode": "tozero"},
    )
    return styled(figure, height=400)


def lookup_bars(table: pd.DataFrame, labels: Sequence[str]) -> go.Figure:
    """Answer loss and accuracy under each head set: bars of the means, one dot a probe.

    The whiskers are 95 % intervals over probes (`lookup_summary`); the mean is written above.

    Args:
        table: what `lookup_losses` returned, of no mask, then the detected heads, then any number
            of random ones: each kind has the colour that it has in every figure.
        labels: a name for each of these head sets.

    Returns:
        The figure, loss (nats a token) on the left, accuracy on the right.
    """
    figure = make_subplots(cols=2, subplot_titles=("answer loss (nats a token)", "answer accuracy"))
    summary = lookup_summary(table, labels)
    tint = [(UNMASKED, DETECTED, RANDOM)[min(i, 2)] for i in range(len(summary))]
    for panel, measure in enumerate(("loss", "accuracy"), start=1):
        mean, low, high = (summary[measure + end].to_numpy() for end in ("", "_low", "_high"))
        figure.add_bar(
            x=summary.index, y=mean.round(4), marker_color=tint, col=panel, row=1,
            error_y=error_bar(mean, low, high) | {"color": INK},
            hovertemplate="%{x}: %{y:.2f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[labels[i] for i in table["column"]], y=table[measure].round(4), mode="markers",
            marker={"color": INK, "size": 4}, col=panel, row=1,
            hoverinfo="skip",
        )  # fmt: skip
        top = np.maximum(high, table.groupby("column")[measure].max())  # above whisker and dots
        figure.add_scatter(
            x=summary.index, y=top.round(4), text=[f"{value:.2f}" for value in mean], mode="text",
            textposition="top center", cliponaxis=False, col=panel, row=1, hoverinfo="skip",
        )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(title="What masking does to lookups", showlegend=False)
    return styled(figure, height=380)


def masking_curve(table: pd.DataFrame) -> go.Figure:
    """Retrieval accuracy, answer loss and text loss against the number of masked heads.

    The detected order is a line, and so is that of influence if there is one; the random orders are
    their mean inside the band from the lowest to the highest draw.

    Args:
        table: what `masking_curve` of `workbench.detection` returned.

    Returns:
        The figure, a panel for each of the three that was measured.
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
            mode="lines", fill="toself", fillcolor=RANDOM_BAND, line={"width": 0},
            row=1, col=column,
            name=f"range of {draws} random draws", showlegend=column == 1, hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=mean.index, y=mean.round(4), mode="lines+markers", row=1, col=column,
            name="mean of the draws", showlegend=column == 1,
            line={"color": RANDOM, "dash": "dot"},
            hovertemplate="%{x} random heads: %{y:.2f}<extra></extra>",
        )  # fmt: skip
        for order, colour in (("detected", DETECTED), ("influence", COLOURS[0])):
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
    """The tokens of a text in reading order, each coloured by its loss change.

    Args:
        tokens: one string a token.
        change: nats, as many values; NaN where a token has no prediction.
        width: tokens in a row.

    Returns:
        The figure; red: harder to predict.

    Raises:
        ValueError: there is not one change a token.
    """
    if len(tokens) != len(change):
        raise ValueError(f"one change a token: got {len(tokens)} tokens and {len(change)} changes")
    rows = -(-len(tokens) // width)
    fill = rows * width - len(tokens)
    values = np.array([*change, *[np.nan] * fill], dtype=float).reshape(rows, width).round(4)
    words = np.array([shown(token) for token in tokens] + [""] * fill, dtype=object)
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


def head_report_figure(report: HeadReport) -> go.Figure:
    """Membership, score, agreement by probe count, second detector, and answers to lookups.

    Panels whose numbers were not measured are left out.

    Args:
        report: what `head_report` returned.

    Returns:
        The figure.
    """
    size, second = len(report.heads), report.locos is not None
    titles = [
        "How sure each head's place is (dashed: the cut)",
        "Score, and score with keys shuffled",
    ]
    titles[1:] = titles[1:] if report.shuffled is not None else ["Score"]
    titles += ["The set by number of probes"] + ["Where heads look, what they write"] * second
    answers = report.lookup is not None
    titles += ["First token of the answer, by key", "Greedy answers, by key"] * answers
    figure = make_subplots(
        rows=2 + answers, cols=2, subplot_titles=titles, horizontal_spacing=0.1,
        vertical_spacing=0.15 if answers else 0.22,
        specs=[[{}, {}], [{}, {}] if second else [{"colspan": 2}, None], *[[{}, {}]] * answers],
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
    if report.lookup is not None:
        _lookup_panels(figure, report.lookup.table)
    figure.update_layout(
        title={
            "text": f"Head set of {size} by {shown(report.by)}, {report.probes} probes"
            f"<br><sub>{_lines(report.verdict)}</sub>",
            "y": 0.97,
            "yanchor": "top",
        },
        legend={"orientation": "h", "y": -0.09 if answers else -0.14, "x": 0},
    )
    figure = styled(figure, height=1130 if answers else 790)
    return figure.update_layout(margin={"t": 160, "b": 90})


def _lines(verdict: str) -> str:
    """Its parts, a line each; two where a part is long."""
    lines = [line for part in verdict.split("; ") for line in wrap(part, VERDICT_WIDTH)]
    return "<br>".join(map(shown, lines))


def _membership_panel(figure: go.Figure, near: pd.DataFrame, size: int) -> None:
    """One bar a head: the probability that it is in the top set."""
    figure.add_bar(
        x=_names(near), y=near["membership"].round(4), row=1, col=1, showlegend=False,
        marker_color=[COLOURS[0] if chosen else COLOURS[6] for chosen in near["chosen"]],
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


def _lookup_panels(figure: go.Figure, table: pd.DataFrame) -> None:
    """What the model answers with the true key and without it, heads masked and not."""
    for column, measure, title in (
        (1, "first_accuracy", "right (share of lookups)"),
        (2, "greedy_share", "of the answer right"),
    ):
        for heads, colour, name in (
            ("base", COLOURS[0], "no head masked"),
            ("masked", COLOURS[1], "the set masked"),
            ("random", COLOURS[6], "random heads masked"),
        ):
            part = table[table["heads"] == heads]
            value = part[measure].to_numpy()
            figure.add_bar(
                x=[f"{keys} key" for keys in part["keys"]], y=value.round(4), name=name,
                legendgroup=name, showlegend=column == 1, marker_color=colour, row=3, col=column,
                error_y=error_bar(
                    value, part[f"{measure}_low"], part[f"{measure}_high"], thickness=1
                ),
                hovertemplate=f"%{{x}}, {name}: %{{y:.2f}}<extra></extra>",
            )  # fmt: skip
        figure.update_yaxes(title_text=title, range=[0, 1.05], row=3, col=column)
    figure.update_layout(barmode="group")


def _names(table: pd.DataFrame) -> list[str]:
    return list(map(str, heads_in(table)))
