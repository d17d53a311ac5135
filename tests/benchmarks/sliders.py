"""What Python works out when a slider of the scaling panel moves, up to the figures it hands over.

What the browser then takes to paint them is not in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks.figures import significant, table
from benchmarks.progress import Progress
from benchmarks.settings import Settings

NAME = "sliders"
TITLE = "From a slider to the figures of the scaling panel"
MOVES, PROMISED = 20, 100  # ms


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    import numpy as np
    import pandas as pd

    import workbench as wb
    from widgets import ScalingExplorer
    from widgets.scaling.explorer import TABS

    runs = wb.synthetic_runs(noise=0.002, models=4, multiples=(1, 4, 16))
    plan = pd.DataFrame(np.random.default_rng(0).dirichlet([1] * 4, 60), columns=list("abcd"))
    losses = pd.DataFrame({"one": 3 + np.exp(-2 * plan["a"]), "two": 2 + np.exp(-plan["b"])})
    explorer = ScalingExplorer(runs, mixtures=wb.fit_mixture(plan, losses))
    explorer.desk.refit(resamples=50)

    def size(number: int) -> None:
        explorer.desk.change("params", 1e9 * 1.1**number)

    def share(number: int) -> None:
        explorer.mixture.shares["a"].value = 0.2 + 0.01 * number

    ways = {"params, over 12 runs, two laws and a fit": size, "a share of four domains": share}
    moves = 5 if settings.quick else MOVES
    data: dict[str, Any] = {"load": round(os.getloadavg()[0], 1), "ways": {}}
    progress = Progress(NAME, len(ways))
    try:
        for what, move in ways.items():
            explorer.tabs.selected_index = 0 if move is size else TABS.index("Mixture")
            move(0)  # warms up
            data["ways"][what] = taken = []
            for number in range(1, moves + 1):
                begin = time.perf_counter()
                move(number)
                taken.append(1000 * (time.perf_counter() - begin))
            progress.step(what, 1)
            save(data)
    finally:
        explorer.close()


def render(data: dict[str, Any]) -> str:
    rows = [
        [what, str(len(taken)), significant(median(taken)), significant(max(taken)),
         str(sum(value > PROMISED for value in taken))]
        for what, taken in data["ways"].items()
    ]  # fmt: skip
    head = ["slider", "moves", "median, ms", "highest, ms", f"over {PROMISED} ms"]
    return "\n\n".join(
        [
            "From the move of a slider until all that follows is worked out and in the figures, in "
            "one Python process without a browser, whose painting comes on top. The machine had a "
            f"load of {data['load']} before.",
            table(head, rows),
        ]
    )
