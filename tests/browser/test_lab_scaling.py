"""The scaling explorer in a real JupyterLab: by mouse and by keyboard, on two screens."""

from __future__ import annotations

import pytest

from browser.lab import PATIENCE, Lab, button, tab
from browser.test_layout import SIDEWAYS, in_view, into_view

OPEN = """
import numpy as np
import pandas as pd
import workbench as wb
from widgets import ScalingExplorer

runs = wb.synthetic_runs(noise=0.002, models=4, multiples=(1, 4, 16))
rng = np.random.default_rng(0)
names = ["code", "<img src=x onerror=hurt()>", "web"]
plan = pd.DataFrame(rng.dirichlet([1, 1, 1], 30), columns=names)
losses = pd.DataFrame({"web": 3 + 0.3 * np.exp(-2 * plan["web"]) + 0.01 * rng.normal(size=30)})
explorer = ScalingExplorer(runs, mixtures=wb.fit_mixture(plan, losses))
explorer
"""
IDLE = "explorer.wait(60), explorer.status.error"


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1440, 900), (1100, 700)])
def test_laws_runs_and_mixtures_on_one_screen(chromium, tmp_path, size):
    lab = Lab(tmp_path)
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
    errors = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.set_default_timeout(PATIENCE)
    try:
        lab.notebook("scaling.ipynb", OPEN)
        lab.open(page, "scaling.ipynb")
        lab.run_all(page)
        page.locator(".aiw-scaling .js-plotly-plot .main-svg").first.wait_for()
        into_view(page)
        for part in (".aiw-laws", ".aiw-status", ".aiw-scaling .main-svg"):
            in_view(page, part)
        assert page.evaluate(SIDEWAYS) == []

        # By keyboard: the slider of the tokens, one step.
        before = lab.ask("explorer.desk.inputs['tokens']")
        slider = page.locator(".aiw-laws [role=slider], .aiw-laws .noUi-handle").nth(1)
        slider.focus()
        page.keyboard.press("ArrowRight")
        lab.until(f"explorer.desk.inputs['tokens'] > {before}", "True")
        lab.until("explorer.loss.figure is not None", "True")

        button(page, "Fit to my runs").click()
        lab.until(IDLE, "(True, None)")
        page.locator(".aiw-scaling", has_text="12 runs; log residual").wait_for()

        tab(page, "Mixture")
        button(page, "Find the best").click()
        lab.until(IDLE, "(True, None)")
        page.locator(".aiw-scaling", has_text="the nearest run is").wait_for()
        page.wait_for_function(  # plotly draws it once before it knows the width of its column
            """() => {
              const [figure, column] = [".aiw-mixture .main-svg", ".aiw-mixture"].map(
                (one) => document.querySelector(one)?.getBoundingClientRect()
              );
              const fits = figure?.width && figure.width <= column.width + 2;
              return fits && figure.right <= column.right + 2;
            }"""
        )
        assert page.locator("img[onerror]").count() == 0
        for title in ("IsoFLOP", "Rate and batch", "Masks", "Book", "Code"):
            tab(page, title)
            assert page.evaluate(SIDEWAYS) == [], title
        page.locator(".aiw-scaling", has_text="wb.ScalingDesk").wait_for()
        assert errors == []
    finally:
        page.close()
        lab.close()
