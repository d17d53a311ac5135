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
BIGGEST = 9  # diameter in pixels of the dot of a run that holds the three domains alone


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
    share what is left. Runs are drawn by the shares of the three among themselves, with an area
    that is proportional to what they gave to the three: a small dot is a run that was trained
    mostly on other domains, and one that gave the three nothing is left out.

    Args:
        fit: of `fit_mixture`, of three domains or more.
        best: a star is drawn there. None: no star.
        domains: three of the fit's; None: those that get most of `best`, or of the runs.
        weights: of the losses, as in `MixtureFit.predict`; None: those of `best`, or all the same.
        at: shares of all domains, summing to 1: a cross is drawn there, and the other domains keep
            its shares in place of those of `best`. None: no cross.

    Returns:
        The figure, a ternary plot; its title counts the runs that are drawn.

    Raises:
        ValueError: there are not three different domains of the fit, or they have no share.
    """
    middle = fit.runs.mean() if best is None else best.shares
    three = list(middle.nlargest(3).index) if domains is None else list(domains)
    centre = middle if at is None else at
    _check_three(fit, three, centre)
    if weights is None and best is not None:
        weights = best.weights
    drawn = fit.runs[fit.runs[three].sum(axis=1) > 0]
    figure = go.Figure([*_heat(fit, three, centre, weights), _runs(drawn, three)])
    if best is not None:
        star = {"symbol": "star", "size": 16, "color": COLOURS[1], "line": {"width": 1}}
        place = best.shares.to_frame().T
        figure.add_trace(_dots(place, three, "best", star, [f"{best.predicted:.4f} nats"]))
    if at is not None:
        cross = {"symbol": "cross", "size": 13, "color": COLOURS[3], "line": {"width": 1}}
        loss = float(fit.predict(at.to_frame().T, weights).iloc[0])
        notes = [f"{loss:.4f} nats predicted"]
        figure.add_trace(_dots(at.to_frame().T, three, "the sliders", cross, notes))
    names = [shown(str(domain)) for domain in three]
    title = f"Predicted loss over {', '.join(names)}; {len(drawn)} runs"
    if len(drawn) < len(fit.runs):
        title = title.removesuffix("runs") + f"of {len(fit.runs)} runs"
    if len(centre) > 3:
        title += f"; all others together {1 - centre[three].sum():.0%}"
    figure.update_layout(title=title, legend={"orientation": "h", "y": -0.12})
    axes = {
        f"{axis}axis": {"title": {"text": name}} for axis, name in zip("abc", names, strict=True)
    }
    figure.update_layout(ternary=axes)
    return styled(figure, height=520)


def _check_three(fit: MixtureFit, three: list[str], centre: pd.Series) -> None:
    if len(set(three)) != 3 or not set(three) <= set(fit.runs.columns):
        raise ValueError(
            f"three domains of {list(fit.runs.columns)!r:.300} make a triangle, got {three!r:.200}"
        )
    if not centre[three].sum() > 0:
        raise ValueError(
            f"{', '.join(map(str, three))} have no share between them, so there is nothing to draw "
            "over them: give one of them some"
        )


def _heat(
    fit: MixtureFit, three: list[str], centre: pd.Series, weights: Weights | None
) -> list[go.Scatterternary]:
    """Grid points over the triangle: grey where no such share was run, else the prediction."""
    steps = [(i, j) for i in range(STEPS + 1) for j in range(STEPS + 1 - i)]
    corner = np.array([(i, j, STEPS - i - j) for i, j in steps]) / STEPS
    points = pd.DataFrame(np.tile(centre, (len(corner), 1)), columns=list(centre.index))
    points[three] = corner * centre[three].sum()
    run = ((points >= fit.runs.min()) & (points <= fit.runs.max()))[three].all(axis=1)
    inside, outside = points[run], points[~run]
    predicted = fit.predict(inside, weights).round(4).to_numpy()
    hexagon = {"symbol": "hexagon", "size": 9}
    heat = hexagon | {
        "color": predicted, "colorscale": "Viridis",
        "colorbar": {"title": {"text": "predicted, nats"}},
    }  # fmt: skip
    grey, unknown = hexagon | {"color": OUTSIDE}, ["not predicted"] * len(outside)
    return [
        _dots(outside, three, "no such share was run", grey, unknown),
        _dots(inside, three, "inside the shares run", heat, [f"{x:.4f} nats" for x in predicted]),
    ]


def _runs(runs: pd.DataFrame, three: list[str]) -> go.Scatterternary:
    """A dot a run, its area the share of the three domains."""
    share = runs[three].sum(axis=1)
    marker = {
        "size": share.round(4), "sizemode": "area", "sizeref": 2 / BIGGEST**2, "sizemin": 1.5,
        "color": "white", "opacity": 1, "line": {"width": 1, "color": "black"},
    }  # fmt: skip
    others = len(runs.columns) > 3
    notes = [shown(f"run {label}") for label in runs.index]
    if others:
        notes = [f"{run}, {of:.0%} of which is these" for run, of in zip(notes, share, strict=True)]
    name = "runs (small: mostly other domains)" if others else "runs"
    return _dots(runs, three, name, marker, notes)


def _dots(
    shares: pd.DataFrame, three: list[str], name: str, marker: dict, notes: Sequence[str]
) -> go.Scatterternary:
    """Markers at the shares of the three domains among themselves, with what is notes of each."""
    of_three = shares[three].to_numpy(float)
    among = of_three / of_three.sum(axis=1, keepdims=True)
    names = [shown(str(domain)) for domain in three]
    text = [
        ", ".join(f"{who} {share:.2f}" for who, share in zip(names, row, strict=True)) + f": {what}"
        for row, what in zip(among, notes, strict=True)
    ]
    a, b, c = among.round(4).T
    return go.Scatterternary(
        a=a, b=b, c=c, mode="markers", name=name, marker=marker, text=text,
        hovertemplate="%{text}<extra></extra>", cliponaxis=False,
    )  # fmt: skip


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
