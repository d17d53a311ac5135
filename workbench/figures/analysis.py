"""Figures of what was chosen: statistics, words, clusters, maps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.analysis.clusters import DocumentClusters, chosen_in
from workbench.figures.theme import COLOURS, DOMAINS, error_bar, shown, styled

GREY = COLOURS[6]
LABEL = 3  # terms that name a cluster on an axis


def statistic_dots(statistics: pd.DataFrame, statistic: str = "tokens") -> go.Figure:
    """The mean of a statistic in each selection with its interval, by domain (the paper's Table 3).

    Args:
        statistics: what `selection_statistics` returned.
        statistic: which of its statistics: "tokens", "compression_ratio", "loss_base" or "score".

    Returns:
        The figure; grey: every document.
    """
    rows = statistics[statistics["statistic"] == statistic]
    names = [name for name in dict.fromkeys(rows["selection"]) if name != "every document"]
    figure = go.Figure()
    for name, part in rows.groupby("selection", sort=False):
        colour = COLOURS[names.index(name) % 6] if name in names else GREY
        figure.add_scatter(
            x=[shown(str(domain)) for domain in part["domain"]], y=part["mean"].round(4),
            mode="markers", name=shown(str(name)), marker={"color": colour, "size": 9},
            error_y=error_bar(part["mean"], part["low"], part["high"]),
            hovertemplate="%{x}: %{y:.3g}<extra>" + shown(str(name)) + "</extra>",
        )  # fmt: skip
    figure.update_layout(
        title=f"Mean {shown(statistic.replace('_', ' '))} of what is chosen, with 95 % intervals",
        scattermode="group", scattergap=0.6, legend={"orientation": "h", "y": -0.15},
    )  # fmt: skip
    figure.update_yaxes(rangemode="tozero", title_text=shown(statistic.replace("_", " ")))
    return styled(figure, height=380)


def word_overlap_dots(overlaps: Mapping[str, pd.DataFrame], weight: str = "tf") -> go.Figure:
    """Shared frequent words at each fraction, by domain; grey: two random selections (Table 4).

    Args:
        overlaps: name of the other scorer to what `word_overlap` returned; the random selections
            are those of the first.
        weight: "tf" or "tfidf".

    Returns:
        The figure, a panel a domain.
    """
    first = next(iter(overlaps.values()))
    domains = sorted(set(first["domain"]))
    figure = make_subplots(
        cols=len(domains), shared_yaxes=True, horizontal_spacing=0.02,
        subplot_titles=[shown(str(domain)) for domain in domains],
    )  # fmt: skip
    for column, domain in enumerate(domains, start=1):
        for number, (name, table) in enumerate(overlaps.items()):
            part = table[(table["domain"] == domain) & (table["weight"] == weight)]
            at = [f"{fraction:.0%}" for fraction in part["fraction"]]
            if not number:
                figure.add_scatter(
                    x=at, y=part["random"].round(4), mode="markers", name="two random selections",
                    marker={"color": GREY, "symbol": "line-ew-open", "size": 12},
                    error_y=error_bar(part["random"], part["low"], part["high"]),
                    showlegend=column == 1, row=1, col=column,
                    hovertemplate="random, %{x}: %{y:.2f}<extra></extra>",
                )  # fmt: skip
            figure.add_scatter(
                x=at, y=part["overlap"].round(4), mode="markers", name=shown(name),
                marker={"color": COLOURS[(number + 1) % 6], "size": 9},  # the first is the score's
                showlegend=column == 1, row=1, col=column,
                hovertemplate=f"{shown(name)}, %{{x}}: %{{y:.2f}}<extra></extra>",
            )  # fmt: skip
        figure.update_xaxes(title_text="chosen", row=1, col=column)
    figure.update_yaxes(range=[-0.04, 1.05])
    figure.update_yaxes(title_text="shared frequent words", row=1, col=1)
    figure.update_layout(
        title=f"Frequent words shared with the choice by the score ({shown(weight)})",
        legend={"orientation": "h", "y": -0.3},
    )
    return styled(figure, height=380)


def cluster_bars(table: pd.DataFrame, one: str, other: str, most: int = 20) -> go.Figure:
    """The largest clusters: their size, and the share of each that two selections take (Figure 4).

    Args:
        table: what `cluster_table` returned.
        one: name of a selection of the table.
        other: name of another one.
        most: how many clusters are shown, the largest first.

    Returns:
        The figure, sizes on the left, shares on the right.
    """
    rows = table.head(most)
    names = [
        f"{number}: {shown(', '.join(terms.split(', ')[:LABEL]))}"
        for number, terms in zip(rows["cluster"], rows["terms"], strict=True)
    ]
    about = [
        "<br>".join(shown(cell) for cell in row)
        for row in zip(rows["terms"], rows["nearest"], rows["domains"], strict=True)
    ]
    figure = make_subplots(
        cols=2, shared_yaxes=True, horizontal_spacing=0.03, column_widths=[0.4, 0.6],
        subplot_titles=("documents", "share chosen"),
    )  # fmt: skip
    figure.add_bar(
        x=rows["documents"], y=names, orientation="h", marker_color=GREY, showlegend=False, row=1,
        col=1, text=about, textposition="none",
        hovertemplate="%{x} documents<br>%{text}<extra></extra>",
    )  # fmt: skip
    for name, colour in ((one, COLOURS[0]), (other, COLOURS[1])):
        figure.add_bar(
            x=rows[name].round(4), y=names, orientation="h", name=shown(name), marker_color=colour,
            row=1, col=2, hovertemplate="%{x:.0%}<extra>" + shown(name) + "</extra>",
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(tickformat=".0%", row=1, col=2)
    figure.update_layout(
        title="What the clusters are about, and who chooses from them",
        legend={"orientation": "h", "y": -0.08},
    )
    return styled(figure, height=170 + 26 * len(rows))


def selection_map(clusters: DocumentClusters, selections: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Two selections on the plane of the two first principal components (Figures 5 and 6).

    Args:
        clusters: what `cluster_documents` returned.
        selections: two, name to a table with the column selected.

    Returns:
        The figure: a panel for where the documents come from, and one for who chooses them.

    Raises:
        ValueError: there are not two selections.
    """
    if len(selections) != 2:
        raise ValueError(f"the map shows two selections, got {len(selections)}")
    (one, first), (other, second) = selections.items()
    a, b = chosen_in(clusters, first), chosen_in(clusters, second)
    figure = make_subplots(
        cols=2, shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=("where they come from", "who chooses them"),
    )  # fmt: skip
    of_each = clusters.frame["domain"]
    groups = [
        (1, str(domain), (of_each == domain).to_numpy(), {"color": colour, "size": 6})
        for domain, colour in zip(sorted(set(of_each)), cycle(DOMAINS), strict=False)
    ]
    both = {"color": COLOURS[0], "size": 9, "line": {"color": COLOURS[1], "width": 3}}
    groups += [
        (2, "neither", ~a & ~b, {"color": GREY, "size": 5}),
        (2, f"{one} alone", a & ~b, {"color": COLOURS[0], "size": 9}),
        (2, f"{other} alone", b & ~a, {"color": COLOURS[1], "size": 9}),
        (2, "both", a & b, both),
    ]
    for column, name, which, marker in groups:
        part = clusters.frame[which]
        figure.add_scatter(
            x=part["x"].round(4), y=part["y"].round(4), mode="markers", name=shown(name), row=1,
            col=column, marker={**marker, "opacity": 0.75},
            legend="legend" if column == 1 else "legend2",
            text=[
                f"{shown(name)}<br>cluster {number}"
                for name, number in zip(part["doc_id"], part["cluster"], strict=True)
            ],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="first principal component")
    figure.update_yaxes(title_text="second", row=1, col=1)
    figure.update_layout(
        title=f"Documents on a plane ({clusters.explained:.0%} of the variance)",
        legend={"orientation": "h", "y": -0.2, "x": 0, "title": {"text": "left: "}},
        legend2={"orientation": "h", "y": -0.3, "x": 0, "title": {"text": "right: "}},
    )
    return styled(figure, height=480)


def coverage_dots(coverage: pd.DataFrame) -> go.Figure:
    """Spread of each selection over the clusters; grey: random selections of the same size.

    Args:
        coverage: what `coverage` of `workbench.analysis` returned.

    Returns:
        The figure, a panel a measure.
    """
    measures = list(dict.fromkeys(coverage["measure"]))
    figure = make_subplots(cols=len(measures), horizontal_spacing=0.12, subplot_titles=measures)
    for column, measure in enumerate(measures, start=1):
        part = coverage[coverage["measure"] == measure]
        names = [shown(str(selection)) for selection in part["selection"]]
        figure.add_scatter(
            x=names, y=part["random"].round(4), mode="markers", name="random, 95 % of the draws",
            marker={"color": GREY, "symbol": "line-ew-open", "size": 14},
            error_y=error_bar(part["random"], part["low"], part["high"]),
            showlegend=column == 1, row=1, col=column,
            hovertemplate="random: %{y:.2f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=names, y=part["value"].round(4), mode="markers", name="selection",
            marker={"color": COLOURS[0], "size": 10}, showlegend=column == 1, row=1, col=column,
            hovertemplate="%{x}: %{y:.2f}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(
        title="How widely a selection is spread", legend={"orientation": "h", "y": -0.25}
    )
    return styled(figure, height=380)
