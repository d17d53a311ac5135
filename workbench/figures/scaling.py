"""Figures of scaling laws. Nothing is computed here but the points along a curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.detection.retention_fit import RetentionFit, retention_at
from workbench.figures.theme import COLOURS, LOG_AXIS, error_bar, shown, styled
from workbench.scaling.law_comparison import as_law, require_one_unit
from workbench.scaling.law_fit import LawFit
from workbench.scaling.power_sum import ScalingFit
from workbench.scaling.run_tables import IsoFlop

BAND = "rgba(0,114,178,0.2)"
POINTS = 60  # along a curve
BEYOND = 10.0  # times the measured range, that a curve is drawn on either side
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
    figure.update_xaxes(**LOG_AXIS, title_text=shown(across))
    figure.update_yaxes(**LOG_AXIS, title_text=shown(fit.loss))
    return styled(figure, height=440)


def law_curves(
    laws: Sequence[Any],
    across: str,
    inputs: Mapping[str, float | Callable[[Any], Any]] | None = None,
    runs: pd.DataFrame | None = None,
) -> go.Figure:
    """Laws against one of their inputs: solid where they were measured, dashed beyond.

    A fit of own runs (`refit`) brings its 95 % bands, of the law and of a run, and its points.

    Args:
        laws: keys of `LAWS`, laws, or fits of laws, whose outputs have one unit.
        across: the input on the axis; every law must take it.
        inputs: the other inputs of any of the laws; a function of the one on the axis where they
            are tied (`{"tokens": lambda params: compute / (6 * params)}`).
        runs: further runs, drawn as points: the columns `across` and the laws' output.

    Returns:
        The figure, both axes logarithmic.

    Raises:
        ValueError: the laws have different units, or an input is missing.
    """
    chosen = [as_law(law) for law in laws]
    require_one_unit(chosen)
    output = chosen[0].output
    measured: list[Any] = [runs[across]] if runs is not None else []
    for law, given in zip(chosen, laws, strict=True):
        quantity = next((quantity for quantity in law.inputs if quantity.name == across), None)
        if quantity is None:
            raise ValueError(f"{law.key} does not take {across}, which is to be on the axis")
        measured.append([end for end in (quantity.low, quantity.high) if end])
        if isinstance(given, LawFit):
            measured.append(given.runs[across])
    ends = [float(value) for part in measured for value in part]
    if not ends:
        raise ValueError(f"no law states a range of {across}: pass runs, which give one")
    line = np.geomspace(min(ends) / BEYOND, max(ends) * BEYOND, POINTS)
    figure = go.Figure()
    for number, (law, given) in enumerate(zip(chosen, laws, strict=True)):
        names = {quantity.name for quantity in law.inputs} - {across}
        others = {key: value for key, value in (inputs or {}).items() if key in names}
        point = {k: v(line) if callable(v) else v for k, v in others.items()} | {across: line}
        colour, name = COLOURS[number % len(COLOURS)], shown(law.key)
        if isinstance(given, LawFit):
            _bands(figure, line, given.predict(pd.DataFrame(point)), name, colour)
            _runs(figure, given.runs[across], given.runs[given.output], f"runs of {name}", colour)
        value = law.evaluate(**point)
        measured_there = np.full(line.shape, True)
        for quantity in law.inputs:
            low, high = quantity.low or 0.0, quantity.high or np.inf
            measured_there &= (low <= point[quantity.name]) & (point[quantity.name] <= high)
        for inside, dash in ((True, "solid"), (False, "dash")):
            drawn = _stretches(measured_there == inside)
            figure.add_scatter(
                x=line, y=np.where(drawn, value, np.nan), mode="lines", legendgroup=name,
                line={"color": colour, "dash": dash}, showlegend=inside, name=name,
                hovertemplate=f"{name}<br>%{{x:.3g}}: %{{y:.4g}}<extra></extra>",
            )  # fmt: skip
    if runs is not None:
        _runs(figure, runs[across], runs[output.name], "runs", COLOURS[6])
    figure.update_layout(title=f"{shown(output.unit)} (dashed: not measured there)")
    figure.update_xaxes(**LOG_AXIS, title_text=shown(across))
    figure.update_yaxes(**LOG_AXIS, title_text=shown(output.name))
    return styled(figure, height=460)


def isoflop_curves(found: IsoFlop, laws: Sequence[Any] = ()) -> go.Figure:
    """Loss against size at each compute, its parabola, and the best size with its interval.

    Args:
        found: what `isoflop` returned; a hollow star is a best size that is not bracketed.
        laws: keys of `LAWS`, laws or fits, of params and tokens, whose best size is drawn as a
            dotted line through the runs of each compute.

    Returns:
        The figure, size logarithmic.
    """
    figure = go.Figure()
    for number, row in enumerate(found.table.to_dict("records")):
        group = found.runs[found.runs["group"] == number]
        colour, name = COLOURS[number % len(COLOURS)], f"{row['compute']:.2g} FLOP"
        _runs(figure, group["params"], group["loss"], name, colour, legendgroup=name)
        best, low, high = (np.array([row[key]]) for key in ("params_opt", "low", "high"))
        if row["bracketed"]:
            line = np.geomspace(group["params"].min(), group["params"].max(), POINTS)
            figure.add_scatter(
                x=line, y=(row["loss"] + row["curvature"] * np.log(line / best) ** 2).round(5),
                mode="lines", line={"color": colour}, showlegend=False, legendgroup=name,
                hoverinfo="skip",
            )  # fmt: skip
        figure.add_scatter(
            x=best, y=[round(row["loss"], 5)], mode="markers", showlegend=False, name=name,
            legendgroup=name,
            error_x=error_bar(best, low, high) if row["bracketed"] and row["low"] > 0 else {},
            marker={"color": colour, "size": 13, "line": {"width": 1},
                    "symbol": "star" if row["bracketed"] else "star-open"},
            text=[row["says"] or "best size"],
            hovertemplate="%{text}<br>%{x:.3g}: %{y:.4f}<extra></extra>",
        )  # fmt: skip
    for number, law in enumerate(map(as_law, laws)):
        x: list[float | None] = []
        y: list[float | None] = []
        for at, compute in enumerate(found.table["compute"]):
            losses = found.runs.loc[found.runs["group"] == at, "loss"]
            x += [law.optimum(compute)["params"]] * 2 + [None]
            y += [losses.min(), losses.max(), None]
        figure.add_scatter(
            x=x, y=y, mode="lines", name=f"best size by {shown(law.key)}",
            line={"color": COLOURS[-1 - number % len(COLOURS)], "dash": "dot"},
        )  # fmt: skip
    exponent = "{:.3f} [{:.3f}, {:.3f}]".format(*found.exponent)
    grows = "" if np.isnan(found.exponent[0]) else f": best size grows as compute^{exponent}"
    figure.update_layout(title=f"IsoFLOP curves{grows}")
    figure.update_xaxes(**LOG_AXIS, title_text="params")
    figure.update_yaxes(title_text="loss (nats a token)")
    return styled(figure, height=460)


def sensitivity_curves(
    runs: pd.DataFrame,
    table: pd.DataFrame,
    initial: float,
    rates: Mapping[str, float | tuple[float, float]] | None = None,
) -> go.Figure:
    """Loss against learning rate for each group, and the best rate with its neighbours.

    Args:
        runs: one row a run: learning_rate, loss, and the column that tells the groups apart.
        table: what `rate_sensitivity` returned for them; its first column tells the groups apart.
        initial: the loss of an untrained model, above which no loss is drawn, in nats.
        rates: name to a rate that is drawn as a vertical line, or to its low and high end, as a
            band, such as what laws of the book say; in the legend by its name.

    Returns:
        The figure, rates logarithmic.
    """
    by = str(table.columns[0])
    figure = go.Figure()
    for number, row in enumerate(table.to_dict("records")):
        part = runs[runs[by] == row[by]].sort_values("learning_rate")
        loss = part["loss"].fillna(initial).clip(upper=initial)
        colour = COLOURS[number % len(COLOURS)]
        group = f"{row[by]:.3g}" if isinstance(row[by], float) else shown(str(row[by]))
        says = "" if row["bracketed"] else "; not bracketed"
        figure.add_scatter(
            x=part["learning_rate"], y=loss.round(5), mode="lines+markers", line={"color": colour},
            name=f"{shown(by)} {group}: sensitivity {row['sensitivity']:.3f}{says}",
            hovertemplate="%{x:.3g}: %{y:.4f}<extra></extra>",
        )  # fmt: skip
        sure = bool(row["bracketed"])
        best, below, above = (np.array([row[name]]) for name in ("best_rate", "low", "high"))
        figure.add_scatter(
            x=best, y=[round(row["loss"], 5)], mode="markers", showlegend=False,
            error_x=error_bar(best, below, above, digits=9) if sure else {},
            text=[row["says"] or "best rate"],
            marker={"color": colour, "size": 13, "symbol": "star" if sure else "star-open"},
            hovertemplate="%{text}: %{x:.3g}<extra></extra>",
        )  # fmt: skip
    least = float(table["loss"].min())
    for number, (name, rate) in enumerate((rates or {}).items()):
        low, high = rate if isinstance(rate, tuple) else (rate, rate)
        colour = COLOURS[-1 - number % len(COLOURS)]
        figure.add_scatter(
            x=[low, low, high, high], y=[least, initial, initial, least], mode="lines",
            fill="toself", line={"color": colour, "dash": "dot"}, name=shown(name),
            hovertemplate=f"{shown(name)}: %{{x:.3g}}<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=initial, line={"width": 1, "dash": "dash", "color": COLOURS[6]})
    figure.update_layout(title="Loss against learning rate (dashed: an untrained model)")
    figure.update_xaxes(**LOG_AXIS, title_text="learning rate")
    figure.update_yaxes(title_text="loss (nats a token)")
    return styled(figure, height=460)


def retention_curve(fit: RetentionFit) -> go.Figure:
    """Retention against the share of masked heads, and the share at half with its interval.

    Args:
        fit: what `fit_retention` returned.

    Returns:
        The figure, shares logarithmic.
    """
    figure = go.Figure()
    for number, row in enumerate(fit.halves.to_dict("records")):
        points = fit.points[fit.points["order"] == row["order"]]
        colour, order = COLOURS[number % len(COLOURS)], shown(str(row["order"]))
        name = f"{order}: half at {row['half']:.3g}" if row["bracketed"] else f"{order}: no half"
        _runs(figure, points["share"], points["retention"], name, colour, legendgroup=order)
        if row["bracketed"]:
            line = np.geomspace(fit.points["share"].min(), fit.points["share"].max(), POINTS)
            figure.add_scatter(
                x=line, y=retention_at(line, row["half"], row["steepness"]).round(4), mode="lines",
                line={"color": colour}, showlegend=False, legendgroup=order, hoverinfo="skip",
            )  # fmt: skip
            half, low, high = (np.array([row[end]]) for end in ("half", "low", "high"))
            figure.add_scatter(
                x=half, y=[0.5], mode="markers", showlegend=False, legendgroup=order,
                error_x=error_bar(half, low, high, digits=9), marker={"color": colour, "size": 11},
                hovertemplate="half at %{x:.3g}<extra></extra>",
            )  # fmt: skip
    figure.update_layout(title="Retention as heads are masked")
    figure.update_xaxes(**LOG_AXIS, title_text="share of heads that are masked")
    figure.update_yaxes(title_text="share of right answer tokens that is left", rangemode="tozero")
    return styled(figure, height=400)


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
    figure.update_xaxes(**LOG_AXIS, title_text=shown(setting))
    figure.update_yaxes(title_text="overlap, Spearman", range=[-0.05, 1.05])
    return styled(figure, height=400)


def _spread(runs: pd.DataFrame, held: pd.DataFrame | None, name: str) -> list[float]:
    """Up to CURVES of the values of an input, the extremes among them."""
    every = [*runs[name], *([] if held is None else held[name])]
    values = np.unique(np.asarray(every, dtype=float))
    if len(values) > CURVES:
        values = values[np.linspace(0, len(values) - 1, CURVES).round().astype(int)]
    return values.tolist()


def _stretches(drawn: np.ndarray) -> np.ndarray:
    """Stretches of a curve, each with one point more on either side, so that they meet."""
    longer = drawn.copy()
    longer[1:] |= drawn[:-1]
    return longer


def _bands(
    figure: go.Figure, line: np.ndarray, predicted: pd.DataFrame, name: str, colour: str
) -> None:
    for low, high, opacity, label in (
        ("run_low", "run_high", 0.12, "a run"), ("low", "high", 0.3, "the law"),
    ):  # fmt: skip
        if predicted[low].notna().all():
            figure.add_scatter(
                x=[*line, *line[::-1]], y=[*predicted[high], *predicted[low][::-1]], mode="lines",
                fill="toself", fillcolor=colour, opacity=opacity, line={"width": 0},
                legendgroup=name, hoverinfo="skip", name=f"95 % of {label} ({name})",
            )  # fmt: skip


def _runs(
    figure: go.Figure, x: pd.Series, y: pd.Series, name: str, colour: str, **options: str
) -> None:
    figure.add_scatter(
        x=x, y=y.round(6), mode="markers", name=name, marker={"color": colour, "size": 7},
        hovertemplate="%{x:.3g}: %{y:.4g}<extra></extra>", **options,
    )  # fmt: skip
