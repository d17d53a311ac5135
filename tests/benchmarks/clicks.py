"""What a reader waits for: from a click on a head to the recoloured text, in a real JupyterLab."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import documents
from benchmarks.figures import ratios, spread, table
from benchmarks.progress import Progress
from benchmarks.settings import HEADS, Settings

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the browser that the tests drive

NAME = "clicks"
TITLE = "From a click to recoloured tokens, in JupyterLab"
LAYERS, ROUNDS, TOKENS = [15, 17, 20, 25, 29], 5, 128
WINDOW = {"width": 1440, "height": 900}  # of a laptop
LARGE, DOCUMENTS = (32, 64), 100_000  # layers and heads; rows of the table
STROKE = 40  # heads of a row that are in view; the grid scrolls to the others

NOTEBOOK = """
import time
import torch
import workbench as wb
from widgets import Explorer
from workbench.masking.reference import plain_losses
torch.set_num_threads({threads})
model = wb.load_model()
explorer = Explorer(model, text={text!r}, heads={heads!r})
ids = list(explorer.session.ids())
def plain():
    begin = time.perf_counter()
    plain_losses(model, ids, explorer.session.heads)
    return 1000 * (time.perf_counter() - begin)
explorer
"""
CLICK = """
async (index) => {
  const cell = document.querySelector(`.aiw-cell[data-index="${index}"]`);
  const at = cell.getBoundingClientRect();
  const where = { bubbles: true, button: 0, clientX: at.x + 4, clientY: at.y + 4 };
  const was = cell.classList.contains("aiw-masked");
  const begin = performance.now();
  const told = new Promise((done) => new MutationObserver((_, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => done(performance.now() - begin));
  }).observe(document.querySelector(".aiw-tokens"), { subtree: true, attributeFilter: ["style"] }));
  cell.dispatchEvent(new PointerEvent("pointerdown", where));
  if (cell.classList.contains("aiw-masked") === was) throw new Error("the cell did not change");
  window.dispatchEvent(new PointerEvent("pointerup", where));
  const shown = new Promise((done) => requestAnimationFrame(() =>
    requestAnimationFrame(() => done(performance.now() - begin))));
  return [await shown, await told];
}
"""
# Strikes out cells one after the other with the button held; one cell is a click.
STRIKE = """
async ([first, count]) => {
  const cells = [...document.querySelectorAll(".aiw-cell")].slice(first, first + count);
  const point = (target, kind, cell) => {
    const at = cell.getBoundingClientRect();
    const where = { bubbles: true, button: 0, clientX: at.x + 4, clientY: at.y + 4 };
    target.dispatchEvent(new PointerEvent(kind, where));
  };
  const begin = performance.now();
  point(cells[0], "pointerdown", cells[0]);
  for (const cell of cells) point(window, "pointermove", cell);
  point(window, "pointerup", cells.at(-1));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const taken = performance.now() - begin;
  if (!cells.every((one) => one.matches(".aiw-masked"))) throw new Error("a cell is not masked");
  return taken;
}
"""
# Scrolls by so many pages, or sorts by a column.
TABLE = """
async (what) => {
  const table = document.querySelector(".aiw-documents .aiw-table");
  const sorts = typeof what === "string";
  const heading = () => table.querySelector(`.aiw-column[data-key="${what}"]`);
  const order = () => heading().getAttribute("aria-sort");
  const missing = () =>
    table.querySelector(":is(.aiw-loading, .aiw-stale):not([hidden])") !== null;
  const frame = () => new Promise(requestAnimationFrame);
  const was = sorts && order();
  const begin = performance.now();
  if (sorts) heading().click();
  else {
    const view = table.querySelector(".aiw-view");
    view.scrollTop += what * view.clientHeight;
  }
  await frame();
  await frame();
  const drawn = performance.now() - begin;
  while ((sorts && order() === was) || missing()) await frame();
  return [drawn, performance.now() - begin];
}
"""
CORPUS = """
from support.score_tables import random_table
from workbench.session.corpus.scored_corpus import ScoredCorpus
# Rows that no run scored are only taken up by hand.
explorer.session._corpus._take(ScoredCorpus(random_table({rows}, seed=0)))
"""


def run(settings: Settings, save: Callable[[dict[str, Any]], None]) -> None:
    from browser.conftest import BROWSERS, MISSING, QUIET
    from browser.lab import Lab
    from browser.test_layout import into_view, random_model
    from playwright.sync_api import sync_playwright
    from transformers import AutoTokenizer

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        save({"absent": MISSING})
        return
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    text = tokenizer.decode(documents.long_document(tokenizer, TOKENS))
    heads = " ".join(f"L{a}H{b}" for a, b in HEADS)
    rounds = 2 if settings.quick else ROUNDS
    data: dict[str, Any] = {"layers": {str(layer): {"cell": [], "tokens": [], "plain": []}
                                       for layer in LAYERS}}  # fmt: skip
    progress = Progress(NAME, 2 * rounds + 2)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        browser = playwright.chromium.launch(executable_path=browser_path, args=QUIET)
        try:
            page = browser.new_page(viewport=WINDOW)
            data["window"] = f"{WINDOW['width']:,} x {WINDOW['height']}"
            cells = NOTEBOOK.format(text=text, heads=heads, threads=settings.threads)
            lab.notebook("clicks.ipynb", cells)
            lab.show(page, "clicks.ipynb")
            data["tokens"] = int(lab.ask("len(ids)"))
            data["heads"] = json.loads(lab.ask("len(explorer.session.heads)"))
            for number in range(-1, rounds):  # the first round warms up
                for layer in LAYERS:
                    # A head that no round had before: results that are kept would come at once.
                    free = [h for h in range(9) if (layer, h) not in HEADS]
                    index = layer * 9 + free[number % len(free)]
                    plain = float(lab.ask("plain()"))
                    cell, tokens = page.evaluate(CLICK, index)
                    times = {"cell": cell, "tokens": tokens, "plain": plain}
                    lab.ask("explorer.session.undo(), explorer.wait(60)")
                    page.wait_for_timeout(1500)  # the picture in the notebook follows later
                    if number >= 0:
                        for key, value in times.items():
                            data["layers"][str(layer)][key].append(value)
                progress.step(f"round {number}", 1)
                save(data)
            data["large"] = large = {key: [] for key in ("cell", "row", "sort", "drawn", "page")}
            lab.notebook("large.ipynb", random_model(*LARGE), CORPUS.format(rows=DOCUMENTS))
            lab.show(page, "large.ipynb")
            into_view(page)
            for number in range(-1, rounds):
                times = _large(lab, page, number + 1)
                if number >= 0:
                    for key, value in times.items():
                        large[key].append(value)
                progress.step(f"large, round {number}", 1)
                save(data)
        finally:
            browser.close()
            lab.close()


def _large(lab: Any, page: Any, number: int) -> dict[str, float]:
    """One round over the grid and the table of the largest that shall be fluid."""
    from browser.lab import tab

    heads = LARGE[1]
    tab(page, "Text")
    times = {}
    for key, first, count in [("cell", 7, 1), ("row", heads, STROKE)]:
        times[key] = page.evaluate(STRIKE, [first + 2 * heads * number, count])
        lab.ask("explorer.session.undo(), explorer.wait(60)")
        page.wait_for_timeout(1500)
    tab(page, "Documents")
    page.evaluate(TABLE, 0)  # until the rows are there
    times["sort"] = page.evaluate(TABLE, "score")[1]
    times["drawn"], times["page"] = page.evaluate(TABLE, 20)
    return times


def render(data: dict[str, Any]) -> str:
    if "absent" in data:
        return f"Not measured: {data['absent']}."
    rows = [
        [layer, spread(row["cell"]), spread(row["tokens"]), spread(row["plain"]),
         spread(ratios(row["tokens"], row["plain"]))]
        for layer, row in data["layers"].items()
    ]  # fmt: skip
    head = [
        "layer", "cell changed, ms", "tokens recoloured, ms", "one plain pass, ms",
        "tokens over plain pass",
    ]  # fmt: skip
    window = f" with a window of {data['window']}" if "window" in data else ""
    return "\n\n".join(
        [
            f"One head clicked in the grid with {data['heads']} others masked, a text of "
            f"{data['tokens']} tokens, headless Chromium{window} and kernel on the same machine. "
            "Until the cell is on the screen (two frames, no word to Python), and until the tokens "
            "have their new colours (message to the kernel, losses from the stored stream, message "
            "back, painted); beside it the time of one plain masked pass over the same text in "
            "the same kernel, just before the click.",
            table(head, rows),
            *(_render_large(data["large"]) if "large" in data else []),
        ]
    )


def _render_large(large: dict[str, list[float]]) -> list[str]:
    layers, heads = LARGE
    words = {
        "cell": "a click until the cell is crossed out",
        "row": f"{STROKE} cells of a row painted in one stroke",
        "sort": f"{DOCUMENTS:,} rows sorted, until those in view have come",
        "drawn": "20 pages scrolled, until the table has moved",
        "page": "20 pages scrolled, until the rows have come",
    }
    return [
        f"A grid of {layers * heads:,} heads (random weights, {layers} layers of {heads}) and a "
        f"table of {DOCUMENTS:,} rows of random scores, in the same window.",
        table(["act", "ms"], [[words[key], spread(values)] for key, values in large.items()]),
    ]
