"""Figures of training: heads along checkpoints, losses of mixtures, the mirror."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.theme import COLOURS, INK, SEQUENTIAL, error_bar, shown, styled
from workbench.training.head_evolution import Evolution


def evolution_maps(found: Evolution, steps: Sequence[int] | None = None) -> go.Figure:
    """One map of retrieval scores (heads x layers) a checkpoint, on one scale (Figure 2).

    Args:
        found: what `evolution` returned.
        steps: which checkpoints; None: at most eight, spread evenly.

    Returns:
        The figure.
    """
    every = sorted(found.scores["step"].unique())
    if steps is None:
        steps = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, 8).round().astype(int))]
    reach = float(found.scores["score"].max()) or 1.0
    figure = make_subplots(
        cols=len(steps), shared_yaxes=True, horizontal_spacing=0.01,
        subplot_titles=[f"{step:,}" for step in steps],
    )  # fmt: skip
    for column, step in enumerate(steps, start=1):
        grid = found.scores[found.scores["step"] == step].pivot(
            index="layer", columns="head", values="score"
        )
        figure.add_heatmap(
            z=grid.to_numpy().round(4), x=list(grid.columns), y=list(grid.index), row=1, col=column,
            colorscale=SEQUENTIAL, zmin=0, zmax=reach, xgap=1, ygap=1, showscale=column == 1,
            colorbar={"title": "score"},
            hovertemplate="layer %{y}, head %{x}<br>score %{z:.3f}<extra></extra>",
        )  # fmt: skip
    heads, layers = found.scores["head"].nunique(), found.scores["layer"].nunique()
    # A map is narrow: about four numbers fit below each. Lines would cross the cells.
    figure.update_xaxes(dtick=_round_step(heads / 4), showgrid=False, zeroline=False)
    figure.update_yaxes(
        autorange="reversed", dtick=1 if layers <= 16 else 5, showgrid=False, zeroline=False
    )
    figure.update_yaxes(title_text="layer", row=1, col=1)
    figure.add_annotation(
        text="query head", x=0.5, xref="paper", xanchor="center", y=0, yref="paper", yanchor="top",
        yshift=-24, showarrow=False, font={"size": 14},
    )  # fmt: skip
    figure.update_layout(title={"text": "Retrieval scores along the training (step above each map)",
                                "y": 0.97})  # fmt: skip
    return styled(figure, height=320)


def _round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that is not below `least`."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if digit * power >= least:
                return digit * power
        power *= 10


def evolution_curve(found: Evolution, history: pd.DataFrame | None = None) -> go.Figure:
    """Scores of the final heads, accuracy of the answers, and the loss, over the steps.

    Args:
        found: what `evolution` returned.
        history: `Training.history`, for the training loss; None: the answer loss is drawn.

    Returns:
        The figure, losses on the left.
    """
    course = found.course
    figure = make_subplots(
        cols=2, subplot_titles=("loss (nats a token)", "heads and answers"), horizontal_spacing=0.1
    )
    if history is None:
        figure.add_scatter(
            x=course["step"], y=course["answer_loss"].round(4), name="answer loss", row=1, col=1,
            mode="lines+markers", line={"color": COLOURS[0]},
        )  # fmt: skip
    else:
        figure.add_scatter(
            x=history["step"], y=history["loss"].round(4), name="training loss", row=1, col=1,
            mode="lines", line={"color": COLOURS[0]},
        )  # fmt: skip
    for name, label, colour in (
        ("final_heads", "score of the final heads", COLOURS[1]),
        ("other_heads", "score of all others", COLOURS[6]),
        ("answer_accuracy", "answers right (share of tokens)", COLOURS[2]),
    ):
        figure.add_scatter(
            x=course["step"], y=course[name].round(4), name=label, mode="lines+markers", row=1,
            col=2, line={"color": colour},
        )  # fmt: skip
    for column in (1, 2):
        if not np.isnan(found.appears):
            figure.add_vline(x=found.appears, line_dash="dot", line_color=COLOURS[6], row=1,
                             col=column)  # fmt: skip
        figure.update_xaxes(title_text="step", row=1, col=column)
    figure.update_yaxes(rangemode="tozero", row=1, col=2)
    figure.update_layout(
        title="When the heads appear (dotted: half of their last score)",
        legend={"orientation": "h", "y": -0.3},
    )  # fmt: skip
    return styled(figure, height=400)


def training_curve(course: pd.DataFrame, domain: str = "mean of domains") -> go.Figure:
    """Held-out loss of every arm along the training: mean and range over seeds (Figure 1).

    Args:
        course: `Arms.course`.
        domain: which of its domains; the default is the mean over them.

    Returns:
        The figure.
    """
    figure = go.Figure()
    part = course[course["domain"] == domain]
    for number, (arm, rows) in enumerate(part.groupby("arm", sort=False)):
        by = rows.groupby("tokens")["loss"]
        mean, low, high = by.mean(), by.min(), by.max()
        colour = COLOURS[number % len(COLOURS)]
        figure.add_scatter(
            x=mean.index, y=mean.round(4), name=shown(str(arm)), mode="lines+markers",
            line={"color": colour}, marker={"size": 5},
            error_y=error_bar(mean, low, high, thickness=1),
        )  # fmt: skip
    figure.update_layout(
        title=f"Held-out loss along the training ({shown(domain)}; whiskers: range over seeds)",
        xaxis_title="tokens trained on", yaxis_title="nats a token",
        legend={"orientation": "h", "y": -0.25},
    )  # fmt: skip
    return styled(figure, height=420)


def gain_bars(table: pd.DataFrame, over: str = "domain") -> go.Figure:
    """Gain of every arm over the baseline with its 95 % interval over seeds (Table 1).

    Args:
        table: what `gain` returned.
        over: as in that call.

    Returns:
        The figure; above 0: lower loss than the baseline.
    """
    figure = go.Figure()
    # From the second colour on, as in `training_curve`, where the baseline has the first.
    for number, (arm, rows) in enumerate(table.groupby("arm", sort=False), start=1):
        figure.add_scatter(
            x=[shown(str(value)) for value in rows[over]], y=rows["gain"].round(4), mode="markers",
            name=shown(str(arm)), marker={"color": COLOURS[number % len(COLOURS)], "size": 9},
            error_y=error_bar(rows["gain"], rows["low"], rows["high"]),
            hovertemplate="%{x}: %{y:+.3f} nats<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=0, line_color=INK, line_width=1)
    figure.update_layout(
        title="Gain over the baseline (95 % over seeds; above 0: lower loss)",
        yaxis_title="nats a token", scattermode="group", legend={"orientation": "h", "y": -0.25},
    )  # fmt: skip
    return styled(figure, height=420)


def memorisation_curve(table: pd.DataFrame) -> go.Figure:
    """How well inserted passages are told from unseen ones, and come back, by their copies.

    Args:
        table: `MemorisationAudit.by_copies()`.

    Returns:
        The figure, two lines for each part of the corpus: the AUC with its interval (dotted line:
        .5, where nothing is told apart), and the mean share that comes back verbatim.
    """
    figure = go.Figure()
    counts = sorted(table["copies"].unique())
    parts = list(table.groupby("part", sort=True))
    for number, (part, rows) in enumerate(parts):
        rows = rows.sort_values("copies")
        # Copies stand evenly: 0 has no place on a logarithmic axis.
        at = [f"{copies:,}" for copies in rows["copies"]]
        of = f", {part:.0%} of the corpus" if len(parts) > 1 else ""
        look = {"dash": ("solid", "dash", "dot", "dashdot")[number % 4]}
        figure.add_scatter(
            x=at, y=rows["auc"].round(4), mode="lines+markers", name=f"AUC{of}",
            line={"color": COLOURS[0], **look}, marker={"size": 8},
            error_y=error_bar(rows["auc"], rows["low"], rows["high"]),
            hovertemplate="%{x} copies: AUC %{y:.2f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=at, y=rows["verbatim"].round(4), mode="lines+markers",
            name=f"share of the second half given back{of}", line={"color": COLOURS[1], **look},
            marker={"size": 8, "symbol": "square"},
            hovertemplate="%{x} copies: %{y:.0%} given back<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=0.5, line_dash="dot", line_color=INK, line_width=1)
    figure.update_xaxes(
        title_text="copies inserted", type="category", categoryorder="array",
        categoryarray=[f"{copies:,}" for copies in counts],
    )  # fmt: skip
    figure.update_yaxes(title_text="share", range=[-0.04, 1.06])
    figure.update_layout(
        title="What is learnt by heart (AUC with 95 % intervals; dotted: told apart by chance)",
        legend={"orientation": "h", "y": -0.25},
    )
    return styled(figure, height=400)


def mirror_scatter(table: pd.DataFrame, label: str, x: str = "cost", y: str = "gain") -> go.Figure:
    """What masking costs the selector against what training on the selection gains.

    Args:
        table: one row a task or document with `x`, `y`, `label` and, if there are any, low and high
            (of y) and domain (colours).
        label: the column with its name.
        x: the column with the rise of the loss when the selector's heads are masked.
        y: the column with the gain of the trained decoder, in nats a token.

    Returns:
        The figure.
    """
    figure = go.Figure()
    colour = "domain" if "domain" in table else label  # few tasks have a colour each
    for number, (group, rows) in enumerate(table.groupby(colour, sort=True)):
        bars = None
        if "low" in rows and colour == label:  # for hundreds of documents they would hide the dots
            bars = error_bar(rows[y], rows["low"], rows["high"], thickness=1)
        figure.add_scatter(
            x=rows[x].round(4), y=rows[y].round(4), text=[shown(str(name)) for name in rows[label]],
            mode="markers", error_y=bars, name=shown(str(group)),
            marker={"color": COLOURS[number % len(COLOURS)], "size": 8, "opacity": 0.8},
            hovertemplate="%{text}<br>masking %{x:+.2f}, training %{y:+.3f}<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=0, line_color=INK, line_width=1)
    figure.update_layout(
        title="The mirror: what masking costs against what training gains",
        xaxis_title="rise of the loss when the selector's heads are masked",
        yaxis_title="gain of the trained decoder (nats a token)",
    )  # fmt: skip
    return styled(figure, height=440)
