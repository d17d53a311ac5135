"""A picture of a session in plain HTML: what stands in place of the widget where no kernel runs.

Colours are inline and everything is said in words besides, since some sites strip styles. There is
no script, and all text is escaped.
"""

from __future__ import annotations

import numpy as np

from workbench.core.text import escape_control_characters, escaped
from workbench.masking.token_changes import TokenChanges
from workbench.models.model import Model
from workbench.session.head_colours import HeadColours
from workbench.session.state import State

RISE, FALL = "213,94,0", "0,114,178"  # vermilion and blue of Okabe and Ito
STRENGTH = 0.7  # of the strongest colour of a token, on which ink can be read
AS_IT_IS = "mathjax_ignore tex2jax_ignore"  # dollars in a text are no formula
BORDER = "1px solid rgba(128,128,128,.5)"

# Where the widget lives, it hides the picture; where it cannot, JupyterLab writes "Error displaying
# widget: model not found" into an element without children, and the picture hides that. The PNG
# that follows is for sites that strip this style and all colours.
STYLE = (
    "<style>.jp-OutputArea-child:has(.aiw-snapshot) + .jp-OutputArea-child:has(img)"
    "{display:none}.jp-OutputArea:has(.aiw-explorer) .aiw-snapshot{display:none}"
    ".jp-OutputArea-child:has(+ .jp-OutputArea-child .aiw-snapshot)"
    ":has(> .jp-OutputArea-output.jupyter-widgets:not(:has(*))){display:none}</style>"
)


def snapshot(model: Model, state: State, colours: HeadColours, changes: TokenChanges) -> str:
    """A picture of a session in plain HTML; the same state gives the same HTML.

    Args:
        model: of the session.
        state: which heads are masked, and how.
        colours: the value of every head.
        changes: losses of the text.

    Returns:
        HTML of the grid and of the text, without a script.
    """
    masked = escaped(str(state.heads)) or "none"
    reach = f"{changes.colour_max:g}"
    scale = _scale(
        f"easier, -{reach}", f"{FALL},{STRENGTH}", f"{RISE},{STRENGTH}",
        f"+{reach} nats, harder to predict",
    )  # fmt: skip
    return (
        f'{STYLE}<div class="aiw-snapshot {AS_IT_IS}" style="font-family:sans-serif">'
        f"<p><b>{escaped(model.source)}</b>: {len(state.heads)} of {model.head_count} "
        f"heads masked ({state.mode}): {masked}</p>"
        '<div style="display:flex;flex-wrap:wrap;gap:24px">'
        f"<div>{_grid(model, state, colours)}</div>"
        f'<div style="flex:1 1 320px;min-width:0"><p><b>{escaped(changes.describe())}</b></p>'
        f"{_text(changes)}<p>{scale}</p>"
        "<p><i>A picture. Run the cell to toggle heads.</i></p></div></div></div>"
    )


def _grid(model: Model, state: State, colours: HeadColours) -> str:
    masked = set(state.heads)
    high = colours.high or 1.0
    numbers = "".join(f"<th>{head}</th>" for head in range(model.num_heads))
    lines = [f"<tr><th></th>{numbers}</tr>"]
    for layer in range(model.num_layers):
        cells = []
        for head in range(model.num_heads):
            value = float(colours.values[layer, head])
            share = 0.0 if np.isnan(value) else min(abs(value) / high, 1.0)
            rgb = RISE if colours.diverging and value >= 0 else FALL
            cells.append(
                f'<td title="L{layer}H{head}: {escaped(colours.describe(layer, head))}" '
                f'style="padding:0;width:14px;height:14px;border:{BORDER};text-align:center;'
                f'font-weight:bold;background-color:rgba({rgb},{share:.2f})">'
                f"{'&times;' if (layer, head) in masked else ''}</td>"
            )
        lines.append(f"<tr><th>{layer}</th>{''.join(cells)}</tr>")
    low, end = (f"{value:.{colours.digits}f}" for value in (colours.low, colours.high))
    first, last = (f"{FALL},1", f"{RISE},1") if colours.diverging else (f"{FALL},0", f"{FALL},1")
    scale = _scale(low, first, last, end) if colours.name else ""
    return (
        '<table style="border-collapse:collapse;font-size:10px;line-height:1">'
        f"<caption>layers down, heads across; &times; is masked</caption>{''.join(lines)}</table>"
        f'<p style="font-size:11px">colour: {escaped(colours.name) or "none"} {scale}</p>'
    )


def _scale(low: str, first: str, last: str, high: str) -> str:
    """Both ends of a scale of colours ("213,94,0,0.7"), with what they stand for."""
    box = "display:inline-block;width:14px;height:10px"
    return (
        f'<span style="font-size:11px">{low} <span style="{box};background-color:rgba({first})">'
        f'</span> <span style="{box};background-color:rgba({last})"></span> {high}</span>'
    )


def _text(changes: TokenChanges) -> str:
    spans = []
    for piece, change in zip(changes.pieces, changes.change, strict=True):
        known = bool(np.isfinite(change))
        share = min(abs(float(change)) / changes.colour_max, 1.0) * STRENGTH if known else 0.0
        words = f"{float(change):+.2f} nats" if known else "not predicted"
        colour = f"rgba({RISE if change >= 0 else FALL},{share:.2f})"
        spans.append(
            f'<span title="{words}" style="unicode-bidi:isolate;background-color:{colour}">'
            f"{escaped(escape_control_characters(piece))}</span>"
        )
    return f'<p class="aiw-snapshot-text" style="white-space:pre-wrap">{"".join(spans)}</p>'
