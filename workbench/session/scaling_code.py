"""The Python that puts a scaling desk together again, and the page that keeps a figure of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Protocol

import pandas as pd
import plotly.graph_objects as go

from workbench.core.text import escape_control_characters, escaped
from workbench.figures.theme import themed
from workbench.scaling.law_fit import REFITTED, LawFit
from workbench.scaling.laws.law import Law
from workbench.scaling.mixtures import BestMixture, MixtureFit
from workbench.scaling.run_text import runs_as_text

PAGE = (
    "body{font:15px/1.45 sans-serif;max-width:1000px;margin:24px auto;padding:0 12px;color:#222}"
    "table{border-collapse:collapse;font-size:13px}td,th{padding:2px 12px 2px 0;text-align:left}"
    "pre{white-space:pre-wrap;font-size:13px;background:#f5f5f5;padding:8px}"
    "@media print{pre{background:none;padding:0}}"
)


class Desk(Protocol):
    """What is read of a `ScalingDesk`, which imports this module."""

    runs: pd.DataFrame | None
    brought: str | None
    mixtures: MixtureFit | None
    laws: tuple[str, ...]
    inputs: dict[str, float]
    held_out: frozenset[int]
    fit: LawFit | None
    best: BestMixture | None
    locked: str
    resamples: int
    shares: pd.Series | None
    weights: Mapping[str, float] | None


def desk_code(desk: Desk) -> str:
    """Python that works out again what is on a desk.

    Args:
        desk: the desk.

    Returns:
        The lines. A table of runs that came from the page is written out; a comment names what
        only this process holds.
    """
    lines = ["import workbench as wb", ""]
    given = []
    if desk.runs is not None:
        if desk.brought is None:
            lines.append(
                f"# runs: your table of {len(desk.runs)} runs, as wb.training_runs makes it"
            )
        else:
            rows = runs_as_text(desk.runs).splitlines(keepends=True)
            lines.append(f"# {desk.brought!r}, as it was put in the page")
            lines += ["runs = wb.runs_from_text(", *(f"    {row!r}" for row in rows), ")"]
        given.append("runs")
    if desk.mixtures is not None:
        count, domains = desk.mixtures.runs.shape
        lines.append(f"# mixtures: your fit of {count} runs of {domains} domains (wb.fit_mixture)")
        given.append("mixtures=mixtures")
    lines.append(f"desk = wb.ScalingDesk({', '.join([*given, f'laws={list(desk.laws)!r}'])})")
    names = ("params", "tokens", "batch_tokens")
    lines += [f"desk.change({name!r}, {desk.inputs[name]!r})" for name in names]
    lines.append(f"desk.locked = {desk.locked!r}")
    if desk.held_out:
        lines.append(f"desk.hold_out({sorted(desk.held_out)!r})")
    if desk.fit is not None:
        law = desk.fit.law.key.removesuffix(REFITTED)
        lines.append(f"desk.refit({law!r}, resamples={desk.resamples})")
    if desk.best is not None:
        weights = {name: float(value) for name, value in desk.best.weights.items()}
        lines.append(f"desk.find_mixture({weights!r})")
    if desk.shares is not None:
        lines.append(f"desk.mix({desk.shares.to_dict()!r}, {desk.weights!r})")
    lines.append("desk.says()")
    return "\n".join(lines) + "\n"


def desk_page(
    desk: Desk,
    figure: go.Figure,
    title: str,
    tables: Mapping[str, pd.DataFrame],
    laws: Iterable[Law],
) -> str:
    """A figure with what is needed to judge it, as one HTML file that loads nothing.

    Args:
        desk: what the figure shows.
        figure: is left as it is.
        title: of the page.
        tables: heading to a table that stands under the figure.
        laws: whose entries (formula, constants, units, source) stand under it.

    Returns:
        The file; every text of the user's stands in it as text.
    """
    drawn = themed(go.Figure(figure), "light")
    drawn.update_layout(paper_bgcolor="white", plot_bgcolor="white", width=None, autosize=True)
    at = ", ".join(f"{name} {value:.4g}" for name, value in desk.inputs.items())
    parts = [
        f"<h1>{escaped(title)}</h1>",
        drawn.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False}),
        f"<p>{escaped(f'The run that is asked about: {at}.')}</p>",
    ]
    for heading, table in tables.items():
        safe = table.rename(columns=lambda name: escape_control_characters(str(name)))
        parts += [f"<h2>{escaped(heading)}</h2>", safe.to_html(escape=True, border=0)]
    entries = [law.describe() for law in laws]
    if entries:
        parts += ["<h2>Laws</h2>", *(f"<pre>{escaped(entry)}</pre>" for entry in entries)]
    if desk.fit is not None:
        words = f"{desk.fit.describe()}\n{desk.fit.units}"
        parts += ["<h2>The law fitted to the runs</h2>", f"<pre>{escaped(words)}</pre>"]
    parts += ["<h2>Python that works it out again</h2>", f"<pre>{escaped(desk_code(desk))}</pre>"]
    parts.append(f"<p>Made by workbench {version('attention-influence-workbench')}.</p>")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escaped(title)}</title><style>{PAGE}</style></head>"
        f"<body>{''.join(parts)}</body></html>"
    )
