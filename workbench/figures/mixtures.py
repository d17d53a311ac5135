"""Figures of mixtures: the loss that a fit predicts for them, the runs, and the best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures.theme import COLOURS, shown, styled
from workbench.scaling.mixtures import BestMixture, MixtureFit, Weights

STEPS = 40  # of a grid point along each side of the triangle
OUTSIDE = "rgba(140,140,140,0.35)"


def mixture_simplex(
    fit: MixtureFit,
    best: BestMixture | None = None,
    domains: Sequence[str] | None = None,
    *,
    weights: Weights | None = None,
    at: pd.Series | None = None,
) -> go.Figure:
    """The predicted loss over three domains, where their shares were run; grey elsewhere.

    Other domains keep the shares of `best` (without it their mean over the runs), and the three
    share what is left. The runs are drawn by the shares of the three among themselves, whatever
    they gave to others.

    Args:
        fit: of `fit_mixture`, of three domains or more.
        best: a star is drawn there. None: no star.
        domains: three of the fit's; None: those that get most of `best`, or of the runs.
        weights: of the losses, as in `MixtureFit.predict`; None: those of `best`, or all the same.
        at: shares of all domains, summing to 1: a cross is drawn there, and the other domains keep
            its shares in place of those of `best`. None: no cross.

    Returns:
        The figure, a ternary plot.

    Raises:
        ValueError: there are not three different domains of the fit, or they have no share.
    """
    middle = fit.runs.mean() if best is None else best.shares
    three = list(middle.nlargest(3).index) if domains is None else list(domains)
    centre = middle if at is None else at
    if len(set(three)) != 3 or not set(three) <= set(fit.runs.columns):
        raise ValueError(
            f"three domains of {list(fit.runs.columns)!r:.300} make a triangle, got {three!r:.200}"
        )
    if not centre[three].sum() > 0:
        raise ValueError(
            f"{', '.join(map(str, three))} have no share between them, so there is nothing to draw "
            "over them: give one of them some"
        )
    steps = [(i, j) for i in range(STEPS + 1) for j in range(STEPS + 1 - i)]
    corner = np.array([(i, j, STEPS - i - j) for i, j in steps]) / STEPS
    points = pd.DataFrame(np.tile(centre, (len(corner), 1)), columns=list(centre.index))
    points[three] = corner * centre[three].sum()
    inside = ((points >= fit.runs.min()) & (points <= fit.runs.max()))[three].all(axis=1).to_numpy()
    if weights is None and best is not None:
        weights = best.weights
    predicted = fit.predict(points, weights).round(4)
    names = [shown(str(domain)) for domain in three]
    figure = go.Figure()

    def add(shares: np.ndarray, name: str, marker: dict, notes: Sequence[str]) -> None:
        text = [
            ", ".join(f"{who} {share:.2f}" for who, share in zip(names, row, strict=True))
            + f": {what}"
            for row, what in zip(shares, notes, strict=True)
        ]
        a, b, c = shares.round(4).T
        figure.add_scatterternary(
            a=a, b=b, c=c, mode="markers", name=name, marker=marker, text=text,
            hovertemplate="%{text}<extra></extra>", cliponaxis=False,
        )  # fmt: skip

    heat = {
        "symbol": "hexagon", "size": 9, "color": predicted[inside], "colorscale": "Viridis",
        "colorbar": {"title": {"text": "predicted, nats"}},
    }  # fmt: skip
    outside = corner[~inside]
    grey = {"symbol": "hexagon", "size": 9, "color": OUTSIDE}
    add(outside, "no such share was run", grey, ["not predicted"] * len(outside))
    add(corner[inside], "inside the shares run", heat, [f"{x:.4f} nats" for x in predicted[inside]])
    runs = fit.runs[three][fit.runs[three].sum(axis=1) > 0]
    dots = {"size": 6, "color": "white", "line": {"width": 1, "color": "black"}}
    among = runs.to_numpy() / runs.to_numpy().sum(axis=1, keepdims=True)
    add(among, "runs", dots, [shown(f"run {label}") for label in runs.index])
    if best is not None:
        star = {"symbol": "star", "size": 16, "color": COLOURS[1], "line": {"width": 1}}
        share = best.shares[three].to_numpy()[None]
        add(share / share.sum(), "best", star, [f"{best.predicted:.4f} nats"])
    if at is not None:
        cross = {"symbol": "cross", "size": 13, "color": COLOURS[3], "line": {"width": 1}}
        loss = float(fit.predict(at.to_frame().T, weights).iloc[0])
        add((at[three] / at[three].sum()).to_numpy()[None], "the sliders", cross,
            [f"{loss:.4f} nats predicted"])  # fmt: skip
    rest = 1 - centre[three].sum()
    title = f"Predicted loss over {', '.join(names)}; {len(fit.runs)} runs"
    if len(centre) > 3:
        title += f"; all others together {rest:.0%}"
    figure.update_layout(title=title, legend={"orientation": "h", "y": -0.12})
    axes = {
        f"{axis}axis": {"title": {"text": name}} for axis, name in zip("abc", names, strict=True)
    }
    figure.update_layout(ternary=axes)
    return styled(figure, height=520)


def mixture_shares(best: BestMixture) -> go.Figure:
    """The share of each domain in the best mixture, before the range of shares that were run.

    Args:
        best: of `MixtureFit.best`; its `frame` holds the same numbers as a table.

    Returns:
        The figure, one line a domain.
    """
    table = best.frame.iloc[::-1]
    names = [shown(str(domain)) for domain in table["domain"]]
    figure = go.Figure()
    figure.add_bar(
        y=names, x=table["highest_run"] - table["lowest_run"], base=table["lowest_run"].tolist(),
        orientation="h", name="shares that were run", marker={"color": OUTSIDE}, hoverinfo="skip",
    )  # fmt: skip
    for column, symbol, colour, name in (
        ("in_nearest_run", "circle-open", COLOURS[0], f"nearest run ({best.nearest_run})"),
        ("share", "star", COLOURS[1], "best"),
    ):
        figure.add_scatter(
            y=names, x=table[column].round(4), mode="markers", name=shown(name),
            marker={"symbol": symbol, "size": 12, "color": colour},
            hovertemplate="%{x:.3f}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        title=f"Best mixture: {best.predicted:.3f} nats predicted [{best.low:.3f}, {best.high:.3f}]"
    )
    figure.update_xaxes(title_text="share of the training tokens", range=[-0.02, 1.02])
    return styled(figure, height=200 + 30 * len(names))
