"""What a reader waits for when a slider of the scaling panel moves, in a real JupyterLab."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import significant, table
from benchmarks.progress import Progress
from benchmarks.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the browser that the tests drive

NAME = "sliders"
TITLE = "From a slider to the redrawn panel, in JupyterLab"
MOVES, PROMISED = 20, 100  # ms

NOTEBOOK = """
import time
import numpy as np
import pandas as pd
import workbench as wb
from widgets import ScalingExplorer

runs = wb.synthetic_runs(noise=0.002, models=4, multiples=(1, 4, 16))
plan = pd.DataFrame(np.random.default_rng(0).dirichlet([1, 1, 1, 1], 60), columns=list("abcd"))
losses = pd.DataFrame({"one": 3 + np.exp(-2 * plan["a"]), "two": 2 + np.exp(-plan["b"])})
explorer = ScalingExplorer(runs, mixtures=wb.fit_mixture(plan, losses))
explorer.desk.refit(resamples=50)
def size(number):
    begin = time.perf_counter()
    explorer.desk.change("params", explorer.desk.inputs["params"] * (1.1 if number % 2 else 1.2))
    return 1000 * (time.perf_counter() - begin)
def share(number):
    slider = explorer.mixture.shares["a"]
    begin = time.perf_counter()
    slider.value = 0.2 + 0.01 * number
    return 1000 * (time.perf_counter() - begin)
explorer
"""
# One press of an arrow key on a slider, until plotly has changed the figure and it is painted.
PRESS = """
async ([sliders, figure]) => {
  const handle = document.querySelector(sliders);
  handle.focus();
  const drawn = new Promise((done, failed) => {
    const observer = new MutationObserver(() => {
      observer.disconnect();
      requestAnimationFrame(() => done(performance.now() - begin));
    });
    observer.observe(document.querySelector(figure), {
      subtree: true, childList: true, attributeFilter: ["d", "transform", "style"],
    });
    setTimeout(() => failed(new Error("the figure did not change")), 30000);
  });
  const begin = performance.now();
  const key = { key: "ArrowRight", bubbles: true, cancelable: true };
  handle.dispatchEvent(new KeyboardEvent("keydown", key));
  return await drawn;
}
"""
WAYS = {
    "params, over 12 runs, two laws and a fit": (
        "size", "Loss", ".aiw-laws .noUi-handle", ".aiw-scaling .js-plotly-plot",
    ),
    "a share of four domains": (
        "share", "Mixture", ".aiw-shares .noUi-handle", ".aiw-mixture .js-plotly-plot",
    ),
}  # fmt: skip


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    from browser.conftest import BROWSERS, MISSING, QUIET
    from browser.lab import Lab, tab
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        save({"absent": MISSING})
        return
    moves = 5 if settings.quick else MOVES
    data: dict[str, Any] = {"load": round(os.getloadavg()[0], 2), "ways": {}}
    progress = Progress(NAME, len(WAYS))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        browser = playwright.chromium.launch(executable_path=browser_path, args=QUIET)
        try:
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            lab.notebook("sliders.ipynb", NOTEBOOK)
            lab.open(page, "sliders.ipynb")
            lab.run_all(page)
            for what, (function, front, slider, figure) in WAYS.items():
                page.locator(".aiw-scaling .js-plotly-plot .main-svg").first.wait_for()
                tab(page, front)
                page.locator(f"{figure} .main-svg").first.wait_for()
                page.wait_for_timeout(2000)  # plotly draws it again once it knows its width
                kernel, shown = [], []
                for number in range(-1, moves):  # the first one warms up
                    worked = json.loads(lab.ask(f"{function}({number})"))
                    page.wait_for_timeout(500)
                    painted = page.evaluate(PRESS, [slider, figure])
                    page.wait_for_timeout(500)
                    if number >= 0:
                        kernel.append(worked)
                        shown.append(painted)
                data["ways"][what] = {"kernel": kernel, "shown": shown}
                progress.step(what, 1)
                save(data)
        finally:
            browser.close()
            lab.close()


def render(data: dict[str, Any]) -> str:
    if "absent" in data:
        return f"Not measured: {data['absent']}."
    rows = [
        [
            what,
            *(significant(of(row[kind])) for kind in ("kernel", "shown") for of in (median, max)),
        ]
        for what, row in data["ways"].items()
    ]
    moves = max(len(row["shown"]) for row in data["ways"].values())
    late = sum(value > PROMISED for row in data["ways"].values() for value in row["shown"])
    head = [
        "slider", "in the kernel, median, ms", "highest", "on the screen, median, ms", "highest",
    ]  # fmt: skip
    return "\n\n".join(
        [
            f"{moves} moves of each slider, headless Chromium and kernel on the same machine, "
            f"which had a load of {data['load']} before. In the kernel: the desk changed, all that "
            "follows worked out and handed to the figures. On the screen: from the press of an "
            "arrow key until the figure is painted anew (message to the kernel, the same work, "
            f"message back, plotly). {late} of {moves * len(rows)} took more than "
            f"{PROMISED} ms on the screen.",
            table(head, rows),
        ]
    )
