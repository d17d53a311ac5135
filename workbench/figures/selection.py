"""Figures of a selection, and of scorers that choose differently."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.analysis.confounding import confound_values
from workbench.core.frames import TableLike, frame_of
from workbench.corpus.boilerplate import SharedNgrams
from workbench.figures.theme import COLOURS, DIVERGING, DOMAINS, shown, styled
from workbench.selection.ranking import SCORE, Selection


def influence_histogram(selection: Selection, bins: int = 30) -> go.Figure:
    """Values that each domain is ranked by, with the cut above which its documents were chosen.

    Args:
        selection: what `select` returned.
        bins: number of bins over the scores of all domains.

    Returns:
        The figure, a panel a domain.
    """
    domains, column = selection.domains, selection.by_score
    ranked_by = "AttentionInfluence" if column == SCORE else shown(column)
    figure = make_subplots(
        rows=len(domains), shared_xaxes=True, vertical_spacing=min(0.06, 0.5 / len(domains)),
        subplot_titles=[
            f"{shown(str(d.domain))}: {d.documents_selected} of {d.documents_seen} documents, "
            f"{d.tokens_share:.0%} of the tokens"
            for d in domains.itertuples()
        ],
    )  # fmt: skip
    edges = np.histogram_bin_edges(selection.table[column], bins=bins)
    middle = ((edges[:-1] + edges[1:]) / 2).round(4)
    for row, domain in enumerate(domains.itertuples(), start=1):
        part = selection.table[selection.table["domain"] == domain.domain]
        for chosen, colour in ((True, COLOURS[0]), (False, COLOURS[6])):
            counts, _ = np.histogram(part.loc[part["selected"] == chosen, column], bins=edges)
            figure.add_bar(
                x=middle, y=counts, marker_color=colour, row=row, col=1,
                name="chosen" if chosen else "not chosen", showlegend=row == 1,
                hovertemplate=f"{shown(column)} %{{x:.2f}}: %{{y}} documents<extra></extra>",
            )  # fmt: skip
        figure.add_vline(
            x=domain.threshold, line_dash="dash", line_color=COLOURS[1], row=row, col=1
        )
        most = int(np.histogram(part[column], bins=edges)[0].max())
        figure.update_yaxes(title_text="documents", dtick=max(1, -(-most // 4)), row=row, col=1)
    figure.update_layout(
        title=f"{ranked_by} inside each domain (dashed: the cut)", barmode="stack", bargap=0
    )
    figure.update_xaxes(title_text=shown(column), row=len(domains), col=1)
    return styled(figure, height=120 + 150 * len(domains))


def confound_panel(table: TableLike, shared: SharedNgrams | None = None) -> go.Figure:
    """Score against each of its confounds, one colour a domain.

    Args:
        table: a score table (`score_corpus`), or a frame with its columns.
        shared: what `shared_ngrams` measured of the corpus; None: no panel of boilerplate.

    Returns:
        The figure, a panel a confound (`confounds`); the length is on a logarithmic axis. A panel
        without any value says so.
    """
    labels = {
        "repetition": "repetition<br>(share of<br>tokens read)",
        "loss_base": "base loss<br>(nats)",
        "tokens": "tokens",
        "random_heads": "score of<br>random heads",
        "shared_ngrams": "boilerplate<br>(share of<br>n-grams)",
    }
    rows = frame_of(table).reset_index(drop=True)
    values = confound_values(rows, shared)
    names = [str(name) for name in values.columns]
    figure = make_subplots(cols=len(names), shared_yaxes=True, horizontal_spacing=0.03)
    for number, (domain, part) in enumerate(rows.groupby("domain", sort=True)):
        for column, name in enumerate(names, start=1):
            figure.add_scatter(
                x=values[name][part.index].round(4), y=part["score"].round(4), mode="markers",
                marker={"color": DOMAINS[number % len(DOMAINS)], "size": 6, "opacity": 0.7},
                name=shown(str(domain)), legendgroup=str(number), showlegend=column == 1,
                text=[shown(doc_id) for doc_id in part["doc_id"]], row=1, col=column,
                hovertemplate="%{text}<br>%{x:.3g}, score %{y:.2f}<extra></extra>",
            )  # fmt: skip
    for column, name in enumerate(names, start=1):
        figure.update_xaxes(title_text=labels[name], nticks=4, tickangle=0, row=1, col=column)
        if name == "tokens":
            figure.update_xaxes(type="log", dtick=1, row=1, col=column)
        if values[name].isna().all():
            figure.add_annotation(
                text="no document<br>has a value", showarrow=False, row=1, col=column,
                xref="x domain", yref="y domain", x=0.5, y=0.5,
            )  # fmt: skip
    figure.update_yaxes(title_text="score", row=1, col=1)
    figure.update_layout(title="What the score goes along with")
    return styled(figure, height=380)


def scorer_matrix(pairs: pd.DataFrame) -> go.Figure:
    """Spearman correlation and overlap at the cut of every pair of scorers, mean over domains.

    Args:
        pairs: what `compare_scorers` returned.

    Returns:
        The figure, two matrices.
    """
    names = list(dict.fromkeys([*pairs["one"], *pairs["other"]]))
    mean = pairs.groupby(["one", "other"])[["spearman", "overlap"]].mean().reset_index()
    figure = make_subplots(
        cols=2, shared_yaxes=True, horizontal_spacing=0.14,
        subplot_titles=("Spearman correlation", "overlap at the cut"),
    )  # fmt: skip
    for column, (measure, scale) in enumerate(
        (
            ("spearman", {"colorscale": DIVERGING, "zmin": -1, "zmax": 1}),
            ("overlap", {"colorscale": "Blues", "zmin": 0, "zmax": 1}),
        ),
        start=1,
    ):
        grid = np.full((len(names), len(names)), np.nan)
        for first, other, value in zip(mean["one"], mean["other"], mean[measure], strict=True):
            i, j = names.index(first), names.index(other)
            grid[i, j] = grid[j, i] = value
        figure.add_heatmap(
            z=grid.round(4), x=[shown(name) for name in names], y=[shown(name) for name in names],
            **scale, xgap=1, ygap=1, texttemplate="%{z:.1f}", hoverongaps=False, row=1, col=column,
            colorbar={"x": 0.43 if column == 1 else 1.0, "thickness": 12},
            hovertemplate="%{y}, %{x}: %{z:.2f}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickangle=-45)
    figure.update_layout(title="Scorers of the same documents, mean over the domains")
    return styled(figure, height=160 + 40 * len(names))


def confound_matrix(confounds: pd.DataFrame) -> go.Figure:
    """What each scorer goes along with, a panel a domain; red: high values are chosen.

    Args:
        confounds: what `scorer_confounds` returned.

    Returns:
        The figure. A correlation that cannot be formed is a gap, and says why under the pointer.
    """
    domains = sorted(set(confounds["domain"]))
    scorers = list(dict.fromkeys(confounds["scorer"]))
    figure = make_subplots(
        cols=len(domains), shared_yaxes=True, horizontal_spacing=0.02,
        subplot_titles=[shown(str(domain)) for domain in domains],
    )  # fmt: skip
    for column, domain in enumerate(domains, start=1):
        part = confounds[confounds["domain"] == domain]
        part = part.assign(words=[row.reason or f"{row.spearman:.2f}" for row in part.itertuples()])
        grid, words = (
            part.pivot(index="scorer", columns="confound", values=values).loc[scorers]
            for values in ("spearman", "words")
        )
        figure.add_heatmap(
            z=grid.to_numpy().round(4), x=[column.replace("_", " ") for column in grid.columns],
            y=[shown(scorer) for scorer in scorers], colorscale=DIVERGING, zmin=-1, zmax=1, xgap=1,
            ygap=1, texttemplate="%{z:.1f}", showscale=column == len(domains), row=1, col=column,
            customdata=words.to_numpy(), hovertemplate="%{y}, %{x}: %{customdata}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickangle=-45)
    figure.update_layout(title="Spearman correlation of every scorer with the confounds")
    return styled(figure, height=200 + 32 * len(scorers))
