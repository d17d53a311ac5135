"""The scaling explorer in a real JupyterLab: by mouse and by keyboard, on two screens."""

from __future__ import annotations

import pytest

from browser.lab import DARK, LIGHT, PATIENCE, Lab, button, tab
from browser.mounting import accessible, contrast, style, without_tooltip
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
        # By keyboard: one share up, and the others make room for it.
        before = lab.ask("explorer.mixture.mix.iloc[0]")
        page.locator(".aiw-shares .noUi-handle").first.focus()
        page.keyboard.press("ArrowRight")
        lab.until(f"explorer.mixture.mix.iloc[0] > {before}", "True")
        lab.until(
            "f'{explorer.mixture.mix.sum():.9f}', explorer.status.error", "('1.000000000', None)"
        )
        for title in ("IsoFLOP", "Rate and batch", "Masks", "Book", "Code"):
            tab(page, title)
            assert page.evaluate(SIDEWAYS) == [], title
            assert without_tooltip(page, ".aiw-scaling") == [], title
            assert all(name for _, name in accessible(page, ".aiw-scaling")), title
        page.locator(".aiw-scaling", has_text="wb.ScalingDesk").wait_for()
        assert errors == []
    finally:
        page.close()
        lab.close()


# Each text that is seen in a part of the page, with its colour and what is painted behind it.
TEXTS = """
(part) => [...document.querySelectorAll(part)].flatMap((one) => [one, ...one.querySelectorAll("*")])
  .filter((one) => [...one.childNodes].some((c) => c.nodeType === 3 && c.data.trim()))
  .filter((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
  .filter((one) => one.getBoundingClientRect().width && !one.closest("style, option, :disabled"))
  .map((one) => {
    const drawn = getComputedStyle(one);
    let paper = "rgba(0, 0, 0, 0)";
    for (let under = one; under && paper === "rgba(0, 0, 0, 0)"; under = under.parentElement)
      paper = getComputedStyle(under).backgroundColor;
    return [one.textContent.slice(0, 60), one instanceof SVGElement ? drawn.fill : drawn.color,
            paper];
  })
"""


@pytest.mark.slow
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_table_book_and_mixture_are_readable_in_both_themes(chromium, tmp_path, theme):
    lab = Lab(tmp_path, theme)
    page = chromium.new_page(viewport={"width": 1100, "height": 700})
    page.set_default_timeout(PATIENCE)
    try:
        lab.notebook("theme.ipynb", OPEN)
        lab.open(page, "theme.ipynb")
        lab.run_all(page)
        page.locator(".aiw-scaling .js-plotly-plot .main-svg").first.wait_for()
        dark = theme == DARK
        lab.until("explorer.loss.theme", "dark" if dark else "light")
        ground = style(page, ".jp-Notebook", "backgroundColor")
        assert (contrast(page, "rgb(255, 255, 255)", ground) > 10) == dark
        into_view(page)
        for front, part, holds in (
            (None, ".aiw-law-table", "besiroglu"),
            (None, ".aiw-scaling .main-svg", "params"),
            ("Book", ".aiw-scaling pre", "arXiv 2203.15556"),
            ("Mixture", ".aiw-shares", "shares of the domains"),
            ("Mixture", ".aiw-mixture .js-plotly-plot", ""),
            ("Mixture", ".aiw-scaling", "nats"),
        ):
            if front is not None:
                tab(page, front)
            page.locator(part, has_text=holds).first.wait_for()
            page.wait_for_function(f"() => ({TEXTS})({part!r}).length")
            texts = page.evaluate(TEXTS, part)
            pale = {
                (text, ink, paper): contrast(page, ink, paper)
                for text, ink, paper in texts
                if contrast(page, ink, paper) < 4.5
            }
            assert pale == {}, (front, part)
        assert page.evaluate(SIDEWAYS) == []
    finally:
        page.close()
        lab.close()


MARKERS = "document.querySelectorAll('.aiw-scaling .points path.point')"


def point_at_a_run(page):
    """Rest the mouse on the first run until plotly names it, and return where that is.

    A figure is drawn anew when it learns its width or the fit arrives; what the mouse was over is
    then forgotten, so it comes again.
    """
    shown = page.locator(".aiw-scaling .hoverlayer .hovertext")
    for _ in range(PATIENCE // 500):
        page.evaluate(f"() => {MARKERS}[0]?.scrollIntoView({{ block: 'center' }})")
        box = page.evaluate(f"() => {MARKERS}[0]?.getBoundingClientRect().toJSON()")
        if box:
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x - 30, y - 30)
            page.mouse.move(x, y, steps=4)
            page.wait_for_timeout(500)
            if shown.count():
                return x, y
    raise AssertionError("plotly names no run under the mouse")


CELLS = "params\ttokens\tloss\n" + "".join(
    f"{1e7 * 2**i}\t{2e8 * 4**j}\t{2 + 400 / (1e7 * 2**i) ** 0.34 + 400 / (2e8 * 4**j) ** 0.28}\n"
    for i in range(4)
    for j in range(3)
)


@pytest.mark.slow
def test_runs_are_pasted_chosen_clicked_and_kept_without_python(chromium, tmp_path):
    lab = Lab(tmp_path)
    page = chromium.new_page(viewport={"width": 1100, "height": 700})
    page.set_default_timeout(PATIENCE)
    try:
        empty = "from widgets import ScalingExplorer\nexplorer = ScalingExplorer()\nexplorer"
        lab.notebook("own.ipynb", empty)
        lab.open(page, "own.ipynb")
        lab.run_all(page)
        page.locator(".aiw-scaling .js-plotly-plot .main-svg").first.wait_for()
        into_view(page)
        page.locator(".aiw-cells textarea").fill(CELLS.replace("tokens", "tokns"))
        button(page, "Take these runs").click()
        page.locator(".aiw-scaling", has_text="lacks the columns tokens").wait_for()
        page.locator(".aiw-cells textarea").fill(CELLS)
        page.locator(".aiw-cells textarea").blur()
        # A value waits in the browser until its predecessor is acknowledged; a click does not.
        lab.until("explorer.runs.table.cells.value.split()[1]", "tokens")
        button(page, "Take these runs").click()
        lab.until("explorer.desk.brought", "pasted cells")
        assert lab.ask("len(explorer.desk.runs)") == "12"
        with page.expect_file_chooser() as chooser:
            page.locator(".aiw-scaling button", has_text="File of runs").click()
        content = CELLS.replace("\t", ",").encode()
        chosen = {"name": "mine.csv", "mimeType": "text/csv", "buffer": content}
        chooser.value.set_files([chosen])
        lab.until("explorer.desk.brought, explorer.status.error", "('mine.csv', None)")
        assert page.evaluate(SIDEWAYS) == []
        button(page, "File or table").click()  # away with the field

        button(page, "Fit to my runs").click()
        lab.until(IDLE, "(True, None)")
        page.locator(".aiw-scaling", has_text="is taken to be in nats a token").wait_for()
        # A click on a run holds it out, and the fit follows.
        page.wait_for_function(f"{MARKERS}.length === 12")
        page.mouse.click(*point_at_a_run(page))
        lab.until("len(explorer.desk.held_out)", "1")
        lab.until("explorer.desk.fit and len(explorer.desk.fit.runs)", "11")
        assert page.locator('.modebar-btn[data-title^="Download plot"]').count() > 0
        button(page, "Save as HTML").first.click()
        page.locator(".aiw-status", has_text="scaling-loss.html is written").wait_for()
        assert "arXiv 2404.10102" in (lab.folder / "scaling-loss.html").read_text("utf-8")
    finally:
        page.close()
        lab.close()
