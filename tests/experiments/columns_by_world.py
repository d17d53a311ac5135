"""Draw how every column did in every world, from the rows that lie beside this file.

    PYTHONPATH=tests python -m experiments.columns_by_world

writes the picture that RESULTS.md shows. It needs a Chromium (plotly's kaleido).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from experiments.training_gain import gains
from workbench.figures import score_test_dots

HERE = Path(__file__).parent
PICTURE = HERE / "columns_by_world.png"
MOST_BYTES = 100_000
NAMES = {  # of `candidate_columns.COLUMNS`, from the paper's score to a count without a model
    "raw": "score (the paper's)", "low base loss": "low base loss", "nats": "rise",
    "novel": "score_novel", "excess": "excess", "contrast": "contrast", "fetched": "fetched",
    "far tokens, no model": "far tokens (no model)",
}  # fmt: skip
CHAINS, CHOSEN = ("matched AUC", "all others", 0.5), ("share of the chosen", "lookup", 0.1)
WORLDS = {  # world: title, and the test: measure, against, what a choice by chance gives
    "chains, held-out": ("real chains: AUC,<br>63 matched pairs", CHAINS),
    "literal, beside nothing": ("literal: lookups<br>in 400 chosen", CHOSEN),
    "new_contexts, beside literal": ("new contexts:<br>in 400 chosen", CHOSEN),
    "programs, beside nothing": ("programs:<br>in 400 chosen", CHOSEN),
    "programs, beside literal": ("other selector:<br>in 400 chosen", CHOSEN),
}  # fmt: skip
# Of the decoders whose gain is drawn, as a share of the oracle's: size, and how often a chosen
# document comes.
SIZE, TIMES = "3x64", 10
TRAINING = "training: share of<br>best gain, 2 seeds"


def panels() -> dict[str, pd.DataFrame]:
    """Title to the rows of a world, columns by their names."""
    tests = pd.read_csv(HERE / "score_tests.csv")
    found = {}
    for world, (title, (measure, against, _)) in WORLDS.items():
        asked = [tests["world"] == world, tests["measure"] == measure, tests["against"] == against]
        found[title] = tests[asked[0] & asked[1] & asked[2]]
    runs = pd.read_csv(HERE / "training_gain_by_column.csv")
    trained = gains(runs[(runs["size"] == SIZE) & (runs["times"] == TIMES)]).drop(
        columns=["low", "high"]
    )
    found[TRAINING] = trained.rename(columns={
        "arm": "column", "share_of_oracle": "value", "share_low": "low", "share_high": "high",
    })  # fmt: skip
    named = {title: rows[rows["column"].isin(NAMES)] for title, rows in found.items()}
    order = list(NAMES)
    return {
        title: rows.sort_values("column", key=lambda names: names.map(order.index))
        .assign(column=lambda rows: rows["column"].map(NAMES))
        for title, rows in named.items()
    }  # fmt: skip


def picture() -> go.Figure:
    """The figure, on white, so that it can be read on a dark page too."""
    worlds = panels()
    chance = {title: by_chance for title, (_, _, by_chance) in WORLDS.values()}
    figure = score_test_dots(worlds, {**chance, TRAINING: 0.0})
    for annotation, title in zip(figure.layout.annotations, worlds, strict=True):
        annotation.update(text=title, font_size=13)
    figure.update_traces(cliponaxis=False)  # whole dots at 0 and 1
    figure.update_xaxes(dtick=0.5)
    figure.update_layout(
        width=900, height=380, font_size=13, margin={"l": 150, "r": 15, "t": 50, "b": 30},
        paper_bgcolor="white", plot_bgcolor="white",
    )  # fmt: skip
    return figure


if __name__ == "__main__":
    content = picture().to_image("png", scale=1.4)
    if len(content) > MOST_BYTES:
        raise ValueError(f"the picture has {len(content):,} bytes, at most {MOST_BYTES:,}")
    PICTURE.write_bytes(content)
